//! Responses that are not RingCentral's: a proxy, firewall or gateway in between is no verdict (reliability rule 27).

use reqwest::Method;
use serde_json::{Value, json};

use crate::send::{SENT, TO, accept, accepted_texts, connected, id, message, send, status_events, until};
use crate::world::{HOUR, World, attribute, extension, generation};

/// Responses without one of RingCentral's error codes.
fn foreign_responses() -> Vec<Value> {
    let html = json!({ "content-type": "text/html" });
    vec![
        json!({ "status": 403, "headers": html, "body": "<h1>403 ERROR</h1>Request blocked." }),
        json!({ "status": 401, "headers": html, "body": "<html>Sign in to the proxy</html>" }),
        json!({ "status": 404, "body": "" }),
        json!({ "status": 407, "headers": html, "body": "Proxy Authentication Required" }),
        json!({ "status": 451, "body": "" }),
        json!({ "status": 403, "body": { "message": "Forbidden" } }),
        json!({ "status": 403, "body": { "errorCode": "AccessDenied", "error": "access_denied" } }),
        json!({ "status": 400, "body": ["bad"] }),
        json!({ "status": 302, "headers": { "location": "https://proxy.example/sign-in" }, "body": "" }),
    ]
}

/// Sets a response of RingCentral's paths that contain `path`, for requests with this method.
async fn respond(world: &World, method: &str, path: &str, response: &Value) {
    let fault = json!([{ "match": { "method": method, "path": path }, "times": null, "do": response }]);
    world.sim(Method::PUT, "/_sim/faults", Some(fault)).await;
}

async fn fired(world: &World) -> u64 {
    world.sim(Method::GET, "/_sim/faults", None).await[0]["fired"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_for_ringcentral_while_a_proxy_responds() {
    let (world, tenant, from) = connected().await;
    let mut expected = Vec::new();
    for response in foreign_responses() {
        respond(&world, "POST", "/sms", &response).await;
        let texts = [format!("{} one", expected.len()), format!("{} two", expected.len())];
        let one = accept(&world, &tenant, &from, &texts[0]).await;
        let two = accept(&world, &tenant, &from, &texts[1]).await;
        let before = generation(&world).await;
        for _ in 0..6 {
            world.advance(300).await;
        }
        for id in [&one, &two] {
            let waiting = message(&world, &tenant, id).await;
            assert_eq!(
                (&waiting["status"], &waiting["errorCode"]),
                (&json!("queued"), &Value::Null),
                "{response}"
            );
        }
        let calls = fired(&world).await;
        assert!((2..=30).contains(&calls), "{calls} calls in half an hour: {response}");
        assert!(generation(&world).await <= before + 1, "the token is not replaced: {response}");
        assert_eq!(extension(&world, &tenant).await["status"], "active", "{response}");
        world.no_faults().await;
        world.advance(310).await;
        until(&world, &tenant, &two, &SENT).await;
        expected.extend(texts);
        assert_eq!(accepted_texts(&world).await, expected, "in order: {response}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_could_not_be_sent_for_three_days_fails() {
    let (world, tenant, from) = connected().await;
    respond(&world, "POST", "/sms", &foreign_responses()[0]).await;
    let expires = crate::world::now(&world).await + jiff::SignedDuration::from_hours(2);
    let fields =
        json!({ "to": TO, "from": from, "body": "Short-lived", "expiresAt": format!("{expires:.3}") });
    let short = id(&send(&world, &tenant, fields).await.expect(202));
    let long = accept(&world, &tenant, &from, "Patient").await;
    world.advance(HOUR).await;
    for id in [&short, &long] {
        assert_eq!(message(&world, &tenant, id).await["status"], "queued");
    }
    for _ in 0..3 {
        world.advance(2 * HOUR).await;
    }
    assert_eq!(message(&world, &tenant, &short).await["errorCode"], "ringcentral_unreachable");
    assert_eq!(message(&world, &tenant, &long).await["status"], "queued");
    for _ in 0..8 {
        world.advance(12 * HOUR).await;
    }
    for id in [&short, &long] {
        let failed = message(&world, &tenant, id).await;
        assert_eq!(failed["status"], "failed", "{failed}");
        assert_eq!(failed["errorCode"], "ringcentral_unreachable");
        assert_eq!(status_events(&world, id).await, ["failed"]);
    }
    assert_eq!(world.count("sms_accepted").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_oauth_error_ends_a_connection() {
    let (world, tenant, from) = connected().await;
    let mut responses = foreign_responses();
    responses.push(json!({ "status": 400, "body": { "errorCode": "OAU-213", "message": "no" } }));
    responses.push(json!({ "status": 200, "headers": { "content-type": "text/html" }, "body": "<html>" }));
    for response in responses {
        let before = generation(&world).await;
        respond(&world, "POST", "/oauth/token", &response).await;
        world.advance(HOUR).await;
        world.post("/v1/rc/numbers/refresh", &tenant.key).await.expect(503);
        world.advance(120).await;
        world.advance(120).await;
        assert_eq!(extension(&world, &tenant).await["status"], "refresh_failed", "{response}");
        assert!(fired(&world).await <= 12, "{response}");
        world.no_faults().await;
        world.advance(400).await;
        assert_eq!(extension(&world, &tenant).await["status"], "active", "{response}");
        assert!(generation(&world).await > before, "{response}");
    }
    let id = accept(&world, &tenant, &from, "Still connected").await;
    until(&world, &tenant, &id, &SENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_and_numbers_are_kept_while_a_proxy_responds() {
    let (world, tenant, _) = connected().await;
    let numbers = world.get("/v1/rc/numbers", &tenant.key).await.expect(200).json();
    let subscription = attribute(&world, "subscription").await;
    for response in foreign_responses() {
        for (method, path) in
            [("GET", "/subscription"), ("POST", "/renew"), ("GET", "/phone-number"), ("GET", "/message-sync")]
        {
            respond(&world, method, path, &response).await;
            world.advance(30 * HOUR).await;
            assert_eq!(attribute(&world, "subscription").await, subscription, "{method} {path} {response}");
        }
    }
    world.no_faults().await;
    world.advance(2 * HOUR).await;
    let shown = extension(&world, &tenant).await;
    assert_eq!((&shown["status"], &shown["subscription"]["status"]), (&json!("active"), &json!("Active")));
    assert_eq!(world.count("subscription_created").await, 2, "that of its messages and that of consents");
    assert_eq!(world.get("/v1/rc/numbers", &tenant.key).await.json(), numbers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_ended_after_a_proxy_has_responded_for_days() {
    let (world, tenant, _) = connected().await;
    respond(&world, "POST", "/oauth/revoke", &foreign_responses()[0]).await;
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    for _ in 0..6 {
        world.advance(12 * HOUR).await;
    }
    assert_eq!(world.count("session_revoked").await, 0);
    world.no_faults().await;
    world.advance(HOUR).await;
    assert_eq!(world.count("session_revoked").await, 1);
}
