//! Delivery reports: the statuses of sent messages are read by message sync, without an event of RingCentral.

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::send::{SENT, accept, accepted_texts, connected, message, pending_entries, status_events, until};
use crate::world::{TestTenant, World};

/// Messages whose final status is known by now: the time when they were accepted by RingCentral, and the message.
async fn finished(world: &World, tenant: &TestTenant, ids: &[String]) -> Vec<(Timestamp, Value)> {
    let accepted = world.ledger("sms_accepted").await;
    let mut found = Vec::new();
    for (id, entry) in ids.iter().zip(&accepted) {
        let message = message(world, tenant, id).await;
        if ["delivered", "failed"].contains(&message["status"].as_str().unwrap()) {
            found.push((entry["at"].as_str().unwrap().parse().unwrap(), message));
        }
    }
    found
}

/// How long after RingCentral a final status was known.
fn lateness(accepted: Timestamp, message: &Value, step: i64) -> SignedDuration {
    let known: Timestamp = message["updatedAt"].as_str().unwrap().parse().unwrap();
    // A status for the carrier, then one for the phone.
    known.duration_since(accepted) - SignedDuration::from_secs(2 * step)
}

async fn steps_of(world: &World, seconds: i64, last: &str) {
    let settings = json!({ "statusStepSeconds": seconds, "finalStatus": last });
    world.sim(Method::PUT, "/_sim/settings", Some(settings)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_messages_are_sent_a_final_status_is_known_within_a_minute_and_without_events() {
    let (world, tenant, from) = connected().await;
    world.idle().await;
    let events_of_ringcentral = world.count("webhook_sent").await;
    let (mut ids, mut bodies) = (Vec::new(), Vec::new());
    for (seconds, last) in [(2, "Delivered"), (8, "DeliveryFailed"), (14, "Delivered")] {
        steps_of(&world, seconds, last).await;
        let first = ids.len();
        // One message every seven seconds, and three of them at once after 35.
        for at in 0..14 {
            for more in 0..if at % 5 == 4 { 3 } else { 1 } {
                let body = format!("{seconds}-{at}-{more}");
                ids.push(accept(&world, &tenant, &from, &body).await);
                bodies.push(body);
            }
            world.advance(7).await;
        }
        for _ in 0..9 {
            world.advance(10).await;
        }
        let expected = if last == "Delivered" { "delivered" } else { "failed" };
        let known = finished(&world, &tenant, &ids).await;
        assert_eq!(known.len(), ids.len(), "every final status is known with steps of {seconds} seconds");
        for (accepted, message) in &known[first..] {
            let late = lateness(*accepted, message, seconds);
            assert_eq!(message["status"], expected);
            assert!(late < SignedDuration::from_secs(60), "{late:#} late with steps of {seconds}: {message}");
        }
    }
    assert_eq!(accepted_texts(&world).await, bodies, "each message is sent once, in order");
    assert_eq!(world.count("webhook_sent").await, events_of_ringcentral, "RingCentral sends no event");
    for id in &ids {
        assert_eq!(status_events(&world, id).await.len(), 2, "sent, and the final status");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_takes_long_is_noticed_after_as_long_again_and_within_the_interval_of_activity() {
    let (world, tenant, from) = connected().await;
    let mut ids = Vec::new();
    for (seconds, advance) in [(1, 5), (13, 5), (30, 10), (100, 20), (1_500, 60)] {
        steps_of(&world, seconds, "Delivered").await;
        let body = format!("steps of {seconds}");
        ids.push(accept(&world, &tenant, &from, &body).await);
        let took = 2 * seconds;
        // `docs/limits.md`: as long again, at least 30 seconds, and the minute of the schedule; the interval of an active
        // connection is at most 12 minutes.
        let bound = took.clamp(30, 720) + 60 + advance;
        let mut passed = 0;
        while passed < took + bound {
            world.advance(advance).await;
            passed += advance;
            if finished(&world, &tenant, &ids).await.len() == ids.len() {
                break;
            }
        }
        let known = finished(&world, &tenant, &ids).await;
        assert_eq!(known.len(), ids.len(), "noticed within {bound} seconds: {seconds}");
        let (accepted, message) = known.last().unwrap();
        let late = lateness(*accepted, message, seconds);
        assert!(late <= SignedDuration::from_secs(bound), "{late:#} late with steps of {seconds}");
    }
    assert_eq!(accepted_texts(&world).await.len(), ids.len());
}

/// Faults at each AWS call of a wake-up that reads the statuses: crashes after it, failures and lost responses from it on.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_sync_with_a_fault_at_any_step_reports_each_status_once() {
    let (world, tenant, from) = connected().await;
    let faults = [
        ("killed", Some(1), json!({ "kill": "after" })),
        ("failing", None, json!({ "error": "InternalServerError", "status": 500 })),
        ("losing", None, json!({ "applyThenDrop": true })),
    ];
    let mut bodies = Vec::new();
    let mut crashes = 0;
    for skip in 0.. {
        let mut is_over = true;
        for (kind, times, act) in &faults {
            let body = format!("{kind} at step {skip}");
            let id = accept(&world, &tenant, &from, &body).await;
            bodies.push(body);
            until(&world, &tenant, &id, &SENT).await;
            world.stack.wait_until_idle().await;
            let matching = json!({ "function": "deliver-sms", "service": "dynamodb" });
            world.aws_fault(matching, skip, *times, act.clone()).await;
            world.advance(21).await;
            world.stack.wait_until_idle().await;
            let fired = world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"] != 0;
            world.no_faults().await;
            crashes += usize::from(fired);
            is_over &= !fired;
            // The lease of a killed worker expires; then the sync of an active connection is due.
            for seconds in [75, 61, 720, 61] {
                world.advance(seconds).await;
            }
            world.stack.wait_until_idle().await;
            let ended = message(&world, &tenant, &id).await;
            assert_eq!(ended["status"], "delivered", "{kind} at step {skip}");
            assert_eq!(status_events(&world, &id).await, ["sent", "delivered"], "{kind} at step {skip}");
        }
        if is_over {
            break;
        }
    }
    assert!(crashes > 30, "{crashes} faults");
    assert_eq!(accepted_texts(&world).await, bodies, "nothing is sent twice");
    assert_eq!(pending_entries(&world).await, 0);
}

/// Makes the connection's sync due now, from a full sync on.
async fn request_full_sync(world: &World) {
    let rows = world.items("ConnectionsTable").await;
    let row = rows.iter().find(|row| row["item"]["S"].as_str().unwrap().starts_with("connection#")).unwrap();
    let now = crate::world::now(world).await.as_millisecond().to_string();
    let change = json!({
        "TableName": world.table("ConnectionsTable").await,
        "Key": { "tenant": row["tenant"], "item": row["item"] },
        "UpdateExpression": "SET sync_due = :now REMOVE sync_token",
        "ExpressionAttributeValues": { ":now": { "N": now } },
    });
    world.dynamodb("UpdateItem", &change).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_syncs_of_one_report_append_one_event() {
    let (world, tenant, from) = connected().await;
    let id = accept(&world, &tenant, &from, "Twice").await;
    until(&world, &tenant, &id, &SENT).await;
    world.stack.wait_until_idle().await;
    // Another sync reads the record between the two writes of the worker's sync.
    let appending = json!({ "function": "deliver-sms", "operation": "PutItem", "table": "EventsTable" });
    world.aws_fault(appending, 0, Some(1), json!({ "delayMs": 1_500 })).await;
    let other = async {
        until(&world, &tenant, &id, &["delivered"]).await;
        request_full_sync(&world).await;
        world.invoke("sync-messages", &json!({})).await;
    };
    tokio::join!(world.advance(21), other);
    world.stack.wait_until_idle().await;
    world.no_faults().await;
    // All records are read again, by which time a missing event would be appended.
    for _ in 0..3 {
        world.advance(60).await;
        request_full_sync(&world).await;
        world.advance(61).await;
    }
    assert_eq!(message(&world, &tenant, &id).await["status"], "delivered");
    assert_eq!(status_events(&world, &id).await, ["sent", "delivered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_a_crashed_sync_has_not_appended_follows_once() {
    let (world, tenant, from) = connected().await;
    let mut sent = Vec::new();
    // A report about one of two parts, too: it changes the message and not its status.
    for (last, body) in [("Delivered", "One".to_owned()), ("DeliveryFailed", "long ".repeat(250))] {
        steps_of(&world, 1, last).await;
        let id = accept(&world, &tenant, &from, &body).await;
        until(&world, &tenant, &id, &SENT).await;
        world.stack.wait_until_idle().await;
        let before = status_events(&world, &id).await;
        let saving = json!({ "function": "deliver-sms", "operation": "PutItem", "table": "MessagesTable" });
        world.aws_fault(saving, 0, Some(1), json!({ "kill": "after" })).await;
        world.advance(21).await;
        world.stack.wait_until_idle().await;
        let fired = world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"].clone();
        assert_eq!((fired, status_events(&world, &id).await), (json!(1), before.clone()), "it has no event");
        world.no_faults().await;
        for _ in 0..4 {
            world.advance(61).await;
        }
        sent.push((id, before));
    }
    for _ in 0..3 {
        request_full_sync(&world).await;
        world.advance(61).await;
    }
    for ((id, mut events), last) in sent.into_iter().zip(["delivered", "failed"]) {
        assert_eq!(message(&world, &tenant, &id).await["status"], last);
        events.push(last.to_owned());
        assert_eq!(status_events(&world, &id).await, events);
    }
}
