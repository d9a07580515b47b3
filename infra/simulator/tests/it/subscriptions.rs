//! Subscriptions and their handshake.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::hook::{INSTANT, Manner, PATH, receiver, wanted};
use crate::kit::{self, Kit, code};

async fn subscribed(kit: &Kit, access: &str) -> Value {
    let receiver = receiver(Manner::Good).await;
    let (status, reply) = kit.call(Method::POST, access, PATH, wanted(&receiver.url)).await;
    assert_eq!(status, 200, "{reply}");
    let posts = receiver.posts();
    assert_eq!((posts.len(), posts[0].body.as_str()), (1, ""), "one handshake, without a body");
    reply
}

#[tokio::test]
async fn a_subscription_lives_and_is_renewed_and_deleted() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let user = kit.user(0);
    let made = subscribed(&kit, &login.access).await;
    let filter = format!(
        "/restapi/v1.0/account/{}/extension/{}/message-store/instant?type=SMS",
        user.account_id, user.extension_id
    );
    assert_eq!(made["eventFilters"][0], json!(filter));
    assert_eq!((&made["status"], &made["expiresIn"]), (&json!("Active"), &json!(604_799)));
    assert!(!made.to_string().contains("vt-1"), "the verification token is write-only");
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());

    kit.simulator.advance(1000);
    let left = kit.get(&login.access, &path).await.1["expiresIn"].as_i64().unwrap();
    assert!((603_700..=603_799).contains(&left), "{left}");
    let (_, renewed) = kit.call(Method::POST, &login.access, &format!("{path}/renew"), json!({})).await;
    assert_eq!(renewed["expiresIn"], 604_799);
    let (_, put) = kit
        .call(Method::PUT, &login.access, &path, json!({"eventFilters": [INSTANT], "expiresIn": 100}))
        .await;
    assert_eq!((put["expiresIn"].as_i64(), put["eventFilters"].as_array().unwrap().len()), (Some(99), 1));
    assert_eq!(kit.get(&login.access, PATH).await.1["records"].as_array().unwrap().len(), 1);
    let other = kit.log_in_as(1).await;
    assert_eq!(kit.get(&other.access, &path).await.0, 404, "seen by its user and app only");

    assert_eq!(kit.call(Method::DELETE, &login.access, &path, json!({})).await.0, 204);
    assert_eq!(kit.get(&login.access, &path).await.0, 404);
    let kinds: Vec<_> = kit.ledger().await.iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect();
    for kind in ["subscription_created", "subscription_renewed", "subscription_deleted"] {
        assert!(kinds.contains(&kind.to_owned()), "{kind}");
    }
}

#[tokio::test]
async fn the_handshake_is_strict() {
    let kit = kit::start().await;
    kit.settings(json!({"handshakeTimeoutMs": 300})).await;
    let login = kit.log_in().await;
    for (manner, expected) in [
        (Manner::NoEcho, "SUB-520"),
        (Manner::Silent, "SUB-521"),
        (Manner::WrongStatus, "SUB-522"),
        (Manner::TooLarge, "SUB-525"),
        (Manner::NoContentType, "SUB-525"),
    ] {
        let receiver = receiver(manner).await;
        let (status, reply) = kit.call(Method::POST, &login.access, PATH, wanted(&receiver.url)).await;
        assert_eq!((status.as_u16(), code(&reply)), (400, expected), "{manner:?}");
        assert_eq!(reply["errorCode"], expected, "the code is at both levels");
    }
    for (address, expected) in [
        ("http://127.0.0.1:1/", "SUB-521"),
        ("http://gateway.example/hook", "SUB-523"),
        ("ftp://127.0.0.1/", "CMN-101"),
        ("nowhere", "CMN-101"),
    ] {
        let (status, reply) = kit.call(Method::POST, &login.access, PATH, wanted(address)).await;
        assert_eq!((status.as_u16(), code(&reply)), (400, expected), "{address}");
    }
    assert!(kit.ledger_of("subscription_created").await.is_empty());
}

#[tokio::test]
async fn filters_are_checked() {
    let kit = kit::start().await;
    let (admin, user) = (kit.log_in_as(0).await, kit.log_in_as(1).await);
    let receiver = receiver(Manner::Good).await;
    let others = format!(
        "/restapi/v1.0/account/~/extension/{}/message-store/instant?type=SMS",
        kit.user(0).extension_id
    );
    let robins = format!(
        "/restapi/v1.0/account/~/extension/{}/message-store/instant?type=SMS",
        kit.user(1).extension_id
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
        let mut body = wanted(&receiver.url);
        body["eventFilters"] = json!([filter]);
        let (status, reply) = kit.call(Method::POST, access, PATH, body).await;
        assert_eq!(code(&reply), expected, "{filter}: {status} {reply}");
    }
    let mut body = wanted(&receiver.url);
    body["eventFilters"] = json!([]);
    assert_eq!(code(&kit.call(Method::POST, &user.access, PATH, body).await.1), "SUB-508");
}

#[tokio::test]
async fn there_is_a_limit_and_an_end() {
    let kit = kit::start().await;
    kit.settings(json!({"subscriptionLimit": 2})).await;
    let login = kit.log_in().await;
    let first = subscribed(&kit, &login.access).await;
    let second = subscribed(&kit, &login.access).await;
    let receiver = receiver(Manner::Good).await;
    let (status, reply) = kit.call(Method::POST, &login.access, PATH, wanted(&receiver.url)).await;
    assert_eq!((status.as_u16(), code(&reply)), (403, "SUB-505"));

    let path = format!("{PATH}/{}", first["id"].as_str().unwrap());
    kit.sim(Method::POST, &format!("/subscriptions/{}/expire", first["id"].as_str().unwrap()), json!({}))
        .await;
    let (status, reply) = kit.call(Method::POST, &login.access, &format!("{path}/renew"), json!({})).await;
    assert_eq!((status.as_u16(), code(&reply)), (404, "SUB-507"));
    let id = second["id"].as_str().unwrap();
    kit.sim(Method::POST, &format!("/subscriptions/{id}/blacklist"), json!({})).await;
    let (_, read) = kit.get(&login.access, &format!("{PATH}/{id}")).await;
    assert_eq!(read["status"], "Blacklisted");
    assert!(read["blacklistedData"]["reason"].is_string());

    kit.simulator.advance(604_800);
    let login = kit.log_in().await;
    assert_eq!(kit.get(&login.access, PATH).await.1["records"], json!([]));
    assert_eq!(kit.ledger_of("subscription_expired").await.len(), 2);
    assert_eq!(kit.ledger_of("subscription_blacklisted").await.len(), 1);
}

#[tokio::test]
async fn the_handshake_has_three_seconds_by_default() {
    let kit = kit::start().await;
    let settings = kit.sim(Method::GET, "/settings", json!({})).await;
    assert_eq!(
        Duration::from_millis(settings["handshakeTimeoutMs"].as_u64().unwrap()),
        Duration::from_secs(3)
    );
}
