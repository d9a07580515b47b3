//! SMS, MMS, the message store, message sync, consents and events.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt};
use jiff::SignedDuration;
use ringbridge_ringcentral::consents::{ConsentChange, ConsentQuery, ConsentSource, OptStatus};
use ringbridge_ringcentral::events::InboundMessage;
use ringbridge_ringcentral::sms::MediaFile;
use ringbridge_ringcentral::{
    Api, Attachment, Availability, Direction, ErrorKind, Id, MessageChange, MessageQuery, MessageStatus, Mms,
    ReadStatus, Sent, Sms, SyncRequest,
};
use serde_json::{Value, json};

use crate::support::Rc;

const CUSTOMER: &str = "+16505550111";

async fn api(rc: &Rc) -> Api {
    rc.client().api(&rc.tokens().await.access_token)
}

async fn inbound(rc: &Rc, text: &str, media: Value) -> Id {
    let body = json!({"from": CUSTOMER, "to": rc.user("101").numbers[0], "text": text, "media": media});
    let response = rc.control(reqwest::Method::POST, "inbound", body).await;
    response["messageId"].as_str().expect("an id").parse().expect("a number")
}

#[tokio::test]
async fn a_message_is_sent_once_and_its_status_is_read() {
    let rc = Rc::start().await;
    let (api, from) = (api(&rc).await, &rc.user("101").numbers[0]);
    let sent = api.send_sms(&Sms::new(from, CUSTOMER, "hello, wörld 😀")).await.expect("accepted");
    assert_eq!(sent.status, Some(MessageStatus::Queued));
    assert_eq!(sent.direction, Some(Direction::Outbound));
    assert!(sent.conversation_id().is_some_and(|id| id.0 > 1 << 53), "{:?}", sent.conversation_id());
    let ledger = rc.ledger(&["sms_accepted"]).await;
    assert_eq!(ledger.len(), 1);
    assert_eq!(ledger[0]["text"], json!("hello, wörld 😀"));

    rc.advance(60);
    let stored = api.message(sent.id).await.expect("stored");
    assert_eq!(stored.status, Some(MessageStatus::Delivered));
    assert_eq!(stored.text.as_deref(), Some("hello, wörld 😀"));
    assert_eq!(stored.conversation_id(), sent.conversation_id());
    assert_eq!(api.message(Id(1)).await.expect_err("none").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_failed_delivery_has_an_error_code() {
    let rc = Rc::start().await;
    rc.settings(json!({"finalStatus": "DeliveryFailed", "deliveryErrorCode": "SMS-CAR-413"})).await;
    let (api, from) = (api(&rc).await, &rc.user("101").numbers[0]);
    let sent = api.send_sms(&Sms::new(from, CUSTOMER, "hello")).await.expect("accepted");
    rc.advance(60);
    let stored = api.message(sent.id).await.expect("stored");
    assert_eq!(stored.status, Some(MessageStatus::DeliveryFailed));
    assert_eq!(stored.delivery_error_code.as_deref(), Some("SMS-CAR-413"));
}

#[tokio::test]
async fn an_invalid_message_is_rejected_or_refused() {
    let rc = Rc::start().await;
    let (api, from) = (api(&rc).await, &rc.user("101").numbers[0]);
    let foreign = &rc.user("102").numbers[0];
    let error = api.send_sms(&Sms::new(foreign, CUSTOMER, "hello")).await.expect_err("not the user's number");
    assert_eq!((error.kind(), error.has_code("MSG-304")), (ErrorKind::Forbidden, true));
    assert!(error.has_code("FeatureNotAvailable") && !error.is_ambiguous());
    for sms in [
        Sms::new(from, CUSTOMER, ""),
        Sms::new(from, CUSTOMER, "a".repeat(1001)),
        Sms { to: Vec::new(), ..Sms::new(from, CUSTOMER, "hello") },
    ] {
        let error = api.send_sms(&sms).await.expect_err("out of bounds");
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Refused, Sent::No));
    }
    assert_eq!(rc.count("sms_accepted").await, 0);
}

