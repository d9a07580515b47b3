//! Connecting while RingCentral, AWS or the process fails. In each case there is a clear page, no partial connection, and
//! the user can continue.

use reqwest::Method;
use serde_json::json;

use crate::world::{Reply, World};

/// The code exchange fails; then the same link works in the same browser.
async fn exchange_with_fault(fault: serde_json::Value, status: u16, reference: &str) {
    let world = World::start().await;
    let tenant = world.tenant();
    let link = world.mint(&tenant).await;
    let mut browser = world.browser();
    let callback = browser.sign_in(&link, &world.user(0)).await;
    let describe = fault.to_string();
    world.sim_fault("/restapi/oauth/token", Some(1), fault).await;
    let page = browser.get(&callback).await;
    assert_eq!((page.status.as_u16(), page.page_code()), (status, reference), "{describe}: {}", page.text);
    let fired = world.sim(Method::GET, "/_sim/faults", None).await[0]["fired"].clone();
    assert_eq!(fired, 1, "{describe}: one exchange attempt");
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.json(), json!({"connected": false}));
    assert!(world.items("ConnectionsTable").await.is_empty(), "{describe}");
    // A code is exchanged once: repeating the callback makes no second attempt.
    browser.get(&callback).await.expect(400);
    let again = browser.sign_in(&link, &world.user(0)).await;
    browser.get(&again).await.expect(303);
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.json()["connected"], true);
}

#[tokio::test]
async fn after_a_failed_code_exchange_the_user_can_start_again() {
    exchange_with_fault(json!({"status": 500}), 502, "exchange_failed").await;
}

#[tokio::test]
async fn a_code_exchange_whose_response_is_lost_is_not_repeated() {
    exchange_with_fault(json!({"applyThenDrop": true}), 502, "exchange_failed").await;
}

#[tokio::test]
async fn a_code_exchange_with_a_malformed_response_is_not_repeated() {
    exchange_with_fault(json!({"truncateJson": true}), 502, "exchange_failed").await;
}

#[tokio::test]
async fn a_hanging_code_exchange_times_out() {
    exchange_with_fault(json!({"hang": true}), 502, "exchange_failed").await;
}

#[tokio::test]
async fn a_rate_limited_code_exchange_returns_retry_after() {
    let world = World::start().await;
    let other = world.new_tenant("Other").await;
    let link = world.mint(&world.tenant()).await;
    let mut browser = world.browser();
    let callback = browser.sign_in(&link, &world.user(0)).await;
    let waits = |page: &Reply| page.header("retry-after").parse::<u64>().unwrap();
    let act = json!({"status": 429, "headers": {"Retry-After": "37"}, "body": {"errorCode": "CMN-301"}});
    world.sim_fault("/restapi/oauth/token", Some(1), act).await;
    let page = browser.get(&callback).await.expect(503);
    assert_eq!(page.page_code(), "unavailable");
    assert!((36..=39).contains(&waits(&page)), "a little later than requested: {}", waits(&page));
    // An earlier attempt makes no call, which would restart the penalty, and gets the same response.
    let again = browser.sign_in(&link, &world.user(0)).await;
    let page = browser.get(&again).await.expect(503);
    assert_eq!(page.page_code(), "unavailable");
    assert!((1..=39).contains(&waits(&page)), "{}", waits(&page));
    assert_eq!(world.count("token_issued").await, 0);
    // The penalty applies to one tenant's sign-ins. Other tenants are not affected.
    world.connect(&other, &world.user(1)).await.expect(303);
    // The code was not used up, and is valid for a minute.
    world.advance(42).await;
    browser.get(&again).await.expect(303);
}

#[tokio::test]
async fn rate_limited_sign_ins_do_not_open_the_circuit_breaker_for_other_tenants() {
    let world = World::start().await;
    let act = json!({"status": 429, "headers": {"Retry-After": "60"}, "body": {"errorCode": "CMN-301"}});
    world.sim_fault("/restapi/oauth/token", Some(2), act).await;
    for name in ["One", "Two"] {
        let tenant = world.new_tenant(name).await;
        world.connect(&tenant, &world.user(0)).await.expect(503);
    }
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
}

#[tokio::test]
async fn a_misconfigured_app_raises_an_alarm() {
    for (settings, fault) in [
        (json!({"issueRefreshTokens": false}), None),
        (json!({"scopes": "ReadAccounts ReadMessages"}), None),
        (
            json!({}),
            Some(
                json!({"status": 400, "body": {"error": "invalid_client", "errors": [{"errorCode": "OAU-153"}]}}),
            ),
        ),
    ] {
        let world = World::start().await;
        let tenant = world.tenant();
        let mut browser = world.browser();
        let link = world.mint(&tenant).await;
        let describe = settings.to_string();
        world.sim(Method::PUT, "/_sim/settings", Some(settings)).await;
        let callback = browser.sign_in(&link, &world.user(0)).await;
        if let Some(fault) = fault {
            world.sim_fault("/restapi/oauth/token", Some(1), fault).await;
        }
        let page = browser.get(&callback).await.expect(502);
        assert_eq!(page.page_code(), "provider_misconfigured", "{describe}");
        assert!(world.items("ConnectionsTable").await.is_empty(), "{describe}: no partial connection");
        assert_eq!(world.count("session_revoked").await, world.count("token_issued").await, "{describe}");
        let log = world.log();
        let alarm = log.iter().find(|line| line.contains(r#""alarm":"ringcentral_app""#));
        assert!(alarm.is_some(), "{describe}: the operator's alarm is in the log");
    }
}

#[tokio::test]
async fn an_outage_of_kms_uses_up_no_code() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut browser = world.browser();
    let callback = browser.sign_in(&world.mint(&tenant).await, &world.user(0)).await;
    world.aws(Method::POST, "/_aws/kms/disable", Some(json!({}))).await;
    let page = browser.get(&callback).await.expect(503);
    assert!(!page.header("retry-after").is_empty());
    assert_eq!(world.count("token_issued").await, 0);
    world.aws(Method::POST, "/_aws/kms/enable", Some(json!({}))).await;
    // The same callback works when KMS is available again.
    browser.get(&callback).await.expect(303);
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.json()["connected"], true);
}

