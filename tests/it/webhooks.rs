//! Outbound requests to webhook URLs: signatures, and protection against server-side request forgery.

use reqwest::Method;
use serde_json::{Value, json};

use crate::receiver::{Behaviour, WebhookEndpoint};
use crate::world::{TestTenant, World, now};

/// Registers an app with this webhook URL. Returns its id and webhook secret.
async fn app(world: &World, tenant: &TestTenant, url: &str) -> (String, String) {
    let order = json!({ "name": "WebhookEndpoint", "tenantId": tenant.id, "webhookUrl": url });
    let app =
        world.call(Method::POST, "/v1/apps/register", &tenant.key, Some(order)).await.expect(201).json();
    (app["appId"].as_str().unwrap().to_owned(), app["webhookSecret"].as_str().unwrap().to_owned())
}

async fn test_event(world: &World, tenant: &TestTenant, app: &str) -> Value {
    world.post(&format!("/v1/apps/{app}/test-webhook"), &tenant.key).await.expect(200).json()
}

#[tokio::test]
async fn a_test_event_arrives_signed_and_its_response_is_reported() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    let (id, secret) = app(&world, &tenant, &receiver.at("/hook")).await;
    let told = test_event(&world, &tenant, &id).await;
    assert_eq!(
        (&told["delivered"], &told["statusCode"], &told["body"]),
        (&json!(true), &json!(200), &json!("noted"))
    );
    let [arrival] = &receiver.arrivals("/hook")[..] else { panic!("once") };
    assert!(arrival.verifies(&secret), "verified by an independent library");
    assert_eq!(arrival.header("content-type"), "application/json");
    assert_eq!(arrival.header("webhook-id"), arrival.json()["id"].as_str().unwrap());
    assert_eq!(
        (arrival.json()["type"].as_str(), arrival.json()["tenantId"].as_str()),
        (Some("test"), Some(tenant.id.as_str()))
    );
    let mut altered = arrival.clone();
    altered.body = altered.body.replace("test", "tost");
    assert!(!altered.verifies(&secret), "an altered body is rejected");
    let strict = standardwebhooks::Webhook::new(&secret).unwrap();
    assert!(strict.verify(arrival.body.as_bytes(), &arrival.headers).is_ok(), "its timestamp is current");
    let mut late = arrival.headers.clone();
    late.insert("webhook-timestamp", "1600000000".parse().unwrap());
    assert!(strict.verify(arrival.body.as_bytes(), &late).is_err(), "an old timestamp is rejected");
    for status in [204, 299] {
        receiver.behave("/hook", Behaviour::Status(status));
        assert_eq!(test_event(&world, &tenant, &id).await["delivered"], json!(true), "{status}");
    }
    for status in [304, 400, 410, 500] {
        receiver.behave("/hook", Behaviour::Status(status));
        let told = test_event(&world, &tenant, &id).await;
        assert_eq!((&told["delivered"], &told["statusCode"]), (&json!(false), &json!(status)));
    }
}

#[tokio::test]
async fn both_secrets_sign_for_a_day_and_then_only_the_new_one() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    let (id, old) = app(&world, &tenant, &receiver.at("/hook")).await;
    let path = format!("/v1/apps/{id}/rotate-webhook-secret");
    let rotated = world.post(&path, &tenant.key).await.expect(200).json();
    let new = rotated["webhookSecret"].as_str().unwrap().to_owned();
    for (seconds, old_is_good) in [(0, true), (23 * 3_600, true), (2 * 3_600, false)] {
        world.advance(seconds).await;
        test_event(&world, &tenant, &id).await;
        let arrivals = receiver.arrivals("/hook");
        let arrival = arrivals.last().unwrap();
        assert_eq!(
            (arrival.verifies(&old), arrival.verifies(&new)),
            (old_is_good, true),
            "after {seconds} s"
        );
    }
}

