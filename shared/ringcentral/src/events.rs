//! Events as a webhook gets them.
//!
//! A receiver answers 200 within 3 s with at most 1,024 bytes in all. A request with the header
//! [`VALIDATION_TOKEN`] and no body is RingCentral's handshake: the same header goes back. Any other request is
//! an event; [`VERIFICATION_TOKEN`] must hold the token that the subscription was made with, and nothing else
//! proves where it came from (Developer Guide, "Receiving webhooks").

use jiff::Timestamp;
use serde::Deserialize;

use crate::id::Id;
use crate::lenient;
use crate::message::Message;

/// The header of the handshake, to be sent back.
pub const VALIDATION_TOKEN: &str = "Validation-Token";

/// The header with the subscription's verification token.
pub const VERIFICATION_TOKEN: &str = "Verification-Token";

/// An event in its envelope. Events may be repeated, reordered or lost: `uuid` recognises repeats, and only a
/// message sync finds what was lost.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<B> {
    /// The event's own id.
    pub uuid: String,
    /// The filter that it matches, with ids in the place of `~`.
    pub event: String,
    /// When it happened.
    #[serde(default)]
    pub timestamp: Option<Timestamp>,
    /// The subscription.
    pub subscription_id: String,
    /// The extension that owns the subscription; in some sources it stands inside the body.
    #[serde(default)]
    pub owner_id: Option<Id>,
    /// What happened.
    pub body: B,
}

/// An inbound SMS or MMS with its content.
pub type InboundMessage = Event<Message>;

/// Counts of changes in a user's messages. Follow it with a message sync.
pub type MessageChanges = Event<ChangeCounts>;

/// How much has changed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeCounts {
    /// When.
    #[serde(default)]
    pub last_updated: Option<Timestamp>,
    /// For each kind of message.
    #[serde(default)]
    pub changes: Vec<ChangeCount>,
}

/// How much has changed in one kind of message.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeCount {
    /// `SMS` and others.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// New messages; absent for none.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub new_count: Option<i64>,
    /// Changed messages; absent for none.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub updated_count: Option<i64>,
    /// The ids of the new ones.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub new_message_ids: Vec<Id>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbound_message_is_read_from_its_envelope() {
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
        assert_eq!(event.body.our_number(), Some("+14155550100"));
    }

    #[test]
    fn counts_may_be_left_out() {
        let json = r#"{"uuid":"1","event":"e","subscriptionId":"s","timestamp":"2026-02-03T10:05:09+0000",
            "body":{"lastUpdated":"2026-02-03T10:05:09.034Z","changes":[{"type":"SMS","newCount":1,"newMessageIds":[17]}]}}"#;
        let event: MessageChanges = serde_json::from_str(json).expect("read");
        assert_eq!(event.body.changes[0].new_message_ids, [Id(17)]);
        assert_eq!(event.body.changes[0].updated_count, None);
    }
}
