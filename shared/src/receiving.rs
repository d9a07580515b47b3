//! Inbound messages: RingCentral's events, and messages that message sync has found.
//!
//! The webhook URL names the connection that an event belongs to; the verification token of that connection's subscription
//! proves it. The write that stores the event compares token, subscription and owner, so that an event costs one call and
//! nothing is written for a forged one. A URL that this deployment did not make costs no call: its tag is wrong.

use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::Connection;
use crate::model::event::{Event, EventKind};
use crate::model::event_route::EventRoute;
use crate::model::ids::{ExtensionId, TenantId};
use crate::model::message::{Attachment, InboundMessage, Message};
use crate::model::secret::Secret;
use crate::ringcentral::{self, Availability, Direction, MessageKind};
use crate::store::{EventAuth, InboundOutcome, SyncRequested};

/// The outcome of receiving an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveOutcome {
    /// Its message is stored.
    Stored,
    /// Its message was stored before.
    Duplicate,
    /// It reports a change; a sync or a check of the connection is due.
    ChangeNoted,
    /// Its kind or form is unknown; it is kept for inspection.
    Quarantined,
    /// It does not belong to the connection in its URL.
    Unauthenticated,
}

#[derive(Debug)]
enum Content {
    /// A complete inbound message.
    Message(Box<ringcentral::Message>),
    /// Something in the message store has changed.
    MessageStoreChanged,
    /// Something else about the extension has changed, perhaps its numbers.
    ExtensionChanged,
    Unknown,
}

/// The fields of an event that are needed to authenticate it, and its content.
#[derive(Debug)]
struct Envelope {
    uuid: String,
    subscription: String,
    owner: Option<ExtensionId>,
    content: Content,
}

/// True if a handshake token may be echoed: printable ASCII without spaces, so that it cannot inject a header.
pub fn may_be_echoed(token: &[u8]) -> bool {
    (1..=limits::HANDSHAKE_CHARS).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic)
}

/// True if this deployment made the webhook URL. If the key can't be read in time, the store has to decide about the event.
pub async fn is_our_route(gateway: &Gateway, route: &EventRoute) -> bool {
    let timeout = Duration::from_millis(limits::EVENT_TAG_MS);
    match tokio::time::timeout(timeout, gateway.event_tag_key()).await {
        Ok(Ok(key)) => route.is_tagged_with(key),
        Ok(Err(_)) | Err(_) => {
            tracing::warn!("key of webhook URLs could not be read");
            true
        }
    }
}

/// Authenticates and stores an event.
///
/// # Errors
/// If the event could not be stored in time. Then a sync is requested; if even that fails, the next regular sync finds what
/// the event reported.
pub async fn receive(
    gateway: &Gateway,
    EventRoute { tenant, connection, .. }: &EventRoute,
    token: &Secret,
    body: &[u8],
) -> Result<ReceiveOutcome> {
    let Some(envelope) = read(body) else { return Ok(ReceiveOutcome::Unauthenticated) };
    let digest = token.digest();
    let auth = EventAuth {
        tenant,
        connection,
        token_digest: &digest,
        subscription: &envelope.subscription,
        owner: envelope.owner.as_ref(),
    };
    let timeout = Duration::from_millis(limits::RECEIVE_TIMEOUT_MS);
    let stored = tokio::time::timeout(timeout, store(gateway, &auth, &envelope, body)).await;
    match stored.unwrap_or_else(|_| Err(Error::unavailable("the store", "no response in time"))) {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            // There is time for one more write.
            let request = gateway.store.request_sync_now(&auth);
            let _ = tokio::time::timeout(Duration::from_millis(limits::RECEIVE_FALLBACK_MS), request).await;
            Err(error)
        }
    }
}

