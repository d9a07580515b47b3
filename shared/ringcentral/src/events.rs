//! Events that RingCentral sends to a webhook.
//!
//! A receiver responds with 200 within 3 s and with at most 1,024 bytes including headers. A request with the header
//! [`VALIDATION_TOKEN`] and without a body is RingCentral's handshake: return the same header. Any other request is an
//! event. Its header [`VERIFICATION_TOKEN`] must contain the verification token of the subscription; nothing else proves
//! that RingCentral sent it (Developer Guide, "Receiving webhooks").

use jiff::Timestamp;
use serde::Deserialize;

use crate::id::Id;
use crate::lenient;
use crate::message::Message;

/// The header of the handshake, which the receiver returns.
pub const VALIDATION_TOKEN: &str = "Validation-Token";

/// The header with the subscription's verification token.
pub const VERIFICATION_TOKEN: &str = "Verification-Token";

/// An event. Events can be repeated, reordered or lost: `uuid` identifies repeats, and a message sync finds lost
/// messages.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<B> {
    /// The id of the event.
    pub uuid: String,
    /// The event filter that it matches, with ids instead of `~`.
    pub event: String,
    /// When the event occurred.
    #[serde(default)]
    pub timestamp: Option<Timestamp>,
    /// The id of the subscription.
    pub subscription_id: String,
    /// The id of the extension that owns the subscription. Some sources show it inside the body.
    #[serde(default)]
    pub owner_id: Option<Id>,
    /// The content, which depends on the filter.
    pub body: B,
}

/// An inbound SMS or MMS.
pub type InboundMessage = Event<Message>;

/// The number of changes in a user's messages. A message sync returns the changes.
pub type MessageChanges = Event<ChangeCounts>;

/// The number of changes in a user's messages.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeCounts {
    /// When the last change occurred.
    #[serde(default)]
    pub last_updated: Option<Timestamp>,
    /// The changes by message type.
    #[serde(default)]
    pub changes: Vec<ChangeCount>,
}

/// The number of changes of one message type.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeCount {
    /// The message type, such as `SMS`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// The number of new messages; absent for none.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub new_count: Option<i64>,
    /// The number of changed messages; absent for none.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub updated_count: Option<i64>,
    /// The ids of the new messages.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub new_message_ids: Vec<Id>,
}

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