#[tokio::test]
async fn every_replaced_secret_signs_until_the_end_of_its_own_overlap() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    let (id, first) = app(&world, &tenant, &receiver.at("/hook")).await;
    let path = format!("/v1/apps/{id}/rotate-webhook-secret");
    let mut secrets = vec![first];
    for _ in 0..shared::limits::WEBHOOK_SECRETS_REPLACED {
        let rotated = world.post(&path, &tenant.key).await.expect(200).json();
        secrets.push(rotated["webhookSecret"].as_str().unwrap().to_owned());
        world.advance(3_600).await;
    }
    // A further rotation would end the first secret before its time.
    let refused = world.post(&path, &tenant.key).await;
    assert_eq!(refused.error(), (409, "webhook_secret_limit".to_owned()));
    // An SDK that respects `Retry-After` would sleep for a day.
    assert_eq!(refused.header("retry-after"), "");
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    let until = error.strip_prefix("Webhook secret rotated too often; try again after ").unwrap();
    let until: jiff::Timestamp = until.parse().unwrap();
    let wait = until.duration_since(now(&world).await).as_secs();
    assert!((20 * 3_600 - 60..=20 * 3_600 + 1).contains(&wait), "{wait}");
    for (seconds, ended) in [(0, 0), (wait - 60, 0), (120, 1), (3_600, 2), (3_600, 3), (3_600, 4), (3_600, 4)]
    {
        world.advance(seconds).await;
        test_event(&world, &tenant, &id).await;
        let arrivals = receiver.arrivals("/hook");
        let arrival = arrivals.last().unwrap();
        let verified: Vec<_> = secrets.iter().map(|secret| arrival.verifies(secret)).collect();
        let expected: Vec<_> = (0..secrets.len()).map(|at| at >= ended).collect();
        assert_eq!(verified, expected, "after {seconds} s more");
    }
    world.post(&path, &tenant.key).await.expect(200);
}

#[tokio::test]
async fn a_misbehaving_endpoint_costs_at_most_five_seconds_and_redirects_are_not_followed() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    for (path, behaviour, expected) in [
        ("/hang", Behaviour::Hang, json!("timeout")),
        ("/drip", Behaviour::Drip, json!("timeout")),
        ("/redirect", Behaviour::Redirect, Value::Null),
        ("/endless", Behaviour::Endless, Value::Null),
        ("/headers", Behaviour::HugeHeaders, json!("invalid_answer")),
    ] {
        receiver.behave(path, behaviour);
        let (id, _) = app(&world, &tenant, &receiver.at(path)).await;
        let told = test_event(&world, &tenant, &id).await;
        assert_eq!(told["error"], expected, "{path}: {told}");
        assert_eq!(told["delivered"], json!(path == "/endless"), "{path}: {told}");
    }
    assert!(receiver.arrivals("/inside").is_empty(), "a redirect is an answer, and no way on");
    let (id, _) = app(&world, &tenant, "http://127.0.0.1:1/").await;
    assert_eq!(test_event(&world, &tenant, &id).await["error"], "connection_failed");
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_rejected_without_details() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    // A name that resolves to loopback: addresses are checked with every request, not when the URL is saved.
    let inside = receiver.at("/hook").replace("http://127.0.0.1", "https://localhost");
    let (id, _) = app(&world, &tenant, &inside).await;
    let told = test_event(&world, &tenant, &id).await;
    assert_eq!((&told["delivered"], &told["error"]), (&json!(false), &json!("address_not_allowed")));
    assert!(!told.to_string().contains("127."), "no address is revealed");
    assert!(receiver.arrivals("/hook").is_empty());
    for url in [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/",
        "https://user@example.com/",
        "http://127.0.0.2/",
        "http://[::1]/",
        "http://example.com/",
    ] {
        let order = json!({ "name": "WebhookEndpoint", "tenantId": tenant.id, "webhookUrl": url });
        let refused = world.call(Method::POST, "/v1/apps/register", &tenant.key, Some(order)).await;
        assert_eq!(refused.error(), (400, "invalid_webhook_url".to_owned()), "{url}");
    }
}

#[tokio::test]
async fn an_app_without_a_webhook_url_or_of_another_tenant_gets_no_test_event() {
    let world = World::start().await;
    let (tenant, other) = (world.tenant(), world.new_tenant("Other").await);
    let order = json!({ "name": "Silent", "tenantId": tenant.id });
    let silent =
        world.call(Method::POST, "/v1/apps/register", &tenant.key, Some(order)).await.expect(201).json();
    let path = format!("/v1/apps/{}/test-webhook", silent["appId"].as_str().unwrap());
    assert_eq!(world.post(&path, &tenant.key).await.error(), (400, "no_webhook_url".to_owned()));
    assert_eq!(world.post(&path, &other.key).await.error(), (404, "not_found".to_owned()));
    assert_eq!(
        world.post("/v1/apps/nonsense/test-webhook", &tenant.key).await.error(),
        (400, "invalid_id".to_owned())
    );
}
