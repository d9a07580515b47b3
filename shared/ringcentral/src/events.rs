//! Events that RingCentral sends to a webhook.
//!
//! A receiver responds with 200 within 3 s and with at most 1,024 bytes including headers. A request with the header
//! [`VALIDATION_TOKEN`] and without a body is RingCentral's handshake: return the same header. Any other request is an
//! event. Its header [`VERIFICATION_TOKEN`] must contain the verification token of the subscription; nothing else proves
//! that RingCentral sent it (Developer Guide, "Receiving webhooks").

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::id::Id;
use crate::lenient::{self, Fields, FromFields, Read, RecordError, record};
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

impl<B: Read> FromFields for Event<B> {
    fn from_fields(fields: &Fields<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            uuid: fields.lossy("uuid"),
            event: fields.lossy("event"),
            timestamp: fields.lossy("timestamp"),
            subscription_id: fields.lossy("subscriptionId"),
            owner_id: fields.lossy("ownerId"),
            body: B::read(fields.raw("body").unwrap_or("null")).ok_or(RecordError::Field("body"))?,
        })
    }
}

impl<'de, B: Read> Deserialize<'de> for Event<B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <Box<RawValue>>::deserialize(deserializer)?;
        lenient::read_record(json.get()).map_err(de::Error::custom)
    }
}

/// JSON as it came, which may not be valid. `Debug` omits it.
#[derive(Clone)]
pub struct Json(String);

impl Json {
    /// The JSON as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Read for Json {
    fn read(json: &str) -> Option<Self> {
        Some(Self(json.to_owned()))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json(…)")
    }
}

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

/// Reads JSON that RingCentral has sent, such as the body of an event, even if it is not quite valid. `None` if it cannot be
/// read.
#[must_use]
pub fn from_slice<T: Read>(json: &[u8]) -> Option<T> {
    let text = Zeroizing::new(String::from_utf8_lossy(json).into_owned());
    T::read(lenient::without_mark(&text))
}

/// The id of a record as RingCentral wrote it, even if the record cannot be read otherwise.
#[must_use]
pub fn record_id(json: &[u8]) -> Option<String> {
    lenient::record_id(lenient::without_mark(&String::from_utf8_lossy(json)))
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

    #[test]
    fn an_event_is_read_although_it_is_not_valid_json() {
        for json in [
            &br#"{"event":"e","unused":NaN,"body":{"id":17,,"subject":'hi',"x":undefined}}"#[..],
            b"\xef\xbb\xbf{\"event\":\"e\",\"body\":{\"id\":17,\"subject\":\"h\\i\"},}",
            b"{event:\"e\" \"body\":{\"id\":\"17\",\"subject\":\"hi\",\"x\":\"\xff\\ud83d\"}}",
        ] {
            let event: InboundMessage = from_slice(json).expect("read");
            assert_eq!((event.event.as_deref(), event.body.id), (Some("e"), Id(17)));
            assert_eq!(event.body.text.as_deref(), Some("hi"));
            let raw: Event<Json> = from_slice(json).expect("read");
            assert_eq!(record_id(raw.body.as_str().as_bytes()).as_deref(), Some("17"));
        }
        let empty: Event<Json> = from_slice(b"{}").expect("read");
        assert_eq!(empty.body.as_str(), "null");
        assert!(from_slice::<Event<Json>>(b"[]").is_none() && from_slice::<InboundMessage>(b"{}").is_none());
    }
}