#[tokio::test]
async fn media_are_sent_and_downloaded_unchanged() {
    let rc = Rc::start().await;
    let (api, from) = (api(&rc).await, &rc.user("101").numbers[0]);
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let file = MediaFile::new("a \"picture\".png", "image/png", bytes.clone());
    let mms = Mms::new(from, CUSTOMER, file.clone()).text("look");
    let sent = api.send_mms(&mms).await.expect("accepted");
    let stored = api.message(sent.id).await.expect("stored");
    let media: Vec<_> = stored.media().collect();
    assert_eq!(media.len(), 1);
    assert_eq!(media[0].content_type.as_deref(), Some("image/png"));
    let content = api.attachment(media[0]).await.expect("read");
    assert_eq!(content.bytes, bytes);
    assert_eq!(content.content_type.as_deref(), Some("image/png"));
    let again = api.attachment_by_id(stored.id, media[0].id).await.expect("read by id");
    assert_eq!(again.bytes, bytes);

    api.send_mms(&Mms::new(from, CUSTOMER, file)).await.expect("the text is optional");
    let program = MediaFile::new("a.exe", "application/x-msdownload", "MZ");
    let error = api.send_mms(&Mms::new(from, CUSTOMER, program)).await.expect_err("rejected");
    assert!(error.has_code("MSG-348"), "{error}");
    let large = MediaFile::new("a.png", "image/png", vec![0; 1_500_001]);
    let error = api.send_mms(&Mms::new(from, CUSTOMER, large)).await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_token_is_not_sent_to_foreign_hosts() {
    let rc = Rc::start().await;
    let api = api(&rc).await;
    for address in ["https://media.example/1", "http://127.0.0.1:1/1", "https://media.ringcentral.com/1"] {
        let attachment: Attachment =
            serde_json::from_value(json!({"id": 1, "uri": address})).expect("an attachment");
        let error = api.attachment(&attachment).await.expect_err("foreign");
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Refused, Sent::No), "{address}");
    }
}

