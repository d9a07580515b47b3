//! Sending with failures: lost responses, penalties, disconnected senders. The simulator's ledger shows what was sent.

use reqwest::Method;
use serde_json::{Value, json};

use crate::send::{
    SENT, TO, accept, accepted_texts, connected, id, message, pending_entries, send, status_events, until,
    until_settled,
};
use crate::world::{TestTenant, World};

const SMS: &str = "/sms";

/// Sends one message with this fault, which loses the response, and lets the reconciliation run.
async fn after_a_lost_response(act: Value, more: Value) -> (World, TestTenant, Value) {
    let (world, tenant, from) = connected().await;
    world.sim_fault(SMS, Some(1), act).await;
    let mut fields = json!({ "to": TO, "from": from, "body": "Lost?" });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = id(&send(&world, &tenant, fields).await.expect(202));
    until(&world, &tenant, &id, &["sending"]).await;
    assert_eq!(world.count("sms_accepted").await, accepted_texts(&world).await.len());
    world.advance(130).await;
    let ended = until_settled(&world, &tenant, &id).await;
    (world, tenant, ended)
}

#[tokio::test]
async fn a_message_whose_response_was_lost_is_found() {
    for act in [json!({ "applyThenDrop": true }), json!({ "truncateJson": true })] {
        let (world, _, message) = after_a_lost_response(act, json!({})).await;
        assert!(SENT.contains(&message["status"].as_str().unwrap()), "{message}");
        let accepted = world.ledger("sms_accepted").await;
        assert_eq!(accepted.len(), 1);
        assert_eq!(accepted[0]["messageId"], message["rcMessageId"]);
        let events = status_events(&world, message["messageId"].as_str().unwrap()).await;
        assert_eq!(events[0], "sending");
        assert!(SENT.contains(&events[1].as_str()), "{events:?}");
        assert_eq!(pending_entries(&world).await, 0);
    }
}

#[tokio::test]
async fn a_message_that_ringcentral_never_received_is_unknown_until_the_tenant_resolves_it() {
    for (action, accepted_then, statuses) in [("resend", 1, &SENT[..]), ("drop", 0, &["failed"][..])] {
        let (world, tenant, message) =
            after_a_lost_response(json!({ "reset": "after_body" }), json!({})).await;
        assert_eq!(message["status"], "unknown");
        assert_eq!(world.count("sms_accepted").await, 0);
        let id = message["messageId"].as_str().unwrap();
        let path = format!("/v1/sms/{id}/resolve");
        let invalid = world.call(Method::POST, &path, &tenant.key, Some(json!({ "action": "hope" }))).await;
        assert_eq!(invalid.error(), (400, "invalid_field".into()));
        world.call(Method::POST, &path, &tenant.key, Some(json!({ "action": action }))).await.expect(200);
        until(&world, &tenant, id, statuses).await;
        assert_eq!(world.count("sms_accepted").await, accepted_then);
        let again = world.call(Method::POST, &path, &tenant.key, Some(json!({ "action": action }))).await;
        assert_eq!(again.error(), (409, "message_state".into()));
        assert_eq!(status_events(&world, id).await.first().map(String::as_str), Some("sending"));
    }
}

#[tokio::test]
async fn an_ambiguous_message_with_resend_is_sent_again() {
    let more = json!({ "onAmbiguous": "resend" });
    let (world, _, message) = after_a_lost_response(json!({ "status": 500 }), more).await;
    assert!(SENT.contains(&message["status"].as_str().unwrap()), "{message}");
    assert_eq!(message["attempts"], 2);
    assert_eq!(world.count("sms_accepted").await, 1);
}

