//! Rows of another version: attributes that this version does not know are passed, so that a version can be rolled back to the one
//! before it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::template::{resources, template};
use crate::world::{World, use_token};

/// What clients read.
const READ: [&str; 7] = [
    "/v1/rc/extensions",
    "/v1/rc/numbers",
    "/v1/sms/messages",
    "/v1/apps",
    "/v1/settings",
    "/v1/consents",
    "/v1/events",
];

async fn send(world: &World, key: &str, body: &str) -> Value {
    let send = json!({ "to": "+16505550111", "from": world.user(0)["numbers"][0], "body": body });
    let sent = world.call(Method::POST, "/v1/sms/send", key, Some(send)).await.expect(202);
    world.idle().await;
    let id = sent.json()["messageId"].as_str().unwrap().to_owned();
    world.get(&format!("/v1/sms/status/{id}"), key).await.expect(200).json()
}

async fn responses(world: &World, key: &str) -> Vec<Value> {
    let mut responses = Vec::new();
    for path in READ {
        responses.push(world.get(path, key).await.expect(200).json());
    }
    responses
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_of_a_later_version_are_passed() {
    let world = World::start().await;
    world.without_schedules_of(&["sync-messages", "renew-subscriptions", "sweep"]).await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    assert_eq!(send(&world, &tenant.key, "before").await["status"], "sent");
    let inbound = json!({ "from": "+16505550111", "to": world.user(0)["numbers"][0], "text": "STOP" });
    world.sim(Method::POST, "/_sim/inbound", Some(inbound)).await;
    world.idle().await;
    world.advance(60).await;
    let before = responses(&world, &tenant.key).await;

    let mut rows = 0;
    let template = template();
    // Each attribute of a counter is a count. Counters live for hours, and unknown attributes of them are removed.
    let tables = resources(&template, "AWS::DynamoDB::Table").into_iter().map(|(table, _)| table);
    for table in tables.filter(|table| *table != "RateLimitsTable") {
        for mut row in world.items(table).await {
            row["of_a_later_version"] = json!({ "M": { "nested": { "L": [{ "N": "1" }] } } });
            world.put_item(table, row).await;
            rows += 1;
        }
    }
    assert!(rows > 15, "{rows} rows");
    world.idle().await;
    assert_eq!(responses(&world, &tenant.key).await, before);

    // And everything goes on working.
    world.advance(3_600).await;
    use_token(&world, &tenant).await.expect(200);
    let to_another = json!({ "to": "+16505550112", "from": world.user(0)["numbers"][0], "body": "after" });
    world.call(Method::POST, "/v1/sms/send", &tenant.key, Some(to_another)).await.expect(202);
    world.idle().await;
    let sent = world.ledger("sms_accepted").await;
    assert!(sent.iter().any(|entry| entry["text"] == "after"), "{sent:?}");
    let quarantined = world.get("/v1/quarantine", &world.operator_key()).await.expect(200).json();
    assert_eq!(quarantined["records"].as_array().map(Vec::len), Some(0), "{quarantined}");
}
