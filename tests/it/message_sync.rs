//! Message sync with many messages, crashes and penalties: every message is stored once.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::delivery::until;
use crate::world::{SYNC_INTERVAL, World};

const US: &str = "+14155550100";
const THEM: &str = "+16505550199";

async fn connected() -> World {
    let world = World::start().await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    world
}

async fn text(world: &World, text: &str, deliver: bool) {
    let order = json!({ "from": THEM, "to": US, "text": text, "deliver": deliver });
    world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
}

/// Creates more messages without events than one response holds, some of them in the same second, and expires the sync
/// token. Returns the texts, in order.
async fn many(world: &World) -> Vec<String> {
    let mut sent = Vec::new();
    for batch in 0..6 {
        for at in 0..100 {
            let body = format!("text {batch}-{at:02}");
            text(world, &body, false).await;
            sent.push(body);
        }
        world.sim(Method::POST, "/_sim/clock", Some(json!({ "advanceSeconds": 2 }))).await;
    }
    let stale = json!({ "errorCode": "InvalidParameter", "errors": [{ "errorCode": "MSG-333" }] });
    let faults = json!([
        { "match": { "path": "/message-sync" }, "times": 1, "do": { "status": 400, "body": stale } },
        { "match": { "path": "/message-store" }, "times": null, "do": { "delayMs": 0 } },
    ]);
    world.sim(Method::PUT, "/_sim/faults", Some(faults)).await;
    sent
}

/// How often each fault has fired.
async fn fired(world: &World) -> Vec<u64> {
    let faults = world.sim(Method::GET, "/_sim/faults", None).await;
    faults.as_array().unwrap().iter().map(|fault| fault["fired"].as_u64().unwrap()).collect()
}

/// The stored texts, in order.
async fn stored(world: &World) -> Vec<String> {
    let items = world.items("MessagesTable").await;
    let messages = items.iter().filter(|item| item["item"]["S"].as_str().unwrap().starts_with("message#"));
    let mut texts: Vec<_> =
        messages.map(|message| message["body"]["S"].as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

/// The number of `sms_inbound` events.
async fn events(world: &World) -> usize {
    let rows = world.items("EventsTable").await;
    rows.iter().filter(|event| event.to_string().contains("sms_inbound")).count()
}

async fn row(world: &World) -> Value {
    let rows = world.items("ConnectionsTable").await;
    rows.into_iter().find(|row| row["item"]["S"].as_str().unwrap().starts_with("connection#")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn more_messages_than_one_response_holds_are_all_stored_once() {
    let world = connected().await;
    world.advance(SYNC_INTERVAL).await;
    let sent = many(&world).await;
    world.advance(SYNC_INTERVAL).await;
    assert_eq!(stored(&world).await, sent);
    assert_eq!(events(&world).await, sent.len());
    let fired = fired(&world).await;
    assert_eq!(fired[0], 1, "the sync token was too old");
    assert!(fired[1] >= 2, "the backfill took several pages: {fired:?}");
    let row = row(&world).await;
    assert_eq!((&row["backfill_from"], &row["sync_reason"]), (&Value::Null, &Value::Null), "nothing is left");
    world.advance(SYNC_INTERVAL).await;
    assert_eq!(
        (stored(&world).await.len(), events(&world).await),
        (sent.len(), sent.len()),
        "nothing is stored twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_crashes_continues_from_what_it_has_stored() {
    let world = connected().await;
    world.advance(SYNC_INTERVAL).await;
    let sent = many(&world).await;
    let mut known = BTreeSet::new();
    for (skip, more) in [(300, 301), (100, 101)] {
        let storing = json!({ "function": "sync-messages", "operation": "TransactWriteItems" });
        world.aws_fault(storing, skip, Some(1), json!({ "kill": "after" })).await;
        world.advance(SYNC_INTERVAL).await;
        assert_eq!(world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"], 1, "crashed after {skip}");
        world.aws(Method::DELETE, "/_aws/faults", None).await;
        let row = row(&world).await;
        assert!(row["backfill_until"]["N"].is_string(), "the backfill is in the row: {row}");
        let now: BTreeSet<_> = stored(&world).await.into_iter().collect();
        assert_eq!(now.len(), known.len() + more, "the sync did not start over");
        known = now;
    }
    world.advance(SYNC_INTERVAL).await;
    assert_eq!(stored(&world).await, sent);
    assert_eq!(events(&world).await, sent.len());
    assert_eq!(row(&world).await["backfill_until"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_made_during_a_penalty_whatever_events_come() {
    let world = connected().await;
    world.advance(SYNC_INTERVAL).await;
    let penalty = json!({ "rateLimit": { "retryAfter": 300, "penaltyRestarts": true } });
    let calls = json!({ "path": "/restapi/v1.0/", "user": world.user(0)["extensionId"] });
    let fault = json!([{ "match": calls, "times": 1, "do": penalty }]);
    world.sim(Method::PUT, "/_sim/faults", Some(fault)).await;
    let mut sent = world.count("webhook_sent").await;
    for at in 0..4 {
        text(&world, &format!("text {at}"), true).await;
        // One event with the message, one that reports a change of the message store.
        sent += 2;
        until("two events", async || world.count("webhook_sent").await >= sent).await;
        world.advance(61).await;
        assert_eq!(world.count("rate_limited").await, 1, "no call after the first one, at {at}");
    }
    text(&world, "text 4", false).await;
    world.advance(61).await;
    let refused = world.post("/v1/rc/numbers/refresh", &world.tenant().key).await;
    assert_eq!(refused.error(), (503, "unavailable".to_owned()), "other operations make no call either");
    assert_eq!(world.count("rate_limited").await, 1);
    assert_eq!(stored(&world).await.len(), 4, "events are stored during the penalty");
    world.advance(61).await;
    assert_eq!(world.count("rate_limited").await, 1);
    assert_eq!(stored(&world).await, ["text 0", "text 1", "text 2", "text 3", "text 4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_stored_for_a_connection_that_is_removed_during_a_sync() {
    let world = connected().await;
    world.advance(SYNC_INTERVAL).await;
    text(&world, "too late", false).await;
    world.without_schedules_of(&["sync-messages"]).await;
    world.advance(SYNC_INTERVAL).await;
    // The row is deleted while the response is on its way.
    world.sim_fault("/message-sync", Some(1), json!({ "delayMs": 4_000 })).await;
    let disconnect = async {
        until("a sync", async || fired(&world).await == [1]).await;
        world.post("/v1/rc/disconnect", &world.tenant().key).await.expect(200);
    };
    let nothing = json!({});
    tokio::join!(world.invoke("sync-messages", &nothing), disconnect);
    world.idle().await;
    assert_eq!((stored(&world).await, events(&world).await), (Vec::<String>::new(), 0));
}