#[tokio::test]
async fn the_message_store_is_read_as_a_stream_over_all_pages() {
    let rc = Rc::start().await;
    let api = api(&rc).await;
    for number in 0..25 {
        inbound(&rc, &format!("message {number}"), json!([])).await;
    }
    api.send_sms(&Sms::new(&rc.user("101").numbers[0], CUSTOMER, "out")).await.expect("accepted");
    let since = rc.now() - SignedDuration::from_hours(1);
    let query = MessageQuery { per_page: Some(10), ..MessageQuery::sms(Direction::Inbound, since) };
    let all: Vec<_> = api.messages(&query).try_collect().await.expect("read");
    let ids: HashSet<Id> = all.iter().map(|message| message.id).collect();
    assert_eq!((all.len(), ids.len()), (25, 25));
    assert!(all.iter().all(|message| message.direction == Some(Direction::Inbound)));
    let few: Vec<_> = api.messages(&query).take(3).try_collect().await.expect("read");
    assert_eq!(few.len(), 3);
    let page = api.messages_page(&query, 3).await.expect("read");
    assert_eq!((page.records.len(), page.has_next()), (5, false));

    rc.faults(json!([{"match": {"path": "/message-store"}, "times": null, "do": {"status": 503}}])).await;
    let broken: Vec<_> = api.messages(&query).collect().await;
    assert_eq!(broken.len(), 1, "a failed call ends the stream");
    assert_eq!(broken[0].as_ref().expect_err("503").kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn several_messages_are_read_in_one_call() {
    let rc = Rc::start().await;
    let api = api(&rc).await;
    let (one, two) = (inbound(&rc, "1", json!([])).await, inbound(&rc, "2", json!([])).await);
    let read = api.messages_by_id(&[one, Id(1), two]).await.expect("read");
    let found: Vec<_> = read.iter().map(|m| (m.id, m.status, m.message.is_some())).collect();
    assert_eq!(found, [(one, 200, true), (Id(1), 404, false), (two, 200, true)]);
    assert!(api.messages_by_id(&[one]).await.expect("read")[0].message.is_some());
    assert_eq!(api.messages_by_id(&[Id(1)]).await.expect("read")[0].status, 404);
    assert_eq!(api.messages_by_id(&[]).await.expect_err("none").kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn messages_are_marked_deleted_restored_and_purged() {
    let rc = Rc::start().await;
    let api = api(&rc).await;
    let id = inbound(&rc, "hello", json!([])).await;
    assert_eq!(api.message(id).await.expect("read").read_status, Some(ReadStatus::Unread));
    let read = MessageChange { read_status: Some(ReadStatus::Read), ..MessageChange::default() };
    assert_eq!(api.update_message(id, &read).await.expect("marked").read_status, Some(ReadStatus::Read));
    api.delete_message(id).await.expect("deleted");
    let back = MessageChange { availability: Some(Availability::Alive), ..MessageChange::default() };
    let restored = api.update_message(id, &back).await.expect("restored");
    assert_eq!(restored.availability, Some(Availability::Alive));
    api.purge_message(id).await.expect("purged");
    assert_eq!(api.message(id).await.expect_err("gone").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_sync_returns_the_changes() {
    let rc = Rc::start().await;
    let api = api(&rc).await;
    let first = inbound(&rc, "first", json!([])).await;
    // A sync repeats the last five seconds before the previous one.
    rc.advance(10);
    let since = rc.now() - SignedDuration::from_hours(1);
    let full = api.sync_messages(&SyncRequest::sms(Direction::Inbound, since)).await.expect("synced");
    assert!(full.records.iter().any(|message| message.id == first));
    rc.advance(60);
    let second = inbound(&rc, "second", json!([])).await;
    let next = api.sync_messages(&SyncRequest::since(full.token.expect("a token"))).await.expect("synced");
    let ids: Vec<Id> = next.records.iter().map(|message| message.id).collect();
    assert_eq!(ids, [second]);
    api.delete_message(second).await.expect("deleted");
    let last = api.sync_messages(&SyncRequest::since(next.token.expect("a token"))).await.expect("synced");
    let deleted = last.records.iter().find(|message| message.id == second).expect("reported");
    assert_eq!(deleted.availability, Some(Availability::Deleted));

    let error = api.sync_messages(&SyncRequest::since("nonsense")).await.expect_err("no token");
    assert!(error.needs_full_sync(), "{error}");
}

#[tokio::test]
async fn consents_are_recorded_and_found() {
    let rc = Rc::start().await;
    let (api, from) = (api(&rc).await, &rc.user("101").numbers[0]);
    inbound(&rc, "STOP", json!([])).await;
    let changes: Vec<_> = (0..30)
        .map(|number| ConsentChange {
            from: from.clone(),
            to: format!("+1212555{:04}", 100 + number),
            opt_status: OptStatus::OptOut,
        })
        .collect();
    assert_eq!(api.update_consents(&changes).await.expect("recorded").len(), 0);

    let query = ConsentQuery { per_page: Some(10), ..ConsentQuery::default() };
    let all: Vec<_> = api.consents(&query).try_collect().await.expect("found");
    assert_eq!(all.len(), 31);
    let query = ConsentQuery { to: vec![CUSTOMER.to_owned()], ..ConsentQuery::default() };
    let one: Vec<_> = api.consents(&query).try_collect().await.expect("found");
    assert_eq!(one.len(), 1);
    assert_eq!((&one[0].opt_status, &one[0].source), (&OptStatus::OptOut, &Some(ConsentSource::Recipient)));

    // Only the recipient can revoke an opt-out by keyword.
    let change =
        |to: &str| ConsentChange { from: from.clone(), to: to.to_owned(), opt_status: OptStatus::OptIn };
    let failed = api.update_consents(&[change(CUSTOMER), change(&changes[0].to)]).await.expect("succeeds");
    assert_eq!(failed.len(), 1);
    assert!(!failed[0].error.code.is_empty());
    assert_eq!(failed[0].consent.as_ref().map(|consent| consent.to.as_str()), Some(CUSTOMER));
}

#[tokio::test]
async fn an_event_is_read_as_received() {
    let rc = Rc::start().await;
    let api = api(&rc).await;
    let (address, mut events, _server) = crate::api::webhook().await;
    let new = ringbridge_ringcentral::subscriptions::NewSubscription {
        event_filters: vec![ringbridge_ringcentral::subscriptions::INBOUND_SMS.to_owned()],
        address,
        verification_token: Some("verify-me".into()),
        expires_in_seconds: Some(86_400),
    };
    let subscription = api.create_subscription(&new).await.expect("created");
    let id = inbound(&rc, "hello", json!([{"contentType": "image/gif"}])).await;
    let body = loop {
        let (token, body) = events.recv().await.expect("an event");
        if !body.is_empty() {
            assert_eq!(token.as_deref(), Some("verify-me"));
            break body;
        }
    };
    let event: InboundMessage = serde_json::from_str(&body).expect("read");
    assert_eq!((event.subscription_id, event.body.id), (Some(subscription.id), id));
    assert_eq!(event.body.text.as_deref(), Some("hello"));
    assert_eq!(event.body.target_number(), Some(rc.user("101").numbers[0].as_str()));
    let picture = event.body.media().next().expect("a picture");
    let content = api.attachment(picture).await.expect("read");
    assert!(content.bytes.starts_with(b"GIF"));
}
