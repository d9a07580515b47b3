//! The set-up after a connection is stored: identity, numbers and subscription, and what happens when a step fails.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

fn number<'a>(numbers: &'a Value, phone: &str) -> &'a Value {
    let all = numbers["numbers"].as_array().unwrap();
    all.iter()
        .find(|number| number["phoneNumber"] == phone)
        .unwrap_or_else(|| panic!("{phone} is missing: {all:?}"))
}

#[tokio::test]
async fn numbers_show_features_readiness_and_whether_their_extension_is_connected() {
    let world = World::start().await;
    let tenant = world.tenant();
    let user = world.user(0);
    world.connect(&tenant, &user).await.expect(303);
    let numbers = world.get("/v1/rc/numbers", &tenant.key).await.expect(200).json();
    for own in user["numbers"].as_array().unwrap() {
        let number = number(&numbers, own.as_str().unwrap());
        assert_eq!((&number["connected"], &number["extensionId"]), (&json!(true), &user["extensionId"]));
        assert_eq!(number["features"]["sms"], true);
    }
    let readiness: Vec<_> =
        numbers["numbers"].as_array().unwrap().iter().map(|n| n["tenDlc"]["readiness"].clone()).collect();
    assert!(readiness.contains(&json!("ready")), "{readiness:?}");
    // The second user's number is on the account, but that user has not connected.
    let second = world.user(1);
    let theirs = second["numbers"][0].as_str().unwrap();
    assert_eq!(number(&numbers, theirs)["connected"], false);
    world.connect(&tenant, &second).await.expect(303);
    let numbers = world.get("/v1/rc/numbers", &tenant.key).await.json();
    assert_eq!(number(&numbers, theirs)["connected"], true);
    let all: Vec<_> =
        numbers["numbers"].as_array().unwrap().iter().map(|n| n["phoneNumber"].as_str().unwrap()).collect();
    let unique: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(all.len(), unique.len(), "no number is listed twice: {all:?}");
}

#[tokio::test]
async fn a_failed_setup_step_is_reported_and_completed_by_the_sweep() {
    for (path, part) in [("/phone-number", "numbers"), ("/subscription", "subscription")] {
        let world = World::start().await;
        let tenant = world.tenant();
        world.sim_fault(path, None, json!({"status": 503, "body": {"errorCode": "CMN-201"}})).await;
        world.connect(&tenant, &world.user(0)).await.expect(303);
        let shown = world.get("/v1/rc/extensions", &tenant.key).await.json()["extensions"][0].clone();
        assert_eq!(shown["status"], "active", "the connection is usable");
        assert_eq!(shown["setup"][part], "failed", "{shown}");
        assert_eq!(shown["setup"]["complete"], false);
        assert!(shown["lastError"].as_str().unwrap().contains("RingCentral returned 503"), "{shown}");
        world.no_faults().await;
        world.advance(400).await;
        let shown = world.get("/v1/rc/extensions", &tenant.key).await.json()["extensions"][0].clone();
        assert_eq!(shown["setup"]["complete"], true, "{part}: {shown}");
        assert_eq!(shown["lastError"], Value::Null);
        assert_eq!(world.count("subscription_created").await, 1);
    }
}

#[tokio::test]
async fn a_rate_limited_setup_continues_after_the_penalty() {
    let world = World::start().await;
    let tenant = world.tenant();
    let penalty = json!({ "rateLimit": { "retryAfter": 300, "penaltyRestarts": true } });
    world.sim_fault("/phone-number", Some(1), penalty).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let shown = async || world.get("/v1/rc/extensions", &tenant.key).await.json()["extensions"][0].clone();
    assert_eq!(shown().await["setup"]["numbers"], "failed");
    for _ in 0..4 {
        world.advance(61).await;
        assert_eq!(world.count("rate_limited").await, 1, "each further call would restart the penalty");
    }
    assert_eq!(shown().await["setup"]["complete"], false);
    for _ in 0..3 {
        world.advance(61).await;
    }
    assert_eq!(world.count("rate_limited").await, 1);
    assert_eq!(shown().await["setup"]["complete"], true);
}

#[tokio::test]
async fn a_token_that_is_rejected_during_a_setup_is_replaced_at_once() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.sim_fault("/phone-number", None, json!({"status": 503})).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let refused = json!({"status": 401, "body": {"errorCode": "TokenInvalid"}});
    world.sim_fault("/phone-number", Some(1), refused).await;
    world.advance(75).await;
    let shown = world.get("/v1/rc/extensions", &tenant.key).await.json()["extensions"][0].clone();
    assert_eq!(shown["setup"]["complete"], true, "{shown}");
}

