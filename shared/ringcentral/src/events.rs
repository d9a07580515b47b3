//! Events that RingCentral sends to a webhook.
//!
//! A receiver responds with 200 within 3 s and with at most 1,024 bytes including headers. A request with the header
//! [`VALIDATION_TOKEN`] and without a body is RingCentral's handshake: return the same header. Any other request is an
//! event. Its header [`VERIFICATION_TOKEN`] must contain the verification token of the subscription; nothing else proves
//! that RingCentral sent it (Developer Guide, "Receiving webhooks").

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::id::Id;
use crate::lenient::{self, record};
use crate::message::Message;

/// The header of the handshake, which the receiver returns.
pub const VALIDATION_TOKEN: &str = "Validation-Token";

/// The header with the subscription's verification token.
pub const VERIFICATION_TOKEN: &str = "Verification-Token";

/// An event. Events can be repeated, reordered or lost: `uuid` identifies repeats, and a message sync finds lost
/// messages. Each field is absent if it cannot be read; the body must be readable.
#[derive(Debug, Clone)]
pub struct Event<B> {
    /// The id of the event.
    pub uuid: Option<String>,
    /// The event filter that it matches, with ids instead of `~`.
    pub event: Option<String>,
    /// When the event occurred.
    pub timestamp: Option<Timestamp>,
    /// The id of the subscription.
    pub subscription_id: Option<String>,
    /// The id of the extension that owns the subscription. Some sources show it inside the body.
    pub owner_id: Option<Id>,
    /// The content, which depends on the filter.
    pub body: B,
}

impl<'de, B: DeserializeOwned> Deserialize<'de> for Event<B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <Box<RawValue>>::deserialize(deserializer)?;
        let Envelope { uuid, event, timestamp, subscription_id, owner_id, body } =
            lenient::read_record(json.get()).map_err(de::Error::custom)?;
        let body = serde_json::from_str(body.as_ref().map_or("null", |body| body.get()));
        let body = body.map_err(|_| de::Error::custom("the body cannot be read"))?;
        Ok(Self { uuid, event, timestamp, subscription_id, owner_id, body })
    }
}

struct Envelope {
    uuid: Option<String>,
    event: Option<String>,
    timestamp: Option<Timestamp>,
    subscription_id: Option<String>,
    owner_id: Option<Id>,
    body: Option<Box<RawValue>>,
}

record!(Envelope {
    uuid: lossy "uuid",
    event: lossy "event",
    timestamp: lossy "timestamp",
    subscription_id: lossy "subscriptionId",
    owner_id: lossy "ownerId",
    body: lossy "body",
});

/// The extension that the body of an event names as its owner, where the event itself does not.
#[derive(Debug, Clone)]
pub struct BodyOwner {
    owner_id: Option<Id>,
    owner: Option<ExtensionOwner>,
}

record!(BodyOwner { owner_id: lossy "ownerId", owner: lossy "owner", });

#[derive(Debug, Clone)]
struct ExtensionOwner {
    extension_id: Option<Id>,
}

record!(ExtensionOwner { extension_id: lossy "extensionId", });

impl BodyOwner {
    /// The id of the extension.
    #[must_use]
    pub fn extension_id(&self) -> Option<Id> {
        self.owner_id.or_else(|| self.owner.as_ref()?.extension_id)
    }
}

/// Reads JSON that RingCentral has sent, such as the body of an event, although it is not quite valid: with halves of emoji,
/// control characters in strings, unknown escapes, or bytes that are not UTF-8.
///
/// # Errors
/// If it is none of these.
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(json).or_else(|error| {
        let text = String::from_utf8_lossy(json);
        let text = text.trim_start_matches('\u{feff}');
        serde_json::from_str(text)
            .or_else(|_| serde_json::from_str(&lenient::repaired(text)))
            .map_err(|_| error)
    })
}

/// An inbound SMS or MMS.
pub type InboundMessage = Event<Message>;

/// The number of changes in a user's messages. A message sync returns the changes.
pub type MessageChanges = Event<ChangeCounts>;

/// The number of changes in a user's messages.
#[derive(Debug, Clone)]
pub struct ChangeCounts {
    /// When the last change occurred.
    pub last_updated: Option<Timestamp>,
    /// The changes by message type.
    pub changes: Vec<ChangeCount>,
}

record!(ChangeCounts { last_updated: lossy "lastUpdated", changes: lossy_list "changes", });

/// The number of changes of one message type.
#[derive(Debug, Clone)]
pub struct ChangeCount {
    /// The message type, such as `SMS`.
    pub kind: Option<String>,
    /// The number of new messages; absent for none.
    pub new_count: Option<i64>,
    /// The number of changed messages; absent for none.
    pub updated_count: Option<i64>,
    /// The ids of the new messages.
    pub new_message_ids: Vec<Id>,
}

record!(ChangeCount {
    kind: lossy "type",
    new_count: lossy "newCount",
    updated_count: lossy "updatedCount",
    new_message_ids: lossy_list "newMessageIds",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbound_message_event_is_read() {
        let json = r#"{"uuid":"5550123456789012345",
            "event":"/restapi/v1.0/account/500100/extension/700100201/message-store/instant?type=SMS",
            "timestamp":"2026-02-03T10:05:09.034Z","subscriptionId":"8b0c3a52","ownerId":"700100201",
            "body":{"id":"3100200300017","to":[{"phoneNumber":"+14155550100","target":true},{"phoneNumber":"+14155550199"}],
            "from":{"phoneNumber":"+16505550111","phoneNumberInfo":{"countryCode":"1"}},"type":"SMS",
            "attachments":[{"id":"3100200300017","type":"Text","contentType":"text/plain"}],"direction":"Inbound",
            "subject":"hello there","messageStatus":"Received","conversation":{"id":"1600000000000000017"},
            "eventType":"Create","owner":{"extensionId":"700100201"}}}"#;
        let event: InboundMessage = serde_json::from_str(json).expect("read");
        assert_eq!(event.owner_id, Some(Id(700_100_201)));
        assert_eq!(event.body.id, Id(3_100_200_300_017));
        assert_eq!(event.body.target_number(), Some("+14155550100"));
    }

    #[test]
    fn absent_counts_are_read_as_none() {
        let json = r#"{"uuid":"1","event":"e","subscriptionId":"s","timestamp":"2026-02-03T10:05:09+0000",
            "body":{"lastUpdated":"2026-02-03T10:05:09.034Z","changes":[{"type":"SMS","newCount":1,"newMessageIds":[17]}]}}"#;
        let event: MessageChanges = serde_json::from_str(json).expect("read");
        assert_eq!(event.body.changes[0].new_message_ids, [Id(17)]);
        assert_eq!(event.body.changes[0].updated_count, None);
    }
}
