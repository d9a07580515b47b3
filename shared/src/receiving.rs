//! What comes in from RingCentral: its events, and what the message store has beside.
//!
//! An event says in its address which connection it belongs to, and proves it with the verification token of that
//! connection's subscription. Token, subscription and owner are compared by the very write that stores what it brings, so
//! that an event costs one call, and nothing of a stranger is ever written.

use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::Connection;
use crate::model::event::{Event, EventKind};
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};
use crate::model::message::{Message, MessageFile};
use crate::model::secret::Secret;
use crate::ringcentral::{self, Availability, Direction, MessageKind};
use crate::store::{Proof, Proven};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It brought something new, and that is stored.
    Stored,
    /// It brought nothing new.
    Known,
    /// It says that something has changed; the message store will be compared.
    Noted,
    /// It was not understood, and is kept for whoever looks at it.
    Quarantined,
    /// It is not of the connection that it claims to be of.
    Refused,
}

/// What an event brings.
#[derive(Debug)]
enum Content {
    /// An inbound message, whole.
    Message(Box<ringcentral::Message>),
    /// Something in the message store has changed.
    Changes,
    /// Something else about the extension has changed: it may be its numbers.
    Extension,
    /// Nobody knows.
    Unknown,
}

/// An event, as far as it is needed.
#[derive(Debug)]
struct Envelope {
    uuid: String,
    subscription: String,
    owner: Option<ExtensionId>,
    content: Content,
}

/// Whether a handshake's token may be sent back: one word of printable ASCII, so that it cannot add a second header.
pub fn may_be_echoed(token: &[u8]) -> bool {
    (1..=limits::HANDSHAKE_CHARS).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic)
}

/// The connection in an event's address: the digits of the tenant's id and those of the connection's.
pub fn route(text: &str) -> Option<(TenantId, ConnectionId)> {
    let (tenant, connection) = text.split_once('-')?;
    let tenant = TenantId::from_record(&format!("{}{tenant}", TenantId::PREFIX))?;
    Some((tenant, ConnectionId::from_record(&format!("{}{connection}", ConnectionId::PREFIX))?))
}

/// Takes an event in.
///
/// # Errors
/// If it could not be stored in time. Then the message store is compared soon, if even that can be noted, and with the
/// next regular comparison otherwise.
pub async fn receive(
    gateway: &Gateway,
    (tenant, connection): &(TenantId, ConnectionId),
    token: &Secret,
    body: &[u8],
) -> Result<Received> {
    let Some(envelope) = read(body) else { return Ok(Received::Refused) };
    let digest = token.digest();
    let proof = Proof {
        tenant,
        connection,
        token_digest: &digest,
        subscription: &envelope.subscription,
        owner: envelope.owner.as_ref(),
    };
    let within = Duration::from_millis(limits::RECEIVE_MS);
    let taken = tokio::time::timeout(within, take(gateway, &proof, &envelope, body)).await;
    match taken.unwrap_or_else(|_| Err(Error::unavailable("the store", "no answer in time"))) {
        Ok(received) => Ok(received),
        Err(error) => {
            // The one more write that there is time for.
            let noted = gateway.store.note_trouble(&proof);
            let _ = tokio::time::timeout(Duration::from_millis(limits::RECEIVE_TROUBLE_MS), noted).await;
            Err(error)
        }
    }
}

async fn take(gateway: &Gateway, proof: &Proof<'_>, envelope: &Envelope, body: &[u8]) -> Result<Received> {
    let proven = match (&envelope.content, proof.owner) {
        (Content::Message(message), Some(extension)) => {
            let (message, event) = inbound(gateway, proof.tenant, extension, message, false);
            gateway.store.receive_message(proof, &message, &event).await?
        }
        (Content::Changes, _) => note_changes(gateway, proof).await?,
        (Content::Extension, _) => gateway.store.note_extension(proof).await?,
        (Content::Message(_) | Content::Unknown, _) => {
            let text = String::from_utf8_lossy(body);
            let proven = gateway.store.quarantine(proof, &envelope.uuid, &text).await?;
            if proven != Proven::No {
                tracing::error!(tenant.id = %proof.tenant, connection.id = %proof.connection, "an event was not understood");
                return Ok(Received::Quarantined);
            }
            proven
        }
    };
    Ok(match (proven, &envelope.content) {
        (Proven::No, _) => Received::Refused,
        (Proven::Already, _) => Received::Known,
        (Proven::Yes, Content::Message(_)) => Received::Stored,
        (Proven::Yes, _) => Received::Noted,
    })
}

/// One text changes many times: what is noted for a moment to come need not be noted again before.
async fn note_changes(gateway: &Gateway, proof: &Proof<'_>) -> Result<Proven> {
    let owner = proof.owner.map_or("", ExtensionId::as_str);
    let name = format!("{} {} {} {owner}", proof.connection, proof.token_digest, proof.subscription);
    let (noted, now) = (&gateway.cache.noted_changes, gateway.clock.now());
    if noted.get(&name, now).is_some() {
        return Ok(Proven::Yes);
    }
    let Some(until) = gateway.store.note_changes(proof).await? else { return Ok(Proven::No) };
    noted.insert(&name, (), until);
    Ok(Proven::Yes)
}

