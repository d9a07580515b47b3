//! Power Automate flows: subscribing, being triggered, and unsubscribing at `Location`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::delivery::{app, until};
use crate::receiver::WebhookEndpoint;
use crate::tenancy::{additional_key, send};
use crate::world::{Reply, World};

const PATH: &str = "/v1/triggers/sms-received/subscribe";

/// The path and query of a new trigger's `Location`.
fn location(world: &World, made: &Reply) -> String {
    let location = made.header("location");
    location.strip_prefix(world.gateway()).unwrap_or_else(|| panic!("{location}")).to_owned()
}

#[tokio::test]
async fn a_flow_is_triggered_by_inbound_messages_until_it_unsubscribes() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.connect(&tenant, &world.user(1)).await.expect(303);
    let subscribe = async |fields: Value| world.call(Method::POST, PATH, &tenant.key, Some(fields)).await;
    let all = json!({ "callbackUrl": receiver.at("/all?sig=CANARY"), "phoneNumber": "" });
    let all = subscribe(all).await.expect(201);
    let elsewhere = world.user(1)["numbers"][0].clone();
    subscribe(json!({ "callbackUrl": receiver.at("/another"), "phoneNumber": elsewhere })).await.expect(201);
    // A number that is not the tenant's.
    for number in ["+14155550199", "+16505550199"] {
        let refused = subscribe(json!({ "callbackUrl": receiver.at("/x"), "phoneNumber": number })).await;
        assert_eq!(refused.error(), (400, "invalid_field".to_owned()));
        assert_eq!(refused.json()["field"], "phoneNumber");
        assert!(
            refused.text.contains(&format!("Phone number {number} is not registered")),
            "{}",
            refused.text
        );
    }
    let id = all.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(all.json(), json!({ "id": id }));
    let at = location(&world, &all);
    assert!(at.starts_with(&format!("{PATH}/{id}?token=")), "{at}");

    let text = async |text: &str| {
        let order = json!({ "from": "+16505550199", "to": "+14155550100", "text": text });
        world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    };
    text("to a flow").await;
    until("the flow is called", async || !receiver.arrivals("/all").is_empty()).await;
    let arrival = &receiver.arrivals("/all")[0];
    let told: Value = serde_json::from_str(&arrival.body).unwrap();
    let stored = world.get("/v1/sms/messages", &tenant.key).await.expect(200).json()["messages"][0].clone();
    assert_eq!(
        (&told["messageId"], &told["from"], &told["to"], &told["text"]),
        (&stored["messageId"], &json!("+16505550199"), &json!("+14155550100"), &json!("to a flow"))
    );
    assert!(told["receivedAt"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(told.as_object().unwrap().len(), 5, "{told}");

    // It is an app without keys. Of its URL only the origin is shown and stored in clear.
    let shown = world.get(&format!("/v1/apps/{id}"), &tenant.key).await.expect(200);
    let origin = receiver.at("").trim_end_matches('/').to_owned();
    assert_eq!(shown.json()["kind"], "trigger");
    assert_eq!(shown.json()["webhookUrl"], format!("{origin}/…"));
    let rows = json!(world.items("TenantsTable").await).to_string();
    let token = at.split("token=").nth(1).unwrap();
    for secret in ["/all", "CANARY", token] {
        assert!(!rows.contains(secret) && !shown.text.contains(secret), "{secret}");
    }

    // Statuses and other events do not trigger it.
    let order = json!({ "to": "+16505550199", "from": "+14155550100", "body": "out" });
    world.call(Method::POST, "/v1/sms/send", &tenant.key, Some(order)).await.expect(202);
    world.stack.wait_until_idle().await;
    world.advance(61).await;
    assert_eq!(receiver.arrivals("/all").len(), 1);

    // What a program's app has, a flow does not have, and its URL can't be read or replaced through it.
    for (method, path, body, status) in [
        ("POST", "/keys", json!({ "scopes": ["sms:read"] }), 404),
        ("POST", "/rotate-key", Value::Null, 404),
        ("POST", "/rotate-webhook-secret", Value::Null, 404),
        ("PUT", "", json!({ "webhookUrl": "https://evil.example/" }), 400),
        ("PUT", "", json!({ "webhookUrl": null }), 400),
        ("PUT", "", json!({ "name": "Renamed" }), 200),
    ] {
        send(&world, method, &format!("/v1/apps/{id}{path}"), &tenant.key, body).await.expect(status);
    }

    world.call(Method::DELETE, &at, "", None).await.expect(200);
    text("to no app").await;
    world.idle().await;
    world.advance(61).await;
    assert_eq!(receiver.arrivals("/all").len(), 1);
    assert!(receiver.arrivals("/another").is_empty());
}

/// microsoft/PowerPlatformConnectors#3678.
#[tokio::test]
async fn a_flow_unsubscribes_with_the_token_of_its_location_or_with_a_key() {
    let world = World::start().await;
    let tenant = world.tenant();
    let other = world.new_tenant("Other").await;
    let maker = additional_key(&world, &tenant, json!({ "scopes": ["triggers:manage"] })).await;
    let subscribe = async |key: &str| {
        let order = json!({ "callbackUrl": "https://flows.example.com/run" });
        let made = world.call(Method::POST, PATH, key, Some(order)).await.expect(201);
        (made.json()["id"].as_str().unwrap().to_owned(), location(&world, &made))
    };
    let delete = async |path: &str, key: &str| world.call(Method::DELETE, path, key, None).await;
    let (id, at) = subscribe(&tenant.key).await;
    let (second, second_at) = subscribe(&tenant.key).await;
    let (foreign, foreign_at) = subscribe(&other.key).await;
    let token = |at: &str| at.split("token=").nth(1).unwrap().to_owned();

    let own = format!("{PATH}/{id}");
    assert_eq!(delete(&own, "").await.error(), (401, "unauthorized".to_owned()), "neither token nor key");
    assert_eq!(delete(&format!("{own}?token=x"), "").await.error(), (401, "unauthorized".to_owned()));
    let guess = format!("{}A", &token(&at)[..token(&at).len() - 1]);
    for wrong in [
        format!("{own}?token={}", token(&second_at)),
        format!("{own}?token={}", token(&foreign_at)),
        format!("{PATH}/{second}?token={}", token(&at)),
        format!("{PATH}/{foreign}?token={}", token(&at)),
        format!("{PATH}/app_00000000000000aa?token={}", token(&at)),
        format!("{own}?token={guess}"),
    ] {
        if wrong != at {
            assert_eq!(delete(&wrong, "").await.error(), (404, "not_found".to_owned()), "{wrong}");
        }
    }
    assert_eq!(
        delete(&format!("{own}?token={}", token(&second_at)), &other.key).await.error(),
        (404, "not_found".to_owned())
    );
    // The token of a trigger opens nothing else: an app of another kind has none.
    let program = app(&world, &tenant, json!({})).await;
    delete(&format!("{PATH}/{}?token={}", program.id, token(&at)), "").await.expect(404);
    delete(&format!("{PATH}/{}", program.id), &tenant.key).await.expect(404);
    delete(&own, &other.key).await.expect(404);

    assert_eq!(delete(&at, "").await.expect(200).json(), json!({ "ok": true }));
    delete(&at, "").await.expect(404);
    // Power Automate may send a stale token with the key of its connection.
    delete(&format!("{PATH}/{second}?token={}", token(&at)), &maker).await.expect(200);
    delete(&format!("{PATH}/{foreign}"), &other.key).await.expect(200);
    let actors = world.get("/v1/audit?limit=100", &tenant.key).await.expect(200).json();
    let ended: Vec<&Value> = actors["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "trigger.deleted")
        .collect();
    assert_eq!((&ended[1]["actor"]["type"], &ended[0]["actor"]["type"]), (&json!("trigger"), &json!("key")));
}
