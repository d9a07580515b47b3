//! Webhook subscriptions and their handshake.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::receiver::{HandshakeReply, INSTANT, PATH, start_receiver, subscription_body};
use crate::test_simulator::{self, TestSimulator, code};

async fn subscribed(sim: &TestSimulator, access: &str) -> Value {
    let receiver = start_receiver(HandshakeReply::Good).await;
    let (status, reply) = sim.call(Method::POST, access, PATH, subscription_body(&receiver.url)).await;
    assert_eq!(status, 200, "{reply}");
    let requests = receiver.requests();
    assert_eq!((requests.len(), requests[0].body.as_str()), (1, ""), "one handshake, without a body");
    reply
}

#[tokio::test]
async fn a_subscription_is_created_renewed_and_deleted() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let user = sim.user(0);
    let made = subscribed(&sim, &login.access).await;
    let filter = format!(
        "/restapi/v1.0/account/{}/extension/{}/message-store/instant?type=SMS",
        user.account_id, user.extension_id
    );
    assert_eq!(made["eventFilters"][0], json!(filter));
    assert_eq!((&made["status"], &made["expiresIn"]), (&json!("Active"), &json!(604_799)));
    assert!(!made.to_string().contains("vt-1"), "the verification token is write-only");
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());

    sim.simulator.advance(1000);
    let left = sim.get(&login.access, &path).await.1["expiresIn"].as_i64().unwrap();
    assert!((603_700..=603_799).contains(&left), "{left}");
    let (_, renewed) = sim.call(Method::POST, &login.access, &format!("{path}/renew"), json!({})).await;
    assert_eq!(renewed["expiresIn"], 604_799);
    let (_, put) = sim
        .call(Method::PUT, &login.access, &path, json!({"eventFilters": [INSTANT], "expiresIn": 100}))
        .await;
    assert_eq!((put["expiresIn"].as_i64(), put["eventFilters"].as_array().unwrap().len()), (Some(99), 1));
    assert_eq!(sim.get(&login.access, PATH).await.1["records"].as_array().unwrap().len(), 1);
    let other = sim.log_in_as(1).await;
    assert_eq!(sim.get(&other.access, &path).await.0, 404, "visible only to its user and app");

    assert_eq!(sim.call(Method::DELETE, &login.access, &path, json!({})).await.0, 204);
    assert_eq!(sim.get(&login.access, &path).await.0, 404);
    let kinds: Vec<_> = sim.ledger().await.iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect();
    for kind in ["subscription_created", "subscription_renewed", "subscription_deleted"] {
        assert!(kinds.contains(&kind.to_owned()), "{kind}");
    }
}

#[tokio::test]
async fn each_handshake_failure_has_its_code() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"handshakeTimeoutMs": 300})).await;
    let login = sim.log_in().await;
    for (handshake, expected) in [
        (HandshakeReply::NoEcho, "SUB-520"),
        (HandshakeReply::Silent, "SUB-521"),
        (HandshakeReply::WrongStatus, "SUB-522"),
        (HandshakeReply::TooLarge, "SUB-525"),
        (HandshakeReply::NoContentType, "SUB-525"),
    ] {
        let receiver = start_receiver(handshake).await;
        let (status, reply) =
            sim.call(Method::POST, &login.access, PATH, subscription_body(&receiver.url)).await;
        assert_eq!((status.as_u16(), code(&reply)), (400, expected), "{handshake:?}");
        assert_eq!(reply["errorCode"], expected, "the code is at both levels");
    }
    for (address, expected) in [
        ("http://127.0.0.1:1/", "SUB-521"),
        ("http://gateway.example/hook", "SUB-523"),
        ("ftp://127.0.0.1/", "CMN-101"),
        ("nowhere", "CMN-101"),
    ] {
        let (status, reply) = sim.call(Method::POST, &login.access, PATH, subscription_body(address)).await;
        assert_eq!((status.as_u16(), code(&reply)), (400, expected), "{address}");
    }
    assert!(sim.ledger_of("subscription_created").await.is_empty());
}

#[tokio::test]
async fn event_filters_are_checked() {
    let sim = test_simulator::start().await;
    let (admin, user) = (sim.log_in_as(0).await, sim.log_in_as(1).await);
    let receiver = start_receiver(HandshakeReply::Good).await;
    let others = format!(
        "/restapi/v1.0/account/~/extension/{}/message-store/instant?type=SMS",
        sim.user(0).extension_id
    );
    let robins = format!(
        "/restapi/v1.0/account/~/extension/{}/message-store/instant?type=SMS",
        sim.user(1).extension_id
    );
    for (access, filter, expected) in [
        (&user.access, others.as_str(), "SUB-405"),
        (&admin.access, robins.as_str(), ""),
        (&user.access, "/restapi/v1.0/account/1/extension/~/message-store", "SUB-406"),
        (&user.access, "/restapi/v1.0/account/~/extension/99/message-store", "SUB-408"),
        (&user.access, "/restapi/v1.0/account/~/weather", "SUB-508"),
        (&user.access, "/restapi/v1.0/subscription/~?threshold=60&interval=15", "SUB-515"),
        (&user.access, "/account/~/extension/~/message-store", ""),
    ] {
        let mut body = subscription_body(&receiver.url);
        body["eventFilters"] = json!([filter]);
        let (status, reply) = sim.call(Method::POST, access, PATH, body).await;
        assert_eq!(code(&reply), expected, "{filter}: {status} {reply}");
    }
    let mut body = subscription_body(&receiver.url);
    body["eventFilters"] = json!([]);
    assert_eq!(code(&sim.call(Method::POST, &user.access, PATH, body).await.1), "SUB-508");
}

#[tokio::test]
async fn subscriptions_are_limited_and_expire() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"subscriptionLimit": 2})).await;
    let login = sim.log_in().await;
    let first = subscribed(&sim, &login.access).await;
    let second = subscribed(&sim, &login.access).await;
    let receiver = start_receiver(HandshakeReply::Good).await;
    let (status, reply) = sim.call(Method::POST, &login.access, PATH, subscription_body(&receiver.url)).await;
    assert_eq!((status.as_u16(), code(&reply)), (403, "SUB-505"));

    let path = format!("{PATH}/{}", first["id"].as_str().unwrap());
    sim.control(Method::POST, &format!("/subscriptions/{}/expire", first["id"].as_str().unwrap()), json!({}))
        .await;
    let (status, reply) = sim.call(Method::POST, &login.access, &format!("{path}/renew"), json!({})).await;
    assert_eq!((status.as_u16(), code(&reply)), (404, "SUB-507"));
    let id = second["id"].as_str().unwrap();
    sim.control(Method::POST, &format!("/subscriptions/{id}/blacklist"), json!({})).await;
    let (_, read) = sim.get(&login.access, &format!("{PATH}/{id}")).await;
    assert_eq!(read["status"], "Blacklisted");
    assert!(read["blacklistedData"]["reason"].is_string());

    sim.simulator.advance(604_800);
    let login = sim.log_in().await;
    assert_eq!(sim.get(&login.access, PATH).await.1["records"], json!([]));
    assert_eq!(sim.ledger_of("subscription_expired").await.len(), 2);
    assert_eq!(sim.ledger_of("subscription_blacklisted").await.len(), 1);
}

#[tokio::test]
async fn the_handshake_may_take_three_seconds_by_default() {
    let sim = test_simulator::start().await;
    let settings = sim.control(Method::GET, "/settings", json!({})).await;
    assert_eq!(
        Duration::from_millis(settings["handshakeTimeoutMs"].as_u64().unwrap()),
        Duration::from_secs(3)
    );
}