/// RingCentral counts message store calls and sends in different rate limit groups.
#[tokio::test]
async fn a_rate_limited_message_store_delays_reconciliation_and_not_sending() {
    let (world, tenant, from) = connected().await;
    world.sim_fault(SMS, Some(1), json!({ "applyThenDrop": true })).await;
    let lost = accept(&world, &tenant, &from, "Lost?").await;
    until(&world, &tenant, &lost, &["sending"]).await;
    let limited = json!({ "rateLimit": { "retryAfter": 90, "penaltyRestarts": true } });
    world.sim_fault("/message-store", Some(1), limited).await;
    world.advance(130).await;
    let other = accept(&world, &tenant, &from, "Other").await;
    until(&world, &tenant, &other, &SENT).await;
    assert_eq!(message(&world, &tenant, &lost).await["status"], "sending");
    for _ in 0..3 {
        world.advance(20).await;
    }
    assert_eq!(
        world.count("rate_limited").await,
        1,
        "no query during the penalty: {:?}",
        world.ledger("rate_limited").await
    );
    world.advance(40).await;
    let found = until_settled(&world, &tenant, &lost).await;
    assert!(SENT.contains(&found["status"].as_str().unwrap()), "{found}");
    assert_eq!(world.count("rate_limited").await, 1);
    assert_eq!(accepted_texts(&world).await, ["Lost?", "Other"]);
}

#[tokio::test]
async fn a_message_store_without_permission_leaves_the_message_unknown() {
    let (world, tenant, from) = connected().await;
    world.sim_fault(SMS, Some(1), json!({ "applyThenDrop": true })).await;
    let lost = accept(&world, &tenant, &from, "Lost?").await;
    until(&world, &tenant, &lost, &["sending"]).await;
    let body = json!({ "errorCode": "CMN-408", "message": "no", "errors": [{ "errorCode": "CMN-408" }] });
    world.sim_fault("/message-store", None, json!({ "status": 403, "body": body })).await;
    world.advance(130).await;
    assert_eq!(until_settled(&world, &tenant, &lost).await["status"], "unknown");
    let other = accept(&world, &tenant, &from, "Other").await;
    until(&world, &tenant, &other, &SENT).await;
}

/// It may have been sent: neither `canceled` nor `expired` would be true.
#[tokio::test]
async fn a_message_that_may_have_been_sent_cannot_be_canceled() {
    let (world, tenant, from) = connected().await;
    world.sim_fault(SMS, Some(1), json!({ "reset": "after_body" })).await;
    let id = accept(&world, &tenant, &from, "Perhaps").await;
    until(&world, &tenant, &id, &["sending"]).await;
    world.advance(130).await;
    assert_eq!(until_settled(&world, &tenant, &id).await["status"], "unknown");
    world.sim_fault(SMS, None, json!({ "rateLimit": { "retryAfter": 300 } })).await;
    let resend = Some(json!({ "action": "resend" }));
    world.call(Method::POST, &format!("/v1/sms/{id}/resolve"), &tenant.key, resend).await.expect(200);
    world.stack.wait_until_idle().await;
    let cancel = world.post(&format!("/v1/sms/{id}/cancel"), &tenant.key).await;
    assert_eq!(cancel.error(), (409, "message_state".into()));
}

#[tokio::test]
async fn a_correlated_record_with_the_same_text_is_not_matched() {
    let (world, tenant, from) = connected().await;
    let known = accept(&world, &tenant, &from, "Same").await;
    let known = until(&world, &tenant, &known, &SENT).await;
    world.sim_fault(SMS, Some(1), json!({ "reset": "after_body" })).await;
    let lost = accept(&world, &tenant, &from, "Same").await;
    until(&world, &tenant, &lost, &["sending"]).await;
    world.advance(130).await;
    let lost = until_settled(&world, &tenant, &lost).await;
    assert_eq!(lost["status"], "unknown");
    assert!(!known["rcMessageId"].is_null() && lost["rcMessageId"].is_null());
    assert_eq!(accepted_texts(&world).await, ["Same"]);
}

