//! Sending when processes crash and queues hold unreadable messages. The simulator's ledger shows what was sent.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::send::{
    SENT, TO, accept, accepted_texts, connected, id, message, pending_entries, send, status_events, until,
    until_settled,
};
use crate::world::World;

/// Lets the lease of a crashed worker expire, and the sweep wake the sender.
async fn after_a_crash(world: &World) {
    world.advance(75).await;
    world.advance(61).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_stored_before_the_api_crashes_is_sent_once_within_a_minute() {
    let (world, tenant, from) = connected().await;
    let committed = json!({ "function": "send-sms", "operation": "TransactWriteItems" });
    world.aws_fault(committed, 0, Some(1), json!({ "kill": "after" })).await;
    let order = json!({ "to": TO, "from": from, "body": "No response" });
    let reply = send(&world, &tenant, order).await;
    assert!(reply.status.is_server_error(), "{} {}", reply.status, reply.text);
    world.no_faults().await;
    assert_eq!(world.count("sms_accepted").await, 0);
    world.advance(60).await;
    world.stack.wait_until_idle().await;
    assert_eq!(accepted_texts(&world).await, ["No response"]);
    let listed = world.get("/v1/sms/messages", &tenant.key).await.expect(200).json();
    assert_eq!(listed["total"], 1);
    assert!(SENT.contains(&listed["messages"][0]["status"].as_str().unwrap()), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_at_any_step_sends_each_message_once() {
    let steps = at_any_step(Some(1), json!({ "kill": "after" })).await;
    assert!(steps > 8, "the crash was tried at {steps} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_writes_fail_from_any_step_on_sends_each_message_once() {
    let steps = at_any_step(None, json!({ "error": "InternalServerError", "status": 500 })).await;
    assert!(steps > 8, "the failure was tried at {steps} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_write_responses_are_lost_from_any_step_on_sends_each_message_once() {
    let steps = at_any_step(None, json!({ "applyThenDrop": true })).await;
    assert!(steps > 8, "the loss was tried at {steps} steps");
}

/// Sends messages, each with a fault one AWS call of the worker later than the one before. Returns the number of steps.
async fn at_any_step(times: Option<u32>, act: Value) -> usize {
    let (world, tenant, from) = connected().await;
    let mut bodies = Vec::new();
    for skip in 0.. {
        let matching = json!({ "function": "deliver-sms", "service": "dynamodb" });
        world.aws_fault(matching, skip, times, act.clone()).await;
        let body = format!("Trouble at step {skip}");
        let id = accept(&world, &tenant, &from, &body).await;
        world.stack.wait_until_idle().await;
        let fired = world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"] != 0;
        world.no_faults().await;
        after_a_crash(&world).await;
        // Ambiguous sends are reconciled after two minutes.
        world.advance(130).await;
        let ended = until_settled(&world, &tenant, &id).await;
        if ended["status"] == "unknown" {
            // The crash was between the claim and the call: RingCentral has no record.
            assert_eq!(accepted_texts(&world).await, bodies, "step {skip}");
            let path = format!("/v1/sms/{id}/resolve");
            let resend = json!({ "action": "resend" });
            world.call(Method::POST, &path, &tenant.key, Some(resend)).await.expect(200);
            until(&world, &tenant, &id, &SENT).await;
        } else {
            assert!(SENT.contains(&ended["status"].as_str().unwrap()), "step {skip}: {ended}");
        }
        // The worker that took over may still be finishing the send.
        world.stack.wait_until_idle().await;
        bodies.push(body);
        assert_eq!(accepted_texts(&world).await, bodies, "step {skip}");
        assert_eq!(pending_entries(&world).await, 0, "step {skip}");
        // A status that was soon replaced may have no event. The current one has, and none has two.
        let (events, now) = (status_events(&world, &id).await, message(&world, &tenant, &id).await);
        let different: BTreeSet<_> = events.iter().collect();
        assert_eq!(events.len(), different.len(), "step {skip}: {events:?}");
        assert_eq!(events.last().map(String::as_str), now["status"].as_str(), "step {skip}: {events:?}");
        if !fired {
            break;
        }
    }
    bodies.len() - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconciliation_that_crashes_at_any_step_still_finds_the_message() {
    let (world, tenant, from) = connected().await;
    let mut bodies = Vec::new();
    for skip in 0.. {
        world.sim_fault("/sms", Some(1), json!({ "applyThenDrop": true })).await;
        let body = format!("Reconciled at step {skip}");
        let id = accept(&world, &tenant, &from, &body).await;
        until(&world, &tenant, &id, &["sending"]).await;
        world.stack.wait_until_idle().await;
        let matching = json!({ "function": "deliver-sms", "service": "dynamodb" });
        world.aws_fault(matching, skip, Some(1), json!({ "kill": "after" })).await;
        world.advance(130).await;
        world.stack.wait_until_idle().await;
        let fired = world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"] != 0;
        world.no_faults().await;
        after_a_crash(&world).await;
        let ended = until_settled(&world, &tenant, &id).await;
        assert!(SENT.contains(&ended["status"].as_str().unwrap()), "step {skip}: {ended}");
        bodies.push(body);
        assert_eq!(accepted_texts(&world).await, bodies, "step {skip}");
        world.stack.wait_until_idle().await;
        assert_eq!(pending_entries(&world).await, 0, "step {skip}");
        if !fired {
            break;
        }
    }
    assert!(bodies.len() > 5, "the crash was tried at {} steps", bodies.len() - 1);
}

/// A delivery report for the first part may come at any moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_changes_while_a_part_is_in_flight_is_sent_once() {
    let (world, tenant, from) = connected().await;
    world.sim_fault("/sms", Some(2), json!({ "delayMs": 1_500 })).await;
    let id = accept(&world, &tenant, &from, &"long ".repeat(250)).await;
    let mut begun = message(&world, &tenant, &id).await;
    while begun["attempts"] == 0 {
        begun = message(&world, &tenant, &id).await;
    }
    assert_eq!(begun["status"], "sending", "its second part is in flight");
    let change = json!({
        "TableName": world.table("MessagesTable").await,
        "Key": { "tenant": { "S": tenant.id }, "item": { "S": format!("message#{id}") } },
        "UpdateExpression": "ADD version :one", "ExpressionAttributeValues": { ":one": { "N": "1" } },
    });
    world.dynamodb("UpdateItem", &change).await;
    until(&world, &tenant, &id, &SENT).await;
    world.stack.wait_until_idle().await;
    assert_eq!(accepted_texts(&world).await.len(), 2);
    assert_eq!(status_events(&world, &id).await[..2], ["sending", "sent"]);
    assert_eq!(pending_entries(&world).await, 0);
}

/// Canceling a message is a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_conflicts_with_a_transaction_is_retried_at_once() {
    let (world, tenant, from) = connected().await;
    let matching = json!({ "function": "deliver-sms", "operation": "PutItem" });
    let conflict = json!({ "error": "TransactionConflictException", "status": 400 });
    world.aws_fault(matching, 0, Some(2), conflict).await;
    let id = accept(&world, &tenant, &from, "Twice refused").await;
    until(&world, &tenant, &id, &SENT).await;
    world.stack.wait_until_idle().await;
    let fired = world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"].clone();
    assert_eq!((fired, accepted_texts(&world).await.len(), pending_entries(&world).await), (json!(2), 1, 0));
}

/// A sender has one active marker, however many messages are pending. It is deleted when none is.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_has_an_active_marker_while_its_outbox_may_not_be_empty() {
    let (world, tenant, from) = connected().await;
    let markers = async || {
        let rows = world.items("MessagesTable").await;
        rows.iter().filter(|row| row["item"]["S"].as_str().unwrap().starts_with("active#")).count()
    };
    for round in 0..2 {
        let fault = json!({ "service": "sqs", "operation": "SendMessage", "function": "send-sms" });
        world.aws_fault(fault, 0, None, json!({ "error": "ServiceUnavailable", "status": 503 })).await;
        let mut last = String::new();
        for at in 0..3 {
            last = accept(&world, &tenant, &from, &format!("{round}.{at}")).await;
        }
        world.no_faults().await;
        assert_eq!((markers().await, pending_entries(&world).await), (1, 3));
        world.advance(60).await;
        until(&world, &tenant, &last, &SENT).await;
        assert_eq!(markers().await, 1, "a process may still rely on it");
        world.advance(45 * 60).await;
        world.stack.wait_until_idle().await;
        assert_eq!(markers().await, 0);
    }
    assert_eq!(accepted_texts(&world).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_wakeup_goes_to_the_dead_letter_queue_and_blocks_no_other() {
    let (world, tenant, from) = connected().await;
    for body in
        [json!({ "tenantId": tenant.id, "extensionId": "1", "schema": 2 }).to_string(), "wakeup".to_owned()]
    {
        world.sqs("SendMessage", "DeliverSmsQueue", json!({ "MessageBody": body })).await;
    }
    let id = accept(&world, &tenant, &from, "Beside").await;
    until(&world, &tenant, &id, &SENT).await;
    assert_eq!(in_queue(&world, "DeliverSmsDeadLetters").await, 0);
    for _ in 0..11 {
        world.advance(91).await;
    }
    assert_eq!(in_queue(&world, "DeliverSmsDeadLetters").await, 2, "no message is discarded");
    // The operator redrives them: they fail again, without harm.
    let source = "arn:aws:sqs:us-east-1:000000000000:ringbridge-local-DeliverSmsDeadLetters";
    world.sqs("StartMessageMoveTask", "DeliverSmsDeadLetters", json!({ "SourceArn": source })).await;
    for _ in 0..11 {
        world.advance(91).await;
    }
    assert_eq!(in_queue(&world, "DeliverSmsDeadLetters").await, 2);
    assert_eq!(accepted_texts(&world).await, ["Beside"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn redriven_wakeups_send_no_message_twice() {
    let (world, tenant, from) = connected().await;
    let leasing = json!({ "service": "dynamodb", "operation": "UpdateItem", "function": "deliver-sms" });
    let down = json!({ "error": "InternalServerError", "status": 500 });
    world.aws_fault(leasing, 0, None, down).await;
    let id = accept(&world, &tenant, &from, "Patient").await;
    for _ in 0..12 {
        world.advance(91).await;
    }
    assert!(in_queue(&world, "DeliverSmsDeadLetters").await > 0);
    assert_eq!(message(&world, &tenant, &id).await["status"], "queued", "the message is safe in the table");
    world.no_faults().await;
    // A message received for the tenth time is moved at the next receive.
    world.advance(91).await;
    until(&world, &tenant, &id, &SENT).await;
    let source = "arn:aws:sqs:us-east-1:000000000000:ringbridge-local-DeliverSmsDeadLetters";
    world.sqs("StartMessageMoveTask", "DeliverSmsDeadLetters", json!({ "SourceArn": source })).await;
    for _ in 0..3 {
        world.advance(91).await;
    }
    assert_eq!(accepted_texts(&world).await, ["Patient"]);
    assert_eq!(in_queue(&world, "DeliverSmsDeadLetters").await, 0);
}

/// Case R1.
#[tokio::test(flavor = "multi_thread")]
async fn many_sends_at_expiry_take_one_refresh() {
    let (world, tenant, from) = connected().await;
    for round in 1..=2 {
        world.advance(3_700).await;
        let before = world.count("token_refreshed").await;
        let order = |at: usize| json!({ "to": TO, "from": from, "body": format!("{round}.{at}") });
        let replies = join_all((0..32).map(|at| send(&world, &tenant, order(at)))).await;
        for reply in replies {
            until(&world, &tenant, &id(&reply.expect(202)), &SENT).await;
        }
        assert!(world.count("token_refreshed").await <= before + 1, "one refresh for each expiry");
    }
    assert_eq!(world.count("token_refused").await, 0);
    let sent: BTreeSet<String> = accepted_texts(&world).await.into_iter().collect();
    assert_eq!((sent.len(), world.count("sms_accepted").await), (64, 64));
}

/// Case R6.
#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_while_the_token_endpoint_is_rate_limited() {
    let (world, tenant, from) = connected().await;
    let limited = json!({ "rateLimit": { "retryAfter": 60, "penaltyRestarts": true } });
    world.sim_fault("/oauth/token", Some(1), limited).await;
    world.advance(3_700).await;
    for at in 0..5 {
        accept(&world, &tenant, &from, &format!("Waits {at}")).await;
    }
    world.stack.wait_until_idle().await;
    let asked = async || world.count("token_refreshed").await + world.count("token_refused").await;
    let before = asked().await;
    world.advance(20).await;
    world.advance(20).await;
    assert_eq!((asked().await, world.count("sms_accepted").await), (before, 0), "no call during the penalty");
    for _ in 0..3 {
        world.advance(61).await;
    }
    assert_eq!(accepted_texts(&world).await.len(), 5);
    assert_eq!(world.count("rate_limited").await, 1, "the penalty was not restarted");
    assert_eq!(pending_entries(&world).await, 0);
}

/// Case S6.
#[tokio::test(flavor = "multi_thread")]
async fn a_penalty_amid_five_hundred_messages_only_delays_them() {
    let (world, tenant, from) = connected().await;
    let mut bodies = Vec::new();
    for at in 0..500 {
        let body = format!("No. {at:03}");
        accept(&world, &tenant, &from, &body).await;
        bodies.push(body);
    }
    let limited = json!({ "rateLimit": { "retryAfter": 60, "penaltyRestarts": true } });
    for minute in 0..20 {
        if minute == 6 {
            world.sim_fault("/sms", Some(1), limited.clone()).await;
        }
        world.advance(62).await;
    }
    assert_eq!(accepted_texts(&world).await, bodies);
    let refused = world.ledger("rate_limited").await;
    assert!(refused.len() <= 1, "no call during the penalty: {refused:?}");
    assert_eq!(pending_entries(&world).await, 0);
    assert_eq!(in_queue(&world, "DeliverSmsDeadLetters").await, 0);
}

/// Messages in a queue of the template.
async fn in_queue(world: &World, queue: &str) -> usize {
    let queues = world.aws(Method::GET, "/_aws/sqs", None).await;
    let queues = queues["queues"].as_array().unwrap();
    let one = queues.iter().find(|one| one["name"].as_str().unwrap().ends_with(queue)).unwrap();
    one["messages"].as_array().map_or(0, Vec::<Value>::len)
}
