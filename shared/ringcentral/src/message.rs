//! Messages of the message store and of webhook events.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::id::Id;
use crate::lenient::{self, Fields, FromFields, Read, RecordError, record};
use crate::open_enum::open_enum;

open_enum!(
    /// The direction of a message.
    Direction {
        /// Sent to the user.
        Inbound = "Inbound",
        /// Sent by the user.
        Outbound = "Outbound",
    }
);

open_enum!(
    /// The type of a message.
    MessageKind {
        /// SMS and MMS.
        Sms = "SMS" | "MMS" | "Text" | "",
        /// Fax.
        Fax = "Fax",
        /// Voicemail.
        VoiceMail = "VoiceMail",
        /// A text message between extensions.
        Pager = "Pager",
    }
);

open_enum!(
    /// The status of a message (Developer Guide, "Message store"). US carriers may never report a delivery, so `Sent`
    /// can be the final status.
    MessageStatus {
        /// Accepted by RingCentral.
        Queued = "Queued",
        /// Handed over to the carrier.
        Sent = "Sent",
        /// Delivered to the recipient's phone.
        Delivered = "Delivered",
        /// Handed over to the carrier, and not delivered.
        DeliveryFailed = "DeliveryFailed",
        /// Not handed over to the carrier.
        SendingFailed = "SendingFailed",
        /// An inbound message.
        Received = "Received",
    }
);

open_enum!(
    /// Whether a message was read.
    ReadStatus {
        /// Read.
        Read = "Read",
        /// Not read.
        Unread = "Unread",
    }
);

open_enum!(
    /// Whether a message still exists.
    Availability {
        /// Not deleted.
        Alive = "Alive" | "",
        /// Deleted, and can be restored.
        Deleted = "Deleted",
        /// Removed permanently.
        Purged = "Purged",
    }
);

/// Why a message failed, classified by how to react (Developer Guide, "SMS errors").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryFailure {
    /// The recipient cannot receive it: wrong number, not a mobile phone, unsupported destination.
    Recipient,
    /// The recipient has opted out.
    OptedOut,
    /// The content was rejected: spam, too long, media too large, shortened links.
    Content,
    /// The sender may not send (now): quota, campaign or number not configured.
    Sender,
    /// A temporary failure, or an unknown outcome.
    Temporary,
    /// A code that this version of the crate does not know.
    Unknown,
}

impl DeliveryFailure {
    /// Classifies a `deliveryErrorCode` such as `SMS-CAR-413`.
    #[must_use]
    pub fn from_code(code: &str) -> Self {
        let number = code.strip_prefix("SMS-").and_then(|rest| rest.rsplit_once('-'));
        match number {
            Some(("RC" | "UP" | "CAR", "413")) => Self::OptedOut,
            Some(("RC" | "UP" | "CAR", "410")) | Some(("CAR", "400" | "411" | "412")) => Self::Recipient,
            Some(("UP", "431")) => Self::Sender,
            Some(("RC" | "UP" | "CAR", "430" | "431" | "432" | "433" | "434" | "435")) => Self::Content,
            Some(("RC", "403" | "501" | "503" | "504")) | Some(("UP", "414")) => Self::Sender,
            Some(("CAR", "414" | "450" | "451" | "452" | "460" | "461")) => Self::Sender,
            Some(("CAR", "104" | "199" | "500")) | Some(("RC" | "UP", "500")) => Self::Temporary,
            _ => Self::Unknown,
        }
    }
}