#[tokio::test]
async fn a_rejection_is_reported_with_its_code() {
    let (world, tenant, from) = connected().await;
    for (status, code, text) in [
        (403, "MSG-304", format!("Phone number {from} is not registered in this RingCentral account")),
        (403, "MSG-242", "SMS is not available for the sending number".to_owned()),
        (400, "MSG-243", "The recipient is blocked or has opted out".to_owned()),
        (404, "CMN-102", "RingCentral rejected the message".to_owned()),
    ] {
        let body =
            json!({ "errorCode": code, "message": "no", "errors": [{ "errorCode": code, "message": "no" }] });
        world.sim_fault(SMS, Some(1), json!({ "status": status, "body": body })).await;
        let id = accept(&world, &tenant, &from, "Rejected").await;
        let failed = until_settled(&world, &tenant, &id).await;
        assert_eq!(failed["status"], "failed", "{failed}");
        assert_eq!(
            (failed["errorCode"].as_str(), failed["error"].as_str()),
            (Some(code), Some(text.as_str()))
        );
        assert_eq!(status_events(&world, &id).await, ["failed"]);
    }
    assert_eq!(world.count("sms_accepted").await, 0);
}

#[tokio::test]
async fn a_send_that_did_not_reach_ringcentral_is_retried() {
    let (world, tenant, from) = connected().await;
    let body = json!({ "errorCode": "MSG-290", "message": "later", "errors": [{ "errorCode": "MSG-290" }] });
    world.sim_fault(SMS, Some(1), json!({ "status": 503, "body": body })).await;
    let id = accept(&world, &tenant, &from, "Later").await;
    world.stack.wait_until_idle().await;
    assert_eq!(message(&world, &tenant, &id).await["status"], "queued");
    world.advance(10).await;
    until(&world, &tenant, &id, &SENT).await;
    assert_eq!(accepted_texts(&world).await, ["Later"]);
}

#[tokio::test]
async fn a_message_without_a_wakeup_is_sent_within_a_minute() {
    let (world, tenant, from) = connected().await;
    let fault = json!({ "service": "sqs", "operation": "SendMessage", "function": "send-sms" });
    world.aws_fault(fault, 0, None, json!({ "error": "ServiceUnavailable", "status": 503 })).await;
    let id = accept(&world, &tenant, &from, "Not woken").await;
    world.no_faults().await;
    assert_eq!(message(&world, &tenant, &id).await["status"], "queued");
    world.advance(60).await;
    until(&world, &tenant, &id, &SENT).await;
    assert_eq!(accepted_texts(&world).await, ["Not woken"]);
}

#[tokio::test]
async fn no_call_is_made_during_a_penalty_and_the_order_is_kept() {
    let (world, tenant, from) = connected().await;
    let limited = json!({ "rateLimit": { "retryAfter": 60, "penaltyRestarts": true } });
    let mut bodies = Vec::new();
    for at in 0..60 {
        if at == 5 {
            world.sim_fault(SMS, Some(1), limited.clone()).await;
        }
        let body = format!("No. {at:02}");
        accept(&world, &tenant, &from, &body).await;
        bodies.push(body);
    }
    for _ in 0..4 {
        world.advance(65).await;
    }
    assert_eq!(accepted_texts(&world).await, bodies);
    let refused = world.ledger("rate_limited").await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(pending_entries(&world).await, 0);
}

