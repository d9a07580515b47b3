//! What a program can find out about its own key, and an operator about the RingCentral app, before anyone connects.

use reqwest::Method;
use serde_json::{Value, json};

use crate::tenancy::{additional_key, app_of};
use crate::world::World;

#[tokio::test]
async fn a_key_reads_its_app_tenant_scopes_and_end() {
    let world = World::start().await;
    let tenant = world.tenant();
    let end = (world.stack.clock().now() + jiff::SignedDuration::from_hours(1)).to_string();
    let order = json!({ "scopes": ["triggers:manage"], "expiresAt": end, "allowedIps": ["127.0.0.0/8"] });
    let weak = additional_key(&world, &tenant, order).await;
    let shown = world.get("/v1/key", &weak).await.expect(200).json();
    assert_eq!(shown["appId"], app_of(&world, &tenant.key).await);
    assert_eq!(shown["tenantId"], tenant.id);
    assert_eq!(shown["scopes"], json!(["triggers:manage"]));
    assert_eq!(shown["allowedIps"], json!(["127.0.0.0/8"]));
    assert!(weak.starts_with(shown["apiKeyPrefix"].as_str().unwrap()));
    let parsed = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    assert_eq!(parsed(shown["expiresAt"].as_str().unwrap()).as_second(), parsed(&end).as_second());
    let main = world.get("/v1/key", &tenant.key).await.expect(200).json();
    assert_eq!(main["expiresAt"], Value::Null);
    assert_ne!(main["keyId"], shown["keyId"]);
    world.advance(3_601).await;
    assert_eq!(world.get("/v1/key", &weak).await.error(), (401, "unauthorized".into()));
}

/// The findings of a check, by what was checked.
async fn check(world: &World) -> Vec<(String, String)> {
    let reply = world.post("/v1/checks/ringcentral", &world.operator_key()).await.expect(200).json();
    assert_eq!(reply["redirectUri"], format!("{}/v1/rc/callback", world.gateway()));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = reply["findings"].as_array().unwrap().iter();
    findings.map(|finding| (text(&finding["check"]), text(&finding["status"]))).collect()
}

fn findings(credentials: &str, redirect_uri: &str) -> Vec<(String, String)> {
    let rows = [("credentials", credentials), ("redirect_uri", redirect_uri), ("permissions", "unknown")];
    rows.map(|(check, status)| (check.to_owned(), status.to_owned())).to_vec()
}

#[tokio::test]
async fn a_check_finds_a_wrong_secret_and_redirect_uri_and_no_fault_in_an_outage() {
    let world = World::start().await;
    assert_eq!(check(&world).await, findings("passed", "passed"));
    world.advance(61).await;

    // RingCentral no longer knows the app.
    let unknown = json!({ "status": 401, "body": r#"{"error":"invalid_client","errors":[{"errorCode":"OAU-153"}]}"#,
        "headers": { "content-type": "application/json" } });
    world.sim_fault("/restapi/oauth/token", Some(1), unknown).await;
    assert_eq!(check(&world).await, findings("failed", "passed"));
    let alarms = world.log().into_iter().filter(|line| line.contains("ringcentral_app")).count();
    assert_eq!(alarms, 1, "the alarm for rejected credentials fires");
    world.advance(61).await;

    let page = json!({ "status": 400, "body": "<p>OAU-113</p>", "headers": { "content-type": "text/html" } });
    world.sim_fault("/restapi/oauth/authorize", Some(1), page).await;
    assert_eq!(check(&world).await, findings("passed", "failed"));
    world.advance(61).await;

    world.sim_fault("/restapi/oauth", Some(2), json!({ "status": 503 })).await;
    assert_eq!(check(&world).await, findings("unknown", "unknown"));
    world.no_faults().await;
}

#[tokio::test]
async fn checks_leave_calls_to_the_tenants() {
    let world = World::start().await;
    for _ in 0..3 {
        assert_eq!(check(&world).await, findings("passed", "passed"));
    }
    assert_eq!(check(&world).await, findings("unknown", "unknown"), "three checks a minute");
    assert_eq!(world.count("token_refused").await, 3);
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
}

#[tokio::test]
async fn polling_starts_at_a_time() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.advance(60).await;
    let later = world.stack.clock().now();
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    world.advance(60).await;
    let list =
        async |query: &str| world.get(&format!("/v1/events?{query}"), &tenant.key).await.expect(200).json();
    let kinds = |list: &Value| -> Vec<String> {
        let events = list["events"].as_array().unwrap().iter();
        events.map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    };
    let all = kinds(&list("limit=100").await);
    let late = list(&format!("from={later}")).await;
    assert!(all.len() > kinds(&late).len() && all.ends_with(&kinds(&late)), "{all:?}");
    assert!(kinds(&late).contains(&"rc_disconnected".to_owned()));
    assert!(!kinds(&late).contains(&"rc_connected".to_owned()));
    // A cursor goes on from its own place, and a client without events so far gets those that come.
    let cursor = late["nextCursor"].as_str().unwrap();
    assert_eq!(
        kinds(&list(&format!("cursor={cursor}&from=2020-01-01T00:00:00Z")).await),
        Vec::<String>::new()
    );
    let wrong = world.call(Method::GET, "/v1/events?from=yesterday", &tenant.key, None).await;
    assert_eq!(
        (wrong.error(), wrong.json()["field"].clone()),
        ((400, "invalid_query".into()), json!("from"))
    );
}
