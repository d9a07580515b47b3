//! Secrets occur only in ciphertext. The simulator's secrets contain a canary; the product's own secrets are known here.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Reply, World};

const CANARY: &str = "CANARY";

/// Where a needle occurs: in logs or in tables.
async fn hits(world: &World, needles: &[&str]) -> Vec<String> {
    let mut places = Vec::new();
    for line in world.log() {
        places.push(("log", line));
    }
    for table in [
        "TenantsTable",
        "ConnectTokens",
        "ConnectionsTable",
        "ExtensionsTable",
        "RateLimitsTable",
        "AuditTable",
        "EventsTable",
        "DeliveriesTable",
        "MessagesTable",
        "ConsentsTable",
        "QuarantineTable",
    ] {
        for item in world.items(table).await {
            places.push((table, item.to_string()));
        }
    }
    let found = places.iter().filter(|(_, text)| needles.iter().any(|needle| text.contains(needle)));
    found.map(|(place, text)| format!("{place}: {text}")).collect()
}

#[tokio::test]
async fn no_secret_is_in_a_log_a_table_or_a_response() {
    let world = World::start().await;
    let tenant = world.tenant();
    let link = world.mint(&tenant).await;
    let mut browser = world.browser();
    let callback = browser.sign_in(&link, &world.user(0)).await;
    assert!(callback.contains(CANARY), "the code carries the canary, so the search below can find something");
    let cookie = browser.cookies.values().next().unwrap().clone();
    let mut answers = vec![browser.get(&callback).await.expect(303).text];
    for path in ["/v1/rc/status", "/v1/rc/extensions", "/v1/rc/numbers"] {
        answers.push(world.get(path, &tenant.key).await.text);
    }
    // Failures too.
    world.sim_fault("/restapi/oauth/token", Some(1), json!({"truncateJson": true})).await;
    answers.push(world.connect(&tenant, &world.user(1)).await.text);
    world.sim(Method::PUT, "/_sim/settings", Some(json!({"scopes": "ReadAccounts"}))).await;
    answers.push(world.connect(&tenant, &world.user(1)).await.text);
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    assert!(answers.iter().all(|answer| !answer.contains(CANARY)));
    let token = link.split("token=").nth(1).unwrap();
    let operator = world.operator_key();
    let found =
        hits(&world, &[CANARY, token, &cookie, &tenant.key, &operator, "+1415555", "14155550100"]).await;
    let numbers = |hit: &String| hit.starts_with("ConnectionsTable") && hit.contains("number#");
    let found: Vec<_> = found.into_iter().filter(|hit| !numbers(hit)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn the_search_for_secrets_finds_a_planted_one() {
    let world = World::start().await;
    let tenant = world.tenant();
    let order = json!({"label": format!("a planted {CANARY}")});
    world.call(Method::POST, "/v1/rc/invite-token", &tenant.key, Some(order)).await.expect(200);
    assert_eq!(hits(&world, &[CANARY]).await.len(), 1);
}

#[tokio::test]
async fn tokens_are_encrypted_in_the_table() {
    let world = World::start().await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let items = world.items("ConnectionsTable").await;
    let connection =
        items.iter().find(|item| item["item"]["S"].as_str().unwrap().starts_with("connection#")).unwrap();
    for name in ["access_token", "access_key", "refresh_token", "refresh_key"] {
        let bytes = data_encoding::BASE64.decode(connection[name]["B"].as_str().unwrap().as_bytes()).unwrap();
        assert!(bytes.len() > 40, "{name}");
        assert!(!String::from_utf8_lossy(&bytes).contains(CANARY), "{name}");
    }
}

/// Decrypts a data key of the connection with the role of a function.
async fn open_key(world: &World, role: &str, row: &Value, key: &str, context: Value) -> Reply {
    let sealed = row[format!("{key}_key")]["B"].as_str().unwrap();
    world.kms(role, "Decrypt", &json!({"CiphertextBlob": sealed, "EncryptionContext": context})).await
}

#[tokio::test]
async fn only_one_role_decrypts_refresh_tokens_and_only_with_their_encryption_context() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let items = world.items("ConnectionsTable").await;
    let row =
        items.iter().find(|item| item["item"]["S"].as_str().unwrap().starts_with("connection#")).unwrap();
    let connection = row["item"]["S"].as_str().unwrap().trim_start_matches("connection#");
    let context = |purpose: &str| {
        json!({
            "app": "ringbridge", "tenant": tenant.id, "connection": connection, "purpose": purpose,
        })
    };
    // Each key can be decrypted with its own role and context, so the rejections below have no other cause.
    for (role, purpose) in [("deliver-sms", "access"), ("refresh-tokens", "refresh")] {
        let reply = open_key(&world, role, row, purpose, context(purpose)).await;
        assert_eq!(reply.status, 200, "{role} {purpose}: {}", reply.text);
    }
    let mut refused = 0;
    for role in ["deliver-sms", "send-sms", "sweep", "renew-subscriptions", "sync-messages", "receive-event"]
    {
        let reply = open_key(&world, role, row, "refresh", context("refresh")).await;
        assert!(reply.text.contains("AccessDenied"), "{role}: {}", reply.text);
        let reply = open_key(&world, role, row, "refresh", json!({})).await;
        assert!(reply.text.contains("AccessDenied"), "{role}: {}", reply.text);
        refused += 2;
    }
    assert_eq!(refused, 12);
    let reply = open_key(&world, "refresh-tokens", row, "refresh", json!({})).await;
    assert!(reply.text.contains("AccessDenied"), "{}", reply.text);
    // A role with permission for another purpose can't decrypt it either.
    let reply = open_key(&world, "deliver-sms", row, "refresh", context("access")).await;
    assert!(reply.text.contains("InvalidCiphertext"), "{}", reply.text);
}

#[tokio::test]
async fn a_disabled_kms_key_stops_new_work_within_five_minutes_and_work_resumes_afterwards() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    let use_token = async || world.post("/v1/rc/numbers/refresh", &tenant.key).await;
    use_token().await.expect(200);
    let before = world.items("ConnectionsTable").await.len();
    world.aws(Method::POST, "/_aws/kms/disable", Some(json!({}))).await;
    use_token().await.expect(200);
    // A process may use its cached data key for a short time; a new process can't decrypt it.
    world.advance(301).await;
    let reply = use_token().await.expect(503);
    assert!(!reply.header("retry-after").is_empty());
    world.advance(300).await;
    use_token().await.expect(503);
    assert_eq!(world.items("ConnectionsTable").await.len(), before, "nothing is deleted");
    assert_eq!(world.count("token_refreshed").await, 0);
    world.aws(Method::POST, "/_aws/kms/enable", Some(json!({}))).await;
    use_token().await.expect(200);
}
