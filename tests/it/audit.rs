//! The audit log: who did what, when and from where, without secrets.

use serde_json::{Value, json};

use crate::tenancy::{additional_key, app_of, send};
use crate::world::World;

#[tokio::test]
async fn the_audit_log_records_who_did_what_from_where_without_secrets() {
    let world = World::start().await;
    let (tenant, operator) = (world.tenant(), world.operator_key());
    let app = app_of(&world, &tenant.key).await;
    let changed =
        send(&world, "PUT", &format!("/v1/apps/{app}"), &tenant.key, json!({ "name": "Renamed secretly" }))
            .await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let further = additional_key(&world, &tenant, json!({ "scopes": ["sms:read"] })).await;
    let log = world.get("/v1/audit", &tenant.key).await.expect(200);
    let entries = log.json()["entries"].as_array().unwrap().clone();
    let actions: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    let expected = [
        "key.created",
        "extension.connected",
        "link.created",
        "app.changed",
        "app.registered",
        "tenant.created",
    ];
    // The stack's own invite may be among them.
    let seen: Vec<_> = actions.iter().copied().filter(|action| expected.contains(action)).collect();
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), expected.len(), "{actions:?}");
    let entry = entries.iter().find(|entry| entry["action"] == "app.changed").unwrap();
    assert_eq!((&entry["actor"]["type"], &entry["subject"]), (&json!("key"), &json!(app)));
    assert_eq!((&entry["fields"], &entry["sourceIp"]), (&json!(["name"]), &json!("127.0.0.1")));
    assert_eq!(entry["requestId"], changed.header("x-request-id"));
    for secret in [&tenant.key, &further, &operator, "secretly", "CANARY", "whsec_"] {
        assert!(!log.text.contains(secret));
    }
    // Another tenant sees none of it, the operator all.
    let other = world.new_tenant("Other").await;
    assert!(!world.get("/v1/audit", &other.key).await.text.contains(&tenant.id));
    let all = world.get("/v1/audit?limit=100", &operator).await.expect(200).text;
    assert!(all.contains(&tenant.id) && all.contains(&other.id));
    // Page by page, the same entries.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/v1/audit?limit=2{cursor}"), &operator).await.expect(200).json();
        paged.extend(page["entries"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(Value::Array(paged), all["entries"]);
}
