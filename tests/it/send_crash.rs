//! Sending when processes are killed and queues hold what nobody can work on. The ledger is the judge.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::send::{
    SENT, TO, accept, connected, id, message, send, texts, told, until, until_settled, waiting,
};
use crate::world::World;

/// A dead worker's lease ends, and the next run of the sweep rings for what it has left.
async fn after_a_crash(world: &World) {
    world.advance(75).await;
    world.advance(61).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_stored_when_the_api_is_killed_is_sent_once_within_a_minute() {
    let (world, tenant, from) = connected().await;
    let committed = json!({ "function": "send-sms", "operation": "TransactWriteItems" });
    world.aws_fault(committed, 0, Some(1), json!({ "kill": "after" })).await;
    let order = json!({ "to": TO, "from": from, "body": "Nobody was told" });
    let reply = send(&world, &tenant, order).await;
    assert!(reply.status.is_server_error(), "{} {}", reply.status, reply.text);
    world.no_faults().await;
    assert_eq!(world.count("sms_accepted").await, 0);
    world.advance(60).await;
    world.stack.wait_until_idle().await;
    assert_eq!(texts(&world).await, ["Nobody was told"]);
    let listed = world.get("/v1/sms/messages", &tenant.key).await.expect(200).json();
    assert_eq!(listed["total"], 1);
    assert!(SENT.contains(&listed["messages"][0]["status"].as_str().unwrap()), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_at_any_step_sends_each_text_once() {
    let steps = at_any_step(Some(1), json!({ "kill": "after" })).await;
    assert!(steps > 8, "the kill was tried at {steps} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_can_write_no_more_at_any_step_sends_each_text_once() {
    let steps = at_any_step(None, json!({ "error": "InternalServerError", "status": 500 })).await;
    assert!(steps > 8, "the failure was tried at {steps} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_hears_of_no_write_at_any_step_sends_each_text_once() {
    let steps = at_any_step(None, json!({ "applyThenDrop": true })).await;
    assert!(steps > 8, "the silence was tried at {steps} steps");
}

/// Sends texts, each with a fault that comes one AWS call of the worker later. Gives how many there were.
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
        // What may have gone out is looked for two minutes later.
        world.advance(130).await;
        let settled = until_settled(&world, &tenant, &id).await;
        if settled["status"] == "unknown" {
            // Between the claim and the call: nobody can know, and RingCentral has nothing.
            assert_eq!(texts(&world).await, bodies, "step {skip}");
            let path = format!("/v1/sms/{id}/resolve");
            let resend = json!({ "action": "resend" });
            world.call(Method::POST, &path, &tenant.key, Some(resend)).await.expect(200);
            until(&world, &tenant, &id, &SENT).await;
        } else {
            assert!(SENT.contains(&settled["status"].as_str().unwrap()), "step {skip}: {settled}");
        }
        // The worker that has taken over may still be at what follows from the send.
        world.stack.wait_until_idle().await;
        bodies.push(body);
        assert_eq!(texts(&world).await, bodies, "step {skip}");
        assert_eq!(waiting(&world).await, 0, "step {skip}");
        // What is overtaken need not be told; what is true now is, and nothing twice.
        let (told, now) = (told(&world, &id).await, message(&world, &tenant, &id).await);
        let different: BTreeSet<_> = told.iter().collect();
        assert_eq!(told.len(), different.len(), "step {skip}: {told:?}");
        assert_eq!(told.last().map(String::as_str), now["status"].as_str(), "step {skip}: {told:?}");
        if !fired {
            break;
        }
    }
    bodies.len() - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_is_killed_at_any_step_finds_its_text_all_the_same() {
    let (world, tenant, from) = connected().await;
    let mut bodies = Vec::new();
    for skip in 0.. {
        world.sim_fault("/sms", Some(1), json!({ "applyThenDrop": true })).await;
        let body = format!("Looked for at step {skip}");
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
        let settled = until_settled(&world, &tenant, &id).await;
        assert!(SENT.contains(&settled["status"].as_str().unwrap()), "step {skip}: {settled}");
        bodies.push(body);
        assert_eq!(texts(&world).await, bodies, "step {skip}");
        world.stack.wait_until_idle().await;
        assert_eq!(waiting(&world).await, 0, "step {skip}");
        if !fired {
            break;
        }
    }
    assert!(bodies.len() > 5, "the kill was tried at {} steps", bodies.len() - 1);
}

/// The status of its first part may be told at any moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_changes_while_a_part_of_it_is_on_its_way_goes_once() {
    let (world, tenant, from) = connected().await;
    world.sim_fault("/sms", Some(2), json!({ "delayMs": 1_500 })).await;
    let id = accept(&world, &tenant, &from, &"long ".repeat(250)).await;
    let mut begun = message(&world, &tenant, &id).await;
    while begun["attempts"] == 0 {
        begun = message(&world, &tenant, &id).await;
    }
    assert_eq!(begun["status"], "sending", "its second part is on its way");
    let change = json!({
        "TableName": world.table("MessagesTable").await,
        "Key": { "tenant": { "S": tenant.id }, "item": { "S": format!("message#{id}") } },
        "UpdateExpression": "ADD version :one", "ExpressionAttributeValues": { ":one": { "N": "1" } },
    });
    world.dynamodb("UpdateItem", &change).await;
    until(&world, &tenant, &id, &SENT).await;
    world.stack.wait_until_idle().await;
    assert_eq!(texts(&world).await.len(), 2);
    assert_eq!(told(&world, &id).await[..2], ["sending", "sent"]);
    assert_eq!(waiting(&world).await, 0);
}

/// Somebody who takes the message back, or notes what became of its first part, does so in a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_meets_a_transaction_is_made_again_at_once() {
    let (world, tenant, from) = connected().await;
    let matching = json!({ "function": "deliver-sms", "operation": "PutItem" });
    let conflict = json!({ "error": "TransactionConflictException", "status": 400 });
    world.aws_fault(matching, 0, Some(2), conflict).await;
    let id = accept(&world, &tenant, &from, "Twice refused").await;
    until(&world, &tenant, &id, &SENT).await;
    world.stack.wait_until_idle().await;
    let fired = world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"].clone();
    assert_eq!((fired, texts(&world).await.len(), waiting(&world).await), (json!(2), 1, 0));
}

/// One line for a sender, however many texts it has; it goes when it has none.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_is_marked_for_as_long_as_it_may_have_something() {
    let (world, tenant, from) = connected().await;
    let marks = async || {
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
        assert_eq!((marks().await, waiting(&world).await), (1, 3));
        world.advance(60).await;
        until(&world, &tenant, &last, &SENT).await;
        assert_eq!(marks().await, 1, "a process may still rely on it");
        world.advance(45 * 60).await;
        world.stack.wait_until_idle().await;
        assert_eq!(marks().await, 0);
    }
    assert_eq!(texts(&world).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_an_unknown_form_lies_in_the_dead_letter_queue_and_stops_nobody() {
    let (world, tenant, from) = connected().await;
    for body in
        [json!({ "tenantId": tenant.id, "extensionId": "1", "schema": 2 }).to_string(), "ring".to_owned()]
    {
        world.sqs("SendMessage", "DeliverSmsQueue", json!({ "MessageBody": body })).await;
    }
    let id = accept(&world, &tenant, &from, "Beside").await;
    until(&world, &tenant, &id, &SENT).await;
    assert_eq!(in_queue(&world, "DeliverSmsDeadLetters").await, 0);
    for _ in 0..11 {
        world.advance(91).await;
    }
    assert_eq!(in_queue(&world, "DeliverSmsDeadLetters").await, 2, "nothing is thrown away");
    // The operator moves them back, to no avail, and without harm.
    let source = "arn:aws:sqs:us-east-1:000000000000:ringbridge-local-DeliverSmsDeadLetters";
    world.sqs("StartMessageMoveTask", "DeliverSmsDeadLetters", json!({ "SourceArn": source })).await;
    for _ in 0..11 {
        world.advance(91).await;
    }
    assert_eq!(in_queue(&world, "DeliverSmsDeadLetters").await, 2);
    assert_eq!(texts(&world).await, ["Beside"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rings_that_failed_too_often_are_moved_back_and_double_nothing() {
    let (world, tenant, from) = connected().await;
    let lane = json!({ "service": "dynamodb", "operation": "UpdateItem", "function": "deliver-sms" });
    let down = json!({ "error": "InternalServerError", "status": 500 });
    world.aws_fault(lane, 0, None, down).await;
    let id = accept(&world, &tenant, &from, "Patient").await;
    for _ in 0..12 {
        world.advance(91).await;
    }
    assert!(in_queue(&world, "DeliverSmsDeadLetters").await > 0);
    assert_eq!(
        message(&world, &tenant, &id).await["status"],
        "queued",
        "the text itself is safe in its table"
    );
    world.no_faults().await;
    // What was received for the tenth time just now is moved with the next look.
    world.advance(91).await;
    until(&world, &tenant, &id, &SENT).await;
    let source = "arn:aws:sqs:us-east-1:000000000000:ringbridge-local-DeliverSmsDeadLetters";
    world.sqs("StartMessageMoveTask", "DeliverSmsDeadLetters", json!({ "SourceArn": source })).await;
    for _ in 0..3 {
        world.advance(91).await;
    }
    assert_eq!(texts(&world).await, ["Patient"]);
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
    let sent: BTreeSet<String> = texts(&world).await.into_iter().collect();
    assert_eq!((sent.len(), world.count("sms_accepted").await), (64, 64));
}

/// Case R6.
#[tokio::test(flavor = "multi_thread")]
async fn texts_wait_while_the_token_endpoint_is_silent() {
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
    assert_eq!((asked().await, world.count("sms_accepted").await), (before, 0), "silence for a minute");
    for _ in 0..3 {
        world.advance(61).await;
    }
    assert_eq!(texts(&world).await.len(), 5);
    assert_eq!(world.count("rate_limited").await, 1, "the penalty was not restarted");
    assert_eq!(waiting(&world).await, 0);
}

/// Case S6.
#[tokio::test(flavor = "multi_thread")]
async fn a_penalty_in_the_middle_of_five_hundred_texts_costs_time_alone() {
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
    assert_eq!(texts(&world).await, bodies);
    let refused = world.ledger("rate_limited").await;
    assert!(refused.len() <= 1, "no call in the penalty: {refused:?}");
    assert_eq!(waiting(&world).await, 0);
    assert_eq!(in_queue(&world, "DeliverSmsDeadLetters").await, 0);
}

/// Messages in a queue of the template.
async fn in_queue(world: &World, queue: &str) -> usize {
    let queues = world.aws(Method::GET, "/_aws/sqs", None).await;
    let queues = queues["queues"].as_array().unwrap();
    let one = queues.iter().find(|one| one["name"].as_str().unwrap().ends_with(queue)).unwrap();
    one["messages"].as_array().map_or(0, Vec::<Value>::len)
}