async fn store(
    gateway: &Gateway,
    auth: &EventAuth<'_>,
    envelope: &Envelope,
    body: &[u8],
) -> Result<ReceiveOutcome> {
    let (tenant, connection) = (auth.tenant, auth.connection);
    let (outcome, stored) = match (&envelope.content, auth.owner) {
        (Content::Message(record), Some(extension)) => {
            let (message, event) = inbound(gateway, tenant, extension, record, Found::ByEvent);
            let outcome = gateway.store.store_inbound(auth, &message, &event).await?;
            if outcome == InboundOutcome::Stored {
                tracing::info!(tenant.id = %tenant, connection.id = %connection, extension.id = %extension,
                    message.id = %message.id, "inbound message stored");
            }
            (outcome, ReceiveOutcome::Stored)
        }
        (Content::MessageStoreChanged, _) => {
            (request_sync(gateway, auth).await?, ReceiveOutcome::ChangeNoted)
        }
        (Content::ExtensionChanged, _) => {
            (gateway.store.request_renewal_now(auth).await?, ReceiveOutcome::ChangeNoted)
        }
        (Content::Message(_) | Content::Unknown, _) => {
            let text = String::from_utf8_lossy(body);
            let outcome = gateway.store.quarantine_event(auth, &envelope.uuid, &text).await?;
            if outcome != InboundOutcome::Unauthenticated {
                tracing::error!(tenant.id = %tenant, connection.id = %connection, "unknown event quarantined");
                return Ok(ReceiveOutcome::Quarantined);
            }
            (outcome, ReceiveOutcome::Quarantined)
        }
    };
    Ok(match outcome {
        InboundOutcome::Stored => stored,
        InboundOutcome::Duplicate => ReceiveOutcome::Duplicate,
        InboundOutcome::Unauthenticated => ReceiveOutcome::Unauthenticated,
    })
}

/// Requests a sync, unless this process knows of one that is due. A single message changes several times.
async fn request_sync(gateway: &Gateway, auth: &EventAuth<'_>) -> Result<InboundOutcome> {
    let owner = auth.owner.map_or("", ExtensionId::as_str);
    let name = format!("{} {} {} {owner}", auth.connection, auth.token_digest, auth.subscription);
    let (requested, now) = (&gateway.cache.requested_syncs, gateway.clock.now());
    if requested.get(&name, now).is_some() {
        return Ok(InboundOutcome::Stored);
    }
    Ok(match gateway.store.request_sync(auth).await? {
        SyncRequested::DueAt(at) => {
            requested.insert(&name, (), at);
            InboundOutcome::Stored
        }
        SyncRequested::Unauthenticated => InboundOutcome::Unauthenticated,
    })
}

/// The outcome of storing a message that message sync has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissedMessage {
    Stored,
    /// An event has brought it.
    Duplicate,
}

/// Stores an inbound message that message sync has found.
///
/// # Errors
/// [`Error::NotConnected`] if the connection was removed meanwhile.
pub async fn store_missed(
    gateway: &Gateway,
    connection: &Connection,
    record: &ringcentral::Message,
) -> Result<MissedMessage> {
    let (tenant, extension) = (&connection.tenant, &connection.extension);
    let (message, event) = inbound(gateway, tenant, extension, record, Found::BySync);
    match gateway.store.store_missed_inbound(&connection.id, &message, &event).await? {
        InboundOutcome::Stored => {
            tracing::info!(tenant.id = %tenant, connection.id = %connection.id, extension.id = %extension,
                message.id = %message.id, "missed inbound message stored");
            Ok(MissedMessage::Stored)
        }
        InboundOutcome::Duplicate => Ok(MissedMessage::Duplicate),
        InboundOutcome::Unauthenticated => Err(Error::NotConnected),
    }
}

/// True if a record is an inbound SMS that is not deleted.
pub fn is_inbound(record: &ringcentral::Message) -> bool {
    record.direction == Some(Direction::Inbound)
        && record.kind.as_ref().is_none_or(|kind| *kind == MessageKind::Sms)
        && record.availability.as_ref().is_none_or(|availability| *availability == Availability::Alive)
        && record.target_number().is_some()
}

/// How a message was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    ByEvent,
    /// No event has brought it: the event for the tenant's apps says `late`.
    BySync,
}

/// The message in a record, and the event for the tenant's apps.
fn inbound(
    gateway: &Gateway,
    tenant: &TenantId,
    extension: &ExtensionId,
    record: &ringcentral::Message,
    found: Found,
) -> (Message, Event) {
    let now = gateway.clock.now();
    let from =
        record.from.as_ref().and_then(|party| party.phone_number.clone().or(party.extension_number.clone()));
    let mut message = Message::inbound(
        tenant.clone(),
        extension.clone(),
        record.id.to_string(),
        from.unwrap_or_else(|| "anonymous".to_owned()),
        record.target_number().unwrap_or_default().to_owned(),
        record.text.clone().unwrap_or_default(),
        now,
    );
    message.attachments = record
        .media()
        .map(|file| Attachment {
            id: file.id.to_string(),
            content_type: file.content_type.clone(),
            size: file.size,
        })
        .collect();
    let data = InboundMessage {
        message_id: message.id.as_str(),
        from: &message.from,
        to: &message.to,
        body: &message.body,
        rc_message_id: &record.id.to_string(),
        extension_id: extension.as_str(),
        attachments: &message.attachments,
        late: found == Found::BySync,
    };
    let event = Event::new(tenant, EventKind::SmsInbound, now, &data);
    (message, event)
}

