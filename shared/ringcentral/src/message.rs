//! Messages as RingCentral stores them and tells of them.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

use crate::id::Id;
use crate::lenient;
use crate::open_enum::open_enum;

open_enum!(
    /// From or to us.
    Direction {
        /// To us.
        Inbound = "Inbound",
        /// From us.
        Outbound = "Outbound",
    }
);

open_enum!(
    /// What kind of message.
    MessageKind {
        /// SMS and MMS.
        Sms = "SMS",
        /// Fax.
        Fax = "Fax",
        /// Voicemail.
        VoiceMail = "VoiceMail",
        /// A text between extensions.
        Pager = "Pager",
    }
);

open_enum!(
    /// How far a message has come (Developer Guide, "Message store"). US carriers may never report a delivery:
    /// treat `Sent` as possibly final.
    MessageStatus {
        /// Taken by RingCentral.
        Queued = "Queued",
        /// Given to the carrier.
        Sent = "Sent",
        /// Delivered to the telephone.
        Delivered = "Delivered",
        /// Given to the carrier, not delivered.
        DeliveryFailed = "DeliveryFailed",
        /// Not given to the carrier.
        SendingFailed = "SendingFailed",
        /// An inbound message.
        Received = "Received",
    }
);

open_enum!(
    /// Whether somebody has read it.
    ReadStatus {
        /// Read.
        Read = "Read",
        /// Not read.
        Unread = "Unread",
    }
);

open_enum!(
    /// Whether it is still there.
    Availability {
        /// There.
        Alive = "Alive",
        /// In the bin.
        Deleted = "Deleted",
        /// Gone.
        Purged = "Purged",
    }
);

/// Why a message failed, in one word for each way to react (Developer Guide, "SMS errors").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryFailure {
    /// This recipient can never get it: wrong number, not a mobile, unsupported destination.
    Recipient,
    /// The recipient has opted out.
    OptedOut,
    /// The content was refused: spam, too long, media too large, shortened links.
    Content,
    /// The sender may not (now): quota, campaign or number not set up.
    Sender,
    /// It may work later, or its fate is not known.
    Later,
    /// A code that this version does not know.
    Unknown,
}

impl DeliveryFailure {
    /// What a `deliveryErrorCode` such as `SMS-CAR-413` means.
    #[must_use]
    pub fn of_code(code: &str) -> Self {
        let number = code.strip_prefix("SMS-").and_then(|rest| rest.rsplit_once('-'));
        match number {
            Some(("RC" | "UP" | "CAR", "413")) => Self::OptedOut,
            Some(("RC" | "UP" | "CAR", "410")) | Some(("CAR", "400" | "411" | "412")) => Self::Recipient,
            Some(("UP", "431")) => Self::Sender,
            Some(("RC" | "UP" | "CAR", "430" | "431" | "432" | "433" | "434" | "435")) => Self::Content,
            Some(("RC", "403" | "501" | "503" | "504")) | Some(("UP", "414")) => Self::Sender,
            Some(("CAR", "414" | "450" | "451" | "452" | "460" | "461")) => Self::Sender,
            Some(("CAR", "104" | "199" | "500")) | Some(("RC" | "UP", "500")) => Self::Later,
            _ => Self::Unknown,
        }
    }
}

/// A message. Everything but the id may be missing: a sync answers deleted messages with id and availability
/// only. `Debug` shows neither text nor numbers.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id.
    pub id: Id,
    /// From or to us.
    #[serde(default)]
    pub direction: Option<Direction>,
    /// What kind.
    #[serde(default, rename = "type")]
    pub kind: Option<MessageKind>,
    /// Who sent it.
    #[serde(default)]
    pub from: Option<Party>,
    /// Who gets it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub to: Vec<Party>,
    /// The text.
    #[serde(default, rename = "subject")]
    pub text: Option<String>,
    /// How far it has come, over all recipients.
    #[serde(default, rename = "messageStatus")]
    pub status: Option<MessageStatus>,
    /// Why it failed, such as `SMS-CAR-413`.
    #[serde(default)]
    pub delivery_error_code: Option<String>,
    /// Whether somebody has read it.
    #[serde(default)]
    pub read_status: Option<ReadStatus>,
    /// Whether it is still there.
    #[serde(default)]
    pub availability: Option<Availability>,
    /// When it was made.
    #[serde(default)]
    pub creation_time: Option<Timestamp>,
    /// When it last changed.
    #[serde(default)]
    pub last_modified_time: Option<Timestamp>,
    /// When the carrier delivered it, if it told.
    #[serde(default)]
    pub sms_delivery_time: Option<Timestamp>,
    /// How often RingCentral tried to send it.
    #[serde(default)]
    pub sms_sending_attempts_count: Option<u32>,
    /// How many segments it is paid as.
    #[serde(default)]
    pub segment_count: Option<u32>,
    /// Text and pictures. The first attachment of an SMS is the text itself.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub attachments: Vec<Attachment>,
    /// The conversation that it belongs to.
    #[serde(default)]
    pub conversation: Option<Conversation>,
    /// The same id in its older place.
    #[serde(default)]
    conversation_id: Option<Id>,
}