#[tokio::test]
async fn a_high_priority_message_is_sent_first_and_an_expired_one_never() {
    let (world, tenant, from) = connected().await;
    let limited = json!({ "rateLimit": { "retryAfter": 60, "penaltyRestarts": true } });
    world.sim_fault(SMS, Some(1), limited).await;
    let order = |body: &str, more: Value| {
        let mut fields = json!({ "to": TO, "from": from, "body": body });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    send(&world, &tenant, order("bulk", json!({ "priority": "bulk" }))).await.expect(202);
    send(&world, &tenant, order("normal", json!({}))).await.expect(202);
    let now: jiff::Timestamp = world.stack.clock().now();
    let soon = now.saturating_add(jiff::SignedDuration::from_secs(30)).unwrap().to_string();
    let dead = send(&world, &tenant, order("dead", json!({ "expiresAt": soon }))).await.expect(202);
    send(&world, &tenant, order("high", json!({ "priority": "high" }))).await.expect(202);
    world.stack.wait_until_idle().await;
    world.advance(70).await;
    let dead = until_settled(&world, &tenant, &id(&dead)).await;
    assert_eq!(dead["status"], "expired");
    assert_eq!(status_events(&world, dead["messageId"].as_str().unwrap()).await, ["expired"]);
    world.stack.wait_until_idle().await;
    let texts = accepted_texts(&world).await;
    // The bulk message may have been the first attempt: only the order of the others is certain.
    let position = |text: &str| texts.iter().position(|one| one == text).unwrap();
    assert!(position("high") < position("normal") && position("normal") < position("bulk"), "{texts:?}");
    assert_eq!(texts.len(), 3);
}

#[tokio::test]
async fn pending_messages_fail_when_the_sender_is_disconnected_or_the_tenant_suspended() {
    for suspend in [false, true] {
        let (world, tenant, from) = connected().await;
        let limited = json!({ "rateLimit": { "retryAfter": 60, "penaltyRestarts": true } });
        world.sim_fault(SMS, Some(1), limited).await;
        let id = accept(&world, &tenant, &from, "Too late").await;
        world.stack.wait_until_idle().await;
        if suspend {
            world.set_status(&tenant, "suspended").await;
        } else {
            world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
        }
        world.advance(70).await;
        world.stack.wait_until_idle().await;
        if suspend {
            world.set_status(&tenant, "active").await;
        }
        let failed = until_settled(&world, &tenant, &id).await;
        assert_eq!(failed["status"], "failed");
        assert_eq!(failed["error"], "RingCentral not connected for this tenant");
        assert_eq!(world.count("sms_accepted").await, 0);
        assert_eq!(pending_entries(&world).await, 0);
    }
}

#[tokio::test]
async fn pending_messages_fail_when_the_user_revokes_access_at_ringcentral() {
    let (world, tenant, from) = connected().await;
    let limited = json!({ "rateLimit": { "retryAfter": 60, "penaltyRestarts": true } });
    world.sim_fault(SMS, Some(1), limited).await;
    let pending =
        [accept(&world, &tenant, &from, "Too late").await, accept(&world, &tenant, &from, "Too").await];
    world.stack.wait_until_idle().await;
    let revoke = format!("/_sim/users/{}/revoke", world.user(0)["extensionId"].as_str().unwrap());
    world.sim(Method::POST, &revoke, Some(json!({}))).await;
    // The penalty ends. RingCentral rejects the tokens; the refresh is repeated once before the connection is revoked.
    for _ in 0..4 {
        world.advance(61).await;
        world.stack.wait_until_idle().await;
    }
    for id in &pending {
        let failed = until_settled(&world, &tenant, id).await;
        assert_eq!(
            (&failed["status"], &failed["error"]),
            (&json!("failed"), &json!("RingCentral not connected for this tenant"))
        );
        assert_eq!(status_events(&world, id).await, ["failed"]);
    }
    assert_eq!((world.count("sms_accepted").await, pending_entries(&world).await), (0, 0));
    let order = json!({ "to": "+16505550111", "from": from, "body": "Rejected at once" });
    assert_eq!(send(&world, &tenant, order).await.error(), (409, "sender_not_connected".to_owned()));
    // After the user has authorized again, messages are sent.
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let id = accept(&world, &tenant, &from, "Back").await;
    until(&world, &tenant, &id, &SENT).await;
    assert_eq!(accepted_texts(&world).await, ["Back"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_index_entry_blocks_no_sender() {
    let (world, tenant, from) = connected().await;
    let entry = json!({
        "TableName": world.table("MessagesTable").await,
        "Item": { "tenant": { "S": tenant.id }, "item": { "S": "active#invalid" },
            "work_kind": { "S": "send#0" }, "due_at": { "N": "1" } },
    });
    world.dynamodb("PutItem", &entry).await;
    let waking = json!({ "service": "sqs", "operation": "SendMessage", "function": "send-sms" });
    world.aws_fault(waking, 0, None, json!({ "error": "ServiceUnavailable", "status": 503 })).await;
    let id = accept(&world, &tenant, &from, "Found by the sweep").await;
    world.no_faults().await;
    world.advance(60).await;
    until(&world, &tenant, &id, &SENT).await;
    assert_eq!(accepted_texts(&world).await, ["Found by the sweep"]);
}
