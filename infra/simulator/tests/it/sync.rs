//! Message synchronization.

use reqwest::Method;
use serde_json::{Value, json};

use crate::sms::{send, sms_body};
use crate::store::receive;
use crate::test_simulator::{self, EXTENSION, code};

fn subjects(reply: &Value) -> Vec<&str> {
    reply["records"].as_array().unwrap().iter().filter_map(|r| r["subject"].as_str()).collect()
}

fn token(reply: &Value) -> &str {
    reply["syncInfo"]["syncToken"].as_str().unwrap()
}

#[tokio::test]
async fn changes_of_the_last_five_seconds_are_repeated_and_older_ones_are_not() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let sync =
        async |query: &str| sim.get(&login.access, &format!("{EXTENSION}/message-sync?{query}")).await.1;
    receive(&sim, "+16505550111", "one").await;
    sim.simulator.advance(60);
    let full = sync("syncType=FSync&messageType=SMS&direction=Inbound&dateFrom=2020-01-01").await;
    assert_eq!(subjects(&full), ["one"]);
    assert_eq!(
        (&full["syncInfo"]["syncType"], &full["syncInfo"]["olderRecordsExist"]),
        (&json!("FSync"), &json!(false))
    );

    let two = receive(&sim, "+16505550111", "two").await;
    send(
        &sim,
        &login.access,
        sms_body("+14155550101", &["+16505550111"], "outbound messages are not selected"),
    )
    .await;
    let first = sync(&format!("syncType=ISync&syncToken={}", token(&full))).await;
    assert_eq!(subjects(&first), ["two"]);
    let again = sync(&format!("syncType=ISync&syncToken={}", token(&first))).await;
    assert_eq!(subjects(&again), ["two"], "the overlap");
    sim.simulator.advance(30);
    let quiet = sync(&format!("syncToken={}", token(&again))).await;
    sim.simulator.advance(30);
    let none = sync(&format!("syncToken={}", token(&quiet))).await;
    assert_eq!(subjects(&none), Vec::<&str>::new());

    sim.call(Method::DELETE, &login.access, &format!("{EXTENSION}/message-store/{two}"), json!({})).await;
    let gone = sync(&format!("syncToken={}", token(&none))).await;
    assert_eq!(gone["records"][0]["availability"], "Deleted");
    assert!(gone["records"][0].get("subject").is_none());
}

#[tokio::test]
async fn a_message_that_appears_late_in_the_store_is_synchronized() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"storeLagSeconds": 120})).await;
    let login = sim.log_in().await;
    let sync =
        async |query: &str| sim.get(&login.access, &format!("{EXTENSION}/message-sync?{query}")).await.1;
    receive(&sim, "+16505550111", "late").await;
    let full = sync("syncType=FSync").await;
    assert_eq!(subjects(&full), Vec::<&str>::new());
    sim.simulator.advance(125);
    assert_eq!(subjects(&sync(&format!("syncToken={}", token(&full))).await), ["late"]);
}

#[tokio::test]
async fn an_invalid_or_expired_token_requires_a_full_sync() {
    let sim = test_simulator::start().await;
    let (dana, robin) = (sim.log_in_as(0).await, sim.log_in_as(1).await);
    let path = |t: &str| format!("{EXTENSION}/message-sync?syncType=ISync&syncToken={t}");
    let (_, full) = sim.get(&dana.access, &format!("{EXTENSION}/message-sync?syncType=FSync")).await;
    for (access, t) in [(&dana.access, "rubbish"), (&robin.access, token(&full))] {
        let (status, reply) = sim.get(access, &path(t)).await;
        assert_eq!((status.as_u16(), code(&reply)), (400, "MSG-333"));
    }
    sim.simulator.advance(31 * 86_400);
    let late = sim.log_in_as(0).await;
    assert_eq!(code(&sim.get(&late.access, &path(token(&full))).await.1), "MSG-333");
    sim.control(Method::POST, "/reset", json!({})).await;
    let fresh = sim.log_in_as(0).await;
    assert_eq!(code(&sim.get(&fresh.access, &path(token(&full))).await.1), "MSG-333");
    assert_eq!(sim.get(&fresh.access, &format!("{EXTENSION}/message-sync?syncType=ISync")).await.0, 400);
}

#[tokio::test]
async fn a_full_sync_can_limit_the_number_of_records() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    for text in ["a", "b", "c"] {
        receive(&sim, "+16505550111", text).await;
    }
    let (_, reply) =
        sim.get(&login.access, &format!("{EXTENSION}/message-sync?syncType=FSync&recordCount=2")).await;
    assert_eq!(subjects(&reply), ["b", "c"]);
    assert_eq!(reply["syncInfo"]["olderRecordsExist"], true);
}