impl Message {
    /// The id of its conversation.
    #[must_use]
    pub fn conversation_id(&self) -> Option<Id> {
        self.conversation.as_ref().and_then(|conversation| conversation.id).or(self.conversation_id)
    }

    /// The attachments that are media: all but the text.
    pub fn media(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.iter().filter(|attachment| attachment.kind.as_deref() != Some("Text"))
    }

    /// The recipient that is us, of an inbound message: the one marked as target, else the only one.
    #[must_use]
    pub fn our_number(&self) -> Option<&str> {
        let only = if self.to.len() == 1 { self.to.first() } else { None };
        self.to.iter().find(|party| party.target).or(only)?.phone_number.as_deref()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("direction", &self.direction)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A sender or recipient.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Party {
    /// The number, in E.164 form.
    pub phone_number: Option<String>,
    /// The extension, inside an account.
    pub extension_number: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// City and state.
    pub location: Option<String>,
    /// True for the recipient that is us, among several.
    #[serde(deserialize_with = "lenient::or_default")]
    pub target: bool,
    /// How far the message has come to this recipient.
    pub message_status: Option<MessageStatus>,
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Party(…)")
    }
}

/// A part of a message.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Its id.
    pub id: Id,
    /// Where its content is, usually on the media host.
    #[serde(default)]
    pub uri: Option<String>,
    /// `Text`, `MmsAttachment` and others.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Its media type.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Its size in bytes.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub size: Option<i64>,
}

/// A mention of a conversation.
#[derive(Debug, Clone, Deserialize)]
pub struct Conversation {
    /// Its id, often above 2^53.
    #[serde(default)]
    pub id: Option<Id>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_shaped_record_is_read_with_its_ids_exact() {
        let json = r#"{"id":3100200400017,"to":[{"phoneNumber":"+16505550111","messageStatus":"Queued","recipientId":"9001"}],
            "from":{"phoneNumber":"+14155550100","name":"Dana Sim"},"type":"SMS","creationTime":"2026-02-03T10:07:00.000Z",
            "readStatus":"Read","attachments":[{"id":3100200400017,"type":"Text","contentType":"text/plain"},
            {"id":"675000001016","type":"MmsAttachment","uri":"https://media.ringcentral.com/x","contentType":"image/jpeg","size":46102}],
            "direction":"Outbound","availability":"Alive","subject":"hi there","messageStatus":"Brand New",
            "conversationId":1600000000000000017,"conversation":{"id":"1600000000000000017"}}"#;
        let message: Message = serde_json::from_str(json).expect("read");
        assert_eq!(message.conversation_id(), Some(Id(1_600_000_000_000_000_017)));
        assert_eq!(message.status, Some(MessageStatus::Other("Brand New".to_owned())));
        assert_eq!(message.text.as_deref(), Some("hi there"));
        assert_eq!(message.media().map(|part| part.id).collect::<Vec<_>>(), [Id(675_000_001_016)]);
        assert_eq!(message.our_number(), Some("+16505550111"));
        assert!(!format!("{message:?} {:?}", message.to).contains("555"));
    }

    #[test]
    fn a_deleted_record_of_a_sync_is_read() {
        let message: Message = serde_json::from_str(r#"{"id":1,"availability":"Purged"}"#).expect("read");
        assert_eq!(message.availability, Some(Availability::Purged));
    }

    #[test]
    fn delivery_codes_have_a_class() {
        for (code, class) in [
            ("SMS-RC-413", DeliveryFailure::OptedOut),
            ("SMS-CAR-413", DeliveryFailure::OptedOut),
            ("SMS-CAR-411", DeliveryFailure::Recipient),
            ("SMS-UP-410", DeliveryFailure::Recipient),
            ("SMS-CAR-434", DeliveryFailure::Content),
            ("SMS-UP-431", DeliveryFailure::Sender),
            ("SMS-CAR-450", DeliveryFailure::Sender),
            ("SMS-RC-403", DeliveryFailure::Sender),
            ("SMS-CAR-104", DeliveryFailure::Later),
            ("SMS-RC-500", DeliveryFailure::Later),
            ("SMS-NEW-999", DeliveryFailure::Unknown),
            ("", DeliveryFailure::Unknown),
        ] {
            assert_eq!(DeliveryFailure::of_code(code), class, "{code}");
        }
    }
}