/// A message. Any field except the id can be absent: a sync returns deleted messages with id and availability only. A field
/// that cannot be read is absent too, unless the message cannot be understood without it (type, direction, parties, text,
/// status, availability): then the message is [`Unreadable`](crate::Unreadable).
/// `Debug` omits the text and the numbers.
#[derive(Clone)]
pub struct Message {
    /// The id.
    pub id: Id,
    /// The direction.
    pub direction: Option<Direction>,
    /// The type.
    pub kind: Option<MessageKind>,
    /// The sender.
    pub from: Option<Party>,
    /// The recipients.
    pub to: Vec<Party>,
    /// The text.
    pub text: Option<String>,
    /// The status, over all recipients.
    pub status: Option<MessageStatus>,
    /// The code of the failure, such as `SMS-CAR-413`; see [`DeliveryFailure::from_code`].
    pub delivery_error_code: Option<String>,
    /// Whether it was read.
    pub read_status: Option<ReadStatus>,
    /// Whether it still exists.
    pub availability: Option<Availability>,
    /// When it was created.
    pub creation_time: Option<Timestamp>,
    /// When it last changed.
    pub last_modified_time: Option<Timestamp>,
    /// When the carrier delivered it, if the carrier reports that.
    pub sms_delivery_time: Option<Timestamp>,
    /// How many times RingCentral tried to send it.
    pub sms_sending_attempts_count: Option<u32>,
    /// The number of billed segments.
    pub segment_count: Option<u32>,
    /// The text and the media. The first attachment of an SMS is its text.
    pub attachments: Vec<Attachment>,
    /// The conversation.
    pub conversation: Option<Conversation>,
    /// The id of the conversation, where older responses have it.
    conversation_id: Option<Id>,
    json: Arc<str>,
}

record!(Message {
    id: required "id",
    direction: optional "direction",
    kind: optional "type",
    from: optional "from",
    to: list "to",
    text: optional "subject",
    status: optional "messageStatus",
    delivery_error_code: lossy "deliveryErrorCode",
    read_status: lossy "readStatus",
    availability: optional "availability",
    creation_time: lossy "creationTime",
    last_modified_time: lossy "lastModifiedTime",
    sms_delivery_time: lossy "smsDeliveryTime",
    sms_sending_attempts_count: lossy "smsSendingAttemptsCount",
    segment_count: lossy "segmentCount",
    attachments: lossy_list "attachments",
    conversation: lossy "conversation",
    conversation_id: lossy "conversationId",
    json: json "",
});

/// The response to a send. RingCentral has accepted the message, so a field that cannot be read does not matter, but for the
/// id.
pub(crate) struct SentMessage(pub Message);

impl FromFields for SentMessage {
    fn from_fields(fields: &Fields<'_>) -> Result<Self, RecordError> {
        Message::from_fields(fields).map(Self).or_else(|_| {
            Ok(Self(Message {
                id: fields.required("id")?,
                direction: fields.lossy("direction"),
                kind: fields.lossy("type"),
                from: fields.lossy("from"),
                to: fields.lossy_list("to"),
                text: fields.lossy("subject"),
                status: fields.lossy("messageStatus"),
                delivery_error_code: fields.lossy("deliveryErrorCode"),
                read_status: None,
                availability: None,
                creation_time: fields.lossy("creationTime"),
                last_modified_time: None,
                sms_delivery_time: None,
                sms_sending_attempts_count: None,
                segment_count: fields.lossy("segmentCount"),
                attachments: Vec::new(),
                conversation: None,
                conversation_id: None,
                json: fields.json().into(),
            }))
        })
    }
}

impl Message {
    /// The id of the conversation.
    #[must_use]
    pub fn conversation_id(&self) -> Option<Id> {
        self.conversation.as_ref().and_then(|conversation| conversation.id).or(self.conversation_id)
    }

    /// The message as it came.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The attachments except the text.
    pub fn media(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.iter().filter(|attachment| !self.is_text(attachment))
    }