#[tokio::test]
async fn a_subscription_whose_response_was_lost_is_not_created_twice() {
    let world = World::start().await;
    let tenant = world.tenant();
    let fault = json!([{"match": {"method": "POST", "path": "/subscription"}, "times": 1, "do": {"applyThenDrop": true}}]);
    world.sim(Method::PUT, "/_sim/faults", Some(fault)).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    assert_eq!(
        world.get("/v1/rc/extensions", &tenant.key).await.json()["extensions"][0]["setup"]["subscription"],
        "failed"
    );
    world.advance(400).await;
    assert_eq!(
        world.get("/v1/rc/extensions", &tenant.key).await.json()["extensions"][0]["setup"]["complete"],
        true
    );
    assert_eq!(world.count("subscription_created").await, 2);
    assert_eq!(world.count("subscription_deleted").await, 1, "the orphan is deleted");
}

#[tokio::test]
async fn refreshing_the_numbers_finds_changes() {
    let world = World::start().await;
    let tenant = world.tenant();
    let reply = world.post("/v1/rc/numbers/refresh", &tenant.key).await;
    assert_eq!(reply.error(), (409, "sender_not_connected".to_owned()));
    world.sim_fault("/phone-number", None, json!({"status": 503})).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    assert_eq!(world.get("/v1/rc/numbers", &tenant.key).await.json(), json!({"numbers": []}));
    let refused = world.post("/v1/rc/numbers/refresh", &tenant.key).await;
    assert_eq!(refused.error(), (503, "unavailable".to_owned()));
    assert!(!refused.header("retry-after").is_empty());
    world.no_faults().await;
    let numbers = world.post("/v1/rc/numbers/refresh", &tenant.key).await.expect(200).json();
    assert!(!numbers["numbers"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn the_webhook_handshake_gets_a_small_response() {
    let world = World::start().await;
    let url = format!("{}/v1/webhooks/ringcentral", world.gateway());
    let good = world.http.post(&url).header("validation-token", "9f1e-44aa").send().await.unwrap();
    assert_eq!(
        (good.status().as_u16(), good.headers()["validation-token"].to_str().unwrap()),
        (200, "9f1e-44aa")
    );
    let size: usize = good.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    assert!(size < 600, "{size} bytes");
    let long = world.http.post(&url).header("validation-token", "a".repeat(300)).send().await.unwrap();
    assert_eq!(long.status(), 400);
    let event = world.http.post(&url).body("{}").send().await.unwrap();
    assert_eq!(event.status(), 401);
}

#[tokio::test]
async fn a_page_instead_of_a_response_is_reported_plainly_and_the_step_is_retried() {
    let world = World::start().await;
    let tenant = world.tenant();
    let page =
        json!({ "status": 200, "headers": { "content-type": "text/html" }, "body": "<html>Sign in</html>" });
    world.sim_fault("/subscription", None, page).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let shown = world.get("/v1/rc/extensions", &tenant.key).await.json()["extensions"][0].clone();
    let expected = "The webhook subscription could not be created: the response with status 200 is not RingCentral's \
                    JSON; a proxy or firewall may have sent it";
    assert_eq!(shown["lastError"], expected);
    world.no_faults().await;
    world.advance(400).await;
    let shown = world.get("/v1/rc/extensions", &tenant.key).await.json()["extensions"][0].clone();
    assert_eq!((&shown["setup"]["complete"], &shown["lastError"]), (&json!(true), &Value::Null));
}

/// H20: RingCentral once reports an extension without its account.
#[tokio::test]
async fn an_account_that_was_not_reported_at_first_is_learned_later() {
    let world = World::start().await;
    let (tenant, user) = (world.tenant(), world.user(0));
    let account = async || {
        let status = world.get("/v1/rc/status", &tenant.key).await.expect(200).json();
        let shown = world.get("/v1/rc/extensions", &tenant.key).await.expect(200).json();
        assert_eq!(status["rcAccountId"], shown["extensions"][0]["rcAccountId"]);
        status["rcAccountId"].clone()
    };
    // Read as an extension and as a list of its numbers.
    let body = json!({ "id": user["extensionId"], "account": null, "records": [] });
    let extension =
        json!({ "match": { "path": "/extension/~" }, "times": null, "do": { "status": 200, "body": body } });
    let forbidden = json!({ "status": 403, "body": { "errorCode": "CMN-408" } });
    let all = json!({ "match": { "path": "/account/~" }, "times": null, "do": forbidden });
    // The account itself names it at once.
    world.sim(Method::PUT, "/_sim/faults", Some(json!([extension]))).await;
    world.connect(&tenant, &user).await.expect(303);
    assert_eq!(account().await, user["accountId"]);
    world.no_faults().await;
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    // Without that, the daily check learns it.
    world.sim(Method::PUT, "/_sim/faults", Some(json!([extension, all]))).await;
    world.connect(&tenant, &user).await.expect(303);
    assert_eq!(account().await, Value::Null);
    world.no_faults().await;
    world.advance(30 * 3_600).await;
    assert_eq!(account().await, user["accountId"]);
}