#[tokio::test]
async fn a_connection_is_kept_when_the_response_to_storing_it_is_lost() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut browser = world.browser();
    let callback = browser.sign_in(&world.mint(&tenant).await, &world.user(0)).await;
    // The transaction is applied and its response is lost; the SDK's retries are throttled.
    let matching = json!({"operation": "TransactWriteItems", "function": "finish-connection",
        "table": world.table("ConnectionsTable").await});
    let faults = json!([
        {"match": matching, "times": 1, "do": {"applyThenDrop": true}},
        {"match": matching, "times": 10, "do": {"error": "ThrottlingException", "status": 400}},
    ]);
    world.aws(Method::PUT, "/_aws/faults", Some(faults)).await;
    browser.get(&callback).await.expect(303);
    world.no_faults().await;
    assert_eq!(world.count("session_revoked").await, 0);
    world.post("/v1/rc/numbers/refresh", &tenant.key).await.expect(200);
}

#[tokio::test]
async fn the_button_can_be_pressed_again_after_a_lost_response() {
    let world = World::start().await;
    let link = world.mint(&world.tenant()).await;
    let mut browser = world.browser();
    browser.get(&link).await.expect(200);
    let matching = json!({"operation": "TransactWriteItems", "function": "start-connection"});
    world.aws_fault(matching, 0, None, json!({"applyThenDrop": true})).await;
    browser.press(&link).await.expect(503);
    world.no_faults().await;
    browser.press(&link).await.expect(303);
    // A browser without the page's cookie is another browser.
    world.browser().press(&link).await.expect(409);
}

#[tokio::test]
async fn a_failure_of_the_store_at_any_step_leaves_no_partial_connection() {
    for act in [
        json!({"error": "ThrottlingException", "status": 400}),
        json!({"error": "InternalServerError", "status": 500}),
        json!({"applyThenDrop": true}),
    ] {
        let world = World::start().await;
        let tenant = world.tenant();
        for skip in 0.. {
            let link = world.mint(&tenant).await;
            let mut browser = world.browser();
            let callback = browser.sign_in(&link, &world.user(0)).await;
            // From this step on, DynamoDB fails as long as the callback runs.
            let matching = json!({"service": "dynamodb", "function": "finish-connection"});
            world.aws_fault(matching, skip, None, act.clone()).await;
            let reply = browser.get(&callback).await;
            let fired = world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"].as_u64().unwrap();
            world.no_faults().await;
            assert!(
                [303, 503].contains(&reply.status.as_u16()),
                "{act} step {skip}: {} {}",
                reply.status,
                reply.text
            );
            // The user can continue with the same link, unless the connection was stored.
            let connected = world.get("/v1/rc/status", &tenant.key).await.json()["connected"] == true;
            if !connected {
                let again = browser.sign_in(&link, &world.user(0)).await;
                browser.get(&again).await.expect(303);
            }
            world.advance(900).await;
            let extension = world.get("/v1/rc/extensions", &tenant.key).await.json()["extensions"][0].clone();
            assert_eq!(extension["setup"]["complete"], true, "{act} step {skip}: {extension}");
            world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
            let (issued, ended) = (world.count("token_issued").await, world.count("session_revoked").await);
            // If the response to storing the tokens is lost, and the function can't find out whether they were stored, ending
            // the session could break a stored connection. At that one step the session is left to expire.
            assert!(issued - ended <= 1, "{act} step {skip}: {issued} sessions, {ended} ended");
            if fired == 0 {
                assert!(skip >= 6, "{act}: {skip} steps");
                break;
            }
        }
    }
}

#[tokio::test]
async fn after_the_callback_is_killed_at_any_step_the_user_can_continue() {
    let mut steps = 0;
    for act in ["before", "after"] {
        let world = World::start().await;
        let tenant = world.tenant();
        for skip in 0.. {
            let link = world.mint(&tenant).await;
            let mut browser = world.browser();
            let callback = browser.sign_in(&link, &world.user(0)).await;
            world
                .aws_fault(json!({"function": "finish-connection"}), skip, Some(1), json!({"kill": act}))
                .await;
            let reply = browser.get(&callback).await;
            let fired = world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"] == 1;
            world.no_faults().await;
            assert_eq!(reply.status != 303, fired, "{act} step {skip}: {}", reply.status);
            let connected = world.get("/v1/rc/status", &tenant.key).await.json()["connected"] == true;
            if !connected {
                let again = browser.sign_in(&link, &world.user(0)).await;
                browser.get(&again).await.expect(303);
            }
            world.advance(900).await;
            let extension = world.get("/v1/rc/extensions", &tenant.key).await.json()["extensions"][0].clone();
            assert_eq!(extension["setup"]["complete"], true, "{act} step {skip}: {extension}");
            world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
            assert!(world.items("ConnectionsTable").await.is_empty(), "{act} step {skip}");
            if !fired {
                break;
            }
            steps += 1;
        }
    }
    assert!(steps >= 16, "the kill was tried at {steps} steps");
}