    /// Whether an attachment is the text of the message. The text has the id of the message.
    fn is_text(&self, attachment: &Attachment) -> bool {
        let given = |text: &'_ Option<String>| {
            text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_ascii_lowercase)
        };
        match (given(&attachment.kind), given(&attachment.content_type)) {
            (Some(kind), _) => kind == "text",
            (None, Some(media_type)) => media_type.split(';').next().map(str::trim_end) == Some("text/plain"),
            (None, None) => attachment.id == self.id,
        }
    }

    /// The number of the user that received an inbound message: the recipient marked as target, otherwise the only
    /// recipient.
    #[must_use]
    pub fn target_number(&self) -> Option<&str> {
        let only = if self.to.len() == 1 { self.to.first() } else { None };
        let party = self.to.iter().find(|party| party.target).or(only)?;
        party.phone_number.as_deref().filter(|number| !number.trim().is_empty())
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

/// A sender or recipient. `Debug` omits all of it.
#[derive(Clone, Default)]
pub struct Party {
    /// The number in E.164 format.
    pub phone_number: Option<String>,
    /// The extension number inside an account.
    pub extension_number: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// The city and state.
    pub location: Option<String>,
    /// Whether this recipient is the user whose message store contains the message.
    pub target: bool,
    /// The status of the message to this recipient.
    pub message_status: Option<MessageStatus>,
}

impl Read for Party {
    /// An object, or the number alone.
    fn read(json: &str) -> Option<Self> {
        if let Ok(party) = lenient::read_record::<PartyFields>(json) {
            return Some(party.0);
        }
        Some(Self { phone_number: Some(String::read(json)?), ..Self::default() })
    }
}

struct PartyFields(Party);

impl FromFields for PartyFields {
    fn from_fields(fields: &Fields<'_>) -> Result<Self, RecordError> {
        Ok(Self(Party {
            phone_number: fields.optional("phoneNumber")?,
            extension_number: fields.lossy("extensionNumber"),
            name: fields.lossy("name"),
            location: fields.lossy("location"),
            target: fields.lossy("target").unwrap_or(false),
            message_status: fields.lossy("messageStatus"),
        }))
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Party(…)")
    }
}

/// The text or a media file of a message.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// The id.
    pub id: Id,
    /// The URL of the content, usually on the media host.
    pub uri: Option<String>,
    /// The type, such as `Text` or `MmsAttachment`.
    pub kind: Option<String>,
    /// The media type.
    pub content_type: Option<String>,
    /// The size in bytes.
    pub size: Option<i64>,
}

record!(Attachment {
    id: required "id",
    uri: lossy "uri",
    kind: lossy "type",
    content_type: lossy "contentType",
    size: lossy "size",
});

/// A reference to a conversation.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// The id, often greater than 2^53.
    pub id: Option<Id>,
}

record!(Conversation {
    id: lossy "id",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_as_sent_by_ringcentral_is_read_with_exact_ids() {
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
        assert_eq!(message.target_number(), Some("+16505550111"));
        assert!(!format!("{message:?} {:?}", message.to).contains("555"));
    }

    #[test]
    fn the_text_is_not_among_the_media_in_any_spelling() {
        for (attachment, is_media) in [
            (r#"{"id":1,"type":"Text","contentType":"text/plain"}"#, false),
            (r#"{"id":1,"type":" text ","contentType":"text/plain"}"#, false),
            (r#"{"id":1,"type":"TEXT"}"#, false),
            (r#"{"id":1,"contentType":"text/plain"}"#, false),
            (r#"{"id":1,"type":"","contentType":"Text/Plain; charset=utf-8"}"#, false),
            (r#"{"id":1,"type":{},"contentType":"text/plain"}"#, false),
            (r#"{"id":7}"#, false),
            (r#"{"id":1}"#, true),
            (r#"{"id":1,"contentType":"text/vcard"}"#, true),
            (r#"{"id":1,"type":"MmsAttachment","contentType":"text/plain"}"#, true),
            (r#"{"id":1,"type":{},"contentType":"image/png"}"#, true),
        ] {
            let message: Message =
                serde_json::from_str(&format!("{{\"id\":7,\"attachments\":[{attachment}]}}")).expect("read");
            assert_eq!(message.media().count() == 1, is_media, "{attachment}");
        }
    }

    #[test]
    fn a_deleted_record_of_a_sync_is_read() {
        let message: Message = serde_json::from_str(r#"{"id":1,"availability":"Purged"}"#).expect("read");
        assert_eq!(message.availability, Some(Availability::Purged));
    }

    #[test]
    fn delivery_error_codes_are_classified() {
        for (code, class) in [
            ("SMS-RC-413", DeliveryFailure::OptedOut),
            ("SMS-CAR-413", DeliveryFailure::OptedOut),
            ("SMS-CAR-411", DeliveryFailure::Recipient),
            ("SMS-UP-410", DeliveryFailure::Recipient),
            ("SMS-CAR-434", DeliveryFailure::Content),
            ("SMS-UP-431", DeliveryFailure::Sender),
            ("SMS-CAR-450", DeliveryFailure::Sender),
            ("SMS-RC-403", DeliveryFailure::Sender),
            ("SMS-CAR-104", DeliveryFailure::Temporary),
            ("SMS-RC-500", DeliveryFailure::Temporary),
            ("SMS-NEW-999", DeliveryFailure::Unknown),
            ("", DeliveryFailure::Unknown),
        ] {
            assert_eq!(DeliveryFailure::from_code(code), class, "{code}");
        }
    }
}
