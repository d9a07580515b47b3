//! Message synchronisation.

use reqwest::Method;
use serde_json::{Value, json};

use crate::kit::{self, EXTENSION, code};
use crate::sms::{order, send};
use crate::store::arrive;

fn subjects(reply: &Value) -> Vec<&str> {
    reply["records"].as_array().unwrap().iter().filter_map(|r| r["subject"].as_str()).collect()
}

fn token(reply: &Value) -> &str {
    reply["syncInfo"]["syncToken"].as_str().unwrap()
}

#[tokio::test]
async fn changes_come_once_more_within_five_seconds_and_not_after() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    let sync =
        async |query: &str| kit.get(&login.access, &format!("{EXTENSION}/message-sync?{query}")).await.1;
    arrive(&kit, "+16505550111", "one").await;
    kit.simulator.advance(60);
    let full = sync("syncType=FSync&messageType=SMS&direction=Inbound&dateFrom=2020-01-01").await;
    assert_eq!(subjects(&full), ["one"]);
    assert_eq!(
        (&full["syncInfo"]["syncType"], &full["syncInfo"]["olderRecordsExist"]),
        (&json!("FSync"), &json!(false))
    );

    let two = arrive(&kit, "+16505550111", "two").await;
    send(&kit, &login.access, order("+14155550101", &["+16505550111"], "outbound is not in the frame")).await;
    let first = sync(&format!("syncType=ISync&syncToken={}", token(&full))).await;
    assert_eq!(subjects(&first), ["two"]);
    let again = sync(&format!("syncType=ISync&syncToken={}", token(&first))).await;
    assert_eq!(subjects(&again), ["two"], "the overlap");
    kit.simulator.advance(30);
    let quiet = sync(&format!("syncToken={}", token(&again))).await;
    kit.simulator.advance(30);
    let none = sync(&format!("syncToken={}", token(&quiet))).await;
    assert_eq!(subjects(&none), Vec::<&str>::new());

    kit.call(Method::DELETE, &login.access, &format!("{EXTENSION}/message-store/{two}"), json!({})).await;
    let gone = sync(&format!("syncToken={}", token(&none))).await;
    assert_eq!(gone["records"][0]["availability"], "Deleted");
    assert!(gone["records"][0].get("subject").is_none());
}

#[tokio::test]
async fn what_the_store_shows_late_is_not_missed() {
    let kit = kit::start().await;
    kit.settings(json!({"storeLagSeconds": 120})).await;
    let login = kit.log_in().await;
    let sync =
        async |query: &str| kit.get(&login.access, &format!("{EXTENSION}/message-sync?{query}")).await.1;
    arrive(&kit, "+16505550111", "late").await;
    let full = sync("syncType=FSync").await;
    assert_eq!(subjects(&full), Vec::<&str>::new());
    kit.simulator.advance(125);
    assert_eq!(subjects(&sync(&format!("syncToken={}", token(&full))).await), ["late"]);
}

#[tokio::test]
async fn a_bad_or_stale_token_asks_for_a_full_sync() {
    let kit = kit::start().await;
    let (dana, robin) = (kit.log_in_as(0).await, kit.log_in_as(1).await);
    let path = |t: &str| format!("{EXTENSION}/message-sync?syncType=ISync&syncToken={t}");
    let (_, full) = kit.get(&dana.access, &format!("{EXTENSION}/message-sync?syncType=FSync")).await;
    for (access, t) in [(&dana.access, "rubbish"), (&robin.access, token(&full))] {
        let (status, reply) = kit.get(access, &path(t)).await;
        assert_eq!((status.as_u16(), code(&reply)), (400, "MSG-333"));
    }
    kit.simulator.advance(31 * 86_400);
    let late = kit.log_in_as(0).await;
    assert_eq!(code(&kit.get(&late.access, &path(token(&full))).await.1), "MSG-333");
    kit.sim(Method::POST, "/reset", json!({})).await;
    let fresh = kit.log_in_as(0).await;
    assert_eq!(code(&kit.get(&fresh.access, &path(token(&full))).await.1), "MSG-333");
    assert_eq!(kit.get(&fresh.access, &format!("{EXTENSION}/message-sync?syncType=ISync")).await.0, 400);
}

#[tokio::test]
async fn a_full_sync_can_be_cut_short() {
    let kit = kit::start().await;
    let login = kit.log_in().await;
    for text in ["a", "b", "c"] {
        arrive(&kit, "+16505550111", text).await;
    }
    let (_, reply) =
        kit.get(&login.access, &format!("{EXTENSION}/message-sync?syncType=FSync&recordCount=2")).await;
    assert_eq!(subjects(&reply), ["b", "c"]);
    assert_eq!(reply["syncInfo"]["olderRecordsExist"], true);
}