/// Takes in a message that the message store has. False if it came in before.
///
/// # Errors
/// [`Error::NotConnected`] if the connection was given up meanwhile: then it is nobody's any more.
pub async fn take_late(
    gateway: &Gateway,
    connection: &Connection,
    record: &ringcentral::Message,
) -> Result<bool> {
    let (message, event) = inbound(gateway, &connection.tenant, &connection.extension, record, true);
    match gateway.store.receive_late(&connection.id, &message, &event).await? {
        Proven::Yes => Ok(true),
        Proven::Already => Ok(false),
        Proven::No => Err(Error::NotConnected),
    }
}

/// True if a record is a text to us that is there to be read.
pub fn is_inbound(record: &ringcentral::Message) -> bool {
    record.direction == Some(Direction::Inbound)
        && record.kind.as_ref().is_none_or(|kind| *kind == MessageKind::Sms)
        && record.availability.as_ref().is_none_or(|there| *there == Availability::Alive)
        && record.our_number().is_some()
}

/// A message of ours, and what the tenant's programs are told of it.
fn inbound(
    gateway: &Gateway,
    tenant: &TenantId,
    extension: &ExtensionId,
    record: &ringcentral::Message,
    late: bool,
) -> (Message, Event) {
    let now = gateway.clock.now();
    let from =
        record.from.as_ref().and_then(|party| party.phone_number.clone().or(party.extension_number.clone()));
    let mut message = Message::inbound(
        tenant.clone(),
        extension.clone(),
        record.id.to_string(),
        from.unwrap_or_else(|| "anonymous".to_owned()),
        record.our_number().unwrap_or_default().to_owned(),
        record.text.clone().unwrap_or_default(),
        now,
    );
    message.files = record
        .media()
        .map(|file| MessageFile {
            id: file.id.to_string(),
            content_type: file.content_type.clone(),
            size: file.size,
        })
        .collect();
    let attachments: Vec<Value> = message
        .files
        .iter()
        .map(|file| json!({ "id": file.id, "contentType": file.content_type, "size": file.size }))
        .collect();
    let data = json!({
        "messageId": message.id.as_str(), "from": message.from, "to": message.to, "body": message.body,
        "rcMessageId": record.id.to_string(), "extensionId": extension.as_str(), "attachments": attachments,
        "late": late,
    });
    let event = Event::new(tenant, EventKind::SmsInbound, now, data);
    (message, event)
}

/// True if a body has at least the envelope of an event.
pub fn has_envelope(body: &[u8]) -> bool {
    read(body).is_some()
}

/// The event in a body; `None` if there is not even an envelope.
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

/// What kind of event it is: told by its filter, which RingCentral repeats with ids in the place of `~`.
fn content(filter: &str, body: Value) -> Content {
    let path = filter.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "instant" => match serde_json::from_value::<ringcentral::Message>(body) {
            Ok(message) if is_inbound(&message) => Content::Message(Box::new(message)),
            _ => Content::Unknown,
        },
        "message-store" => Content::Changes,
        id if path.contains("/extension/") && ExtensionId::parse(id).is_some() => Content::Extension,
        _ => Content::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_well_formed_token_is_echoed() {
        assert!(may_be_echoed(b"3f9c1f0e-7d1b"));
        for bad in [&b"with space"[..], &[b'a'; 257], "\u{e9}".as_bytes(), b"", b"a\r\nx: y"] {
            assert!(!may_be_echoed(bad));
        }
    }

    #[test]
    fn an_event_is_known_by_its_filter() {
        let instant = "/restapi/v1.0/account/1/extension/2/message-store/instant?type=SMS";
        let body = json!({ "id": "7", "direction": "Inbound", "type": "SMS", "to": [{ "phoneNumber": "+14155550100" }] });
        assert!(matches!(content(instant, body.clone()), Content::Message(_)));
        assert!(matches!(content(instant, json!({ "id": "7" })), Content::Unknown));
        assert!(matches!(content(instant, json!([])), Content::Unknown));
        assert!(matches!(
            content("/restapi/v1.0/account/1/extension/2/message-store", body.clone()),
            Content::Changes
        ));
        assert!(matches!(content("/restapi/v1.0/account/1/extension/2", body.clone()), Content::Extension));
        assert!(matches!(content("/restapi/v1.0/account/1/presence", body), Content::Unknown));
    }

    #[test]
    fn an_owner_is_found_wherever_it_stands() {
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
    fn an_address_names_a_connection_or_nothing() {
        let (tenant, connection) = route("0123456789abcdef-fedcba9876543210").unwrap();
        assert_eq!(tenant.as_str(), "tenant_0123456789abcdef");
        assert_eq!(connection.as_str(), "conn_fedcba9876543210");
        for bad in ["", "-", "0123456789abcdef", "0123456789abcdef-", "0123456789abcdeg-fedcba9876543210"] {
            assert!(route(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_body_nested_without_end_is_no_event() {
        let deep = format!("{{\"body\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(deep.as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_envelope_makes_it_panic(filter in "[/a-z0-9~?=.]{0,60}", id in any::<u64>(), text in "\\PC{0,40}") {
            let body = json!({ "id": id, "subject": text, "to": [{ "phoneNumber": text }], "direction": "Inbound" });
            let event = json!({ "uuid": text, "event": filter, "subscriptionId": text, "ownerId": id, "body": body });
            prop_assert!(read(event.to_string().as_bytes()).is_some());
        }
    }
}