/// True if a body has the envelope of an event.
pub fn has_envelope(body: &[u8]) -> bool {
    read(body).is_some()
}

/// Parses an event. `None` if the body does not have the envelope of one.
fn read(body: &[u8]) -> Option<Envelope> {
    let event: ringcentral::events::Event<Value> = serde_json::from_slice(body).ok()?;
    let in_body = |path: &str| {
        let value = event.body.pointer(path)?;
        value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|id| id.to_string()))
    };
    let owner = event.owner_id.map(|id| id.to_string());
    let owner = owner.or_else(|| in_body("/ownerId")).or_else(|| in_body("/owner/extensionId"));
    let content = content(&event.event, event.body);
    Some(Envelope {
        uuid: event.uuid,
        subscription: event.subscription_id,
        owner: owner.and_then(|id| ExtensionId::parse(&id)),
        content,
    })
}

/// Classifies an event by its filter, in which RingCentral replaces `~` by ids.
fn content(filter: &str, body: Value) -> Content {
    let path = filter.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "instant" => match serde_json::from_value::<ringcentral::Message>(body) {
            Ok(message) if is_inbound(&message) => Content::Message(Box::new(message)),
            _ => Content::Unknown,
        },
        "message-store" => Content::MessageStoreChanged,
        id if path.contains("/extension/") && ExtensionId::parse(id).is_some() => Content::ExtensionChanged,
        _ => Content::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_well_formed_token_is_echoed() {
        assert!(may_be_echoed(b"3f9c1f0e-7d1b"));
        for bad in [&b"with space"[..], &[b'a'; 257], "\u{e9}".as_bytes(), b"", b"a\r\nx: y"] {
            assert!(!may_be_echoed(bad));
        }
    }

    #[test]
    fn an_event_is_classified_by_its_filter() {
        let instant = "/restapi/v1.0/account/1/extension/2/message-store/instant?type=SMS";
        let body = json!({ "id": "7", "direction": "Inbound", "type": "SMS", "to": [{ "phoneNumber": "+14155550100" }] });
        assert!(matches!(content(instant, body.clone()), Content::Message(_)));
        assert!(matches!(content(instant, json!({ "id": "7" })), Content::Unknown));
        assert!(matches!(content(instant, json!([])), Content::Unknown));
        assert!(matches!(
            content("/restapi/v1.0/account/1/extension/2/message-store", body.clone()),
            Content::MessageStoreChanged
        ));
        assert!(matches!(
            content("/restapi/v1.0/account/1/extension/2", body.clone()),
            Content::ExtensionChanged
        ));
        assert!(matches!(content("/restapi/v1.0/account/1/presence", body), Content::Unknown));
    }

    #[test]
    fn the_owner_is_found_in_each_of_its_positions() {
        for event in [
            json!({ "uuid": "1", "event": "e", "subscriptionId": "s", "ownerId": "42", "body": {} }),
            json!({ "uuid": "1", "event": "e", "subscriptionId": "s", "body": { "ownerId": 42 } }),
            json!({ "uuid": "1", "event": "e", "subscriptionId": "s", "body": { "owner": { "extensionId": "42" } } }),
        ] {
            let read = read(event.to_string().as_bytes()).unwrap();
            assert_eq!(read.owner.map(|id| id.to_string()).as_deref(), Some("42"), "{event}");
        }
    }

    #[test]
    fn a_deeply_nested_body_is_not_an_event() {
        let deep = format!("{{\"body\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(deep.as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn no_body_causes_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_envelope_causes_a_panic(filter in "[/a-z0-9~?=.]{0,60}", id in any::<u64>(), text in "\\PC{0,40}") {
            let body = json!({ "id": id, "subject": text, "to": [{ "phoneNumber": text }], "direction": "Inbound" });
            let event = json!({ "uuid": text, "event": filter, "subscriptionId": text, "ownerId": id, "body": body });
            prop_assert!(read(event.to_string().as_bytes()).is_some());
        }
    }
}
