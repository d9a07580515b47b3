//! The message store: what was sent and received, with its state.

use std::fmt;

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};

use super::api::{Api, Call, Group};
use super::error::{Error, Kind, Result};
use super::id::Id;
use super::lenient;
use super::open_enum::open_enum;
use super::paging::Page;

/// The largest attachment that is read. All attachments of one message together are at most 1.5 MB.
const MAX_ATTACHMENT_BYTES: usize = 8 * 1024 * 1024;

/// The most messages of one bulk read.
const MAX_BULK: usize = 50;

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

/// The content of an attachment.
#[derive(Clone)]
pub struct Content {
    /// Its media type, as the answer tells it.
    pub content_type: Option<String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({:?}, {} bytes)", self.content_type, self.bytes.len())
    }
}

/// One answer of a bulk read.
#[derive(Debug, Clone)]
pub struct BulkMessage {
    /// The id that was asked for.
    pub id: Id,
    /// The HTTP status of this message: 200, or 404 if the user has no such message.
    pub status: u16,
    /// The message, if it is there.
    pub message: Option<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkAnswer {
    resource_id: Id,
    #[serde(deserialize_with = "lenient::integer")]
    status: i64,
    #[serde(default)]
    body: serde_json::Value,
}

/// Which messages to list. Without dates, RingCentral answers the last 24 hours.
#[derive(Clone, Default)]
pub struct MessageQuery {
    /// Not before this moment.
    pub date_from: Option<Timestamp>,
    /// Not after this moment.
    pub date_to: Option<Timestamp>,
    /// From or to us; empty for both.
    pub direction: Vec<Direction>,
    /// Of these kinds; empty for all.
    pub kind: Vec<MessageKind>,
    /// Read or not; empty for both.
    pub read_status: Vec<ReadStatus>,
    /// Also deleted ones, if asked for; empty for those that are there.
    pub availability: Vec<Availability>,
    /// Of this conversation.
    pub conversation_id: Option<Id>,
    /// From or to this number.
    pub phone_number: Option<String>,
    /// Only the last message of each conversation.
    pub distinct_conversations: bool,
    /// How many for each call, at most 1,000; RingCentral's default is 100.
    pub per_page: Option<u32>,
}

impl fmt::Debug for MessageQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageQuery")
            .field("date_from", &self.date_from)
            .field("date_to", &self.date_to)
            .field("direction", &self.direction)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl MessageQuery {
    /// SMS and MMS from or to us, since a moment.
    #[must_use]
    pub fn sms(direction: Direction, since: Timestamp) -> Self {
        Self {
            date_from: Some(since),
            direction: vec![direction],
            kind: vec![MessageKind::Sms],
            ..Self::default()
        }
    }

    fn on(&self, mut call: Call) -> Call {
        for (name, at) in [("dateFrom", self.date_from), ("dateTo", self.date_to)] {
            if let Some(at) = at {
                call = call.query(name, &instant(at));
            }
        }
        // Several values repeat the key.
        let lists: [(&str, Vec<&str>); 4] = [
            ("direction", self.direction.iter().map(Direction::as_str).collect()),
            ("messageType", self.kind.iter().map(MessageKind::as_str).collect()),
            ("readStatus", self.read_status.iter().map(ReadStatus::as_str).collect()),
            ("availability", self.availability.iter().map(Availability::as_str).collect()),
        ];
        for (name, words) in lists {
            for word in words {
                call = call.query(name, word);
            }
        }
        if let Some(id) = self.conversation_id {
            call = call.query("conversationId", &id.to_string());
        }
        if let Some(number) = &self.phone_number {
            call = call.query("phoneNumber", number);
        }
        if self.distinct_conversations {
            call = call.query("distinctConversations", "true");
        }
        if let Some(count) = self.per_page {
            call = call.query("perPage", &count.to_string());
        }
        call
    }
}

/// A moment as RingCentral writes it: UTC with milliseconds.
pub(crate) fn instant(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// What to change in a message.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageChange {
    /// Read or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_status: Option<ReadStatus>,
    /// `Alive` takes it out of the bin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
}

impl Api {
    /// One page of the messages, newest first, from page 1. App scope `ReadMessages`; group Light.
    ///
    /// # Errors
    /// As every call: see [`Error`](super::Error).
    pub async fn messages_page(&self, query: &MessageQuery, page: u32) -> Result<Page<Message>> {
        self.page(self.list_messages(query), page).await
    }

    /// The messages, newest first, as a stream that makes one call for each page when it gets there. A failed
    /// call ends the stream with its error.
    ///
    /// ```no_run
    /// # use futures_util::{TryStreamExt, pin_mut};
    /// # use shared::ringcentral::{Api, Direction, MessageQuery, Result};
    /// # async fn run(api: Api, yesterday: jiff::Timestamp) -> Result<()> {
    /// let messages = api.messages(&MessageQuery::sms(Direction::Inbound, yesterday));
    /// pin_mut!(messages);
    /// while let Some(message) = messages.try_next().await? {
    ///     println!("{} {:?}", message.id, message.status);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn messages(&self, query: &MessageQuery) -> impl Stream<Item = Result<Message>> + Send + use<> {
        self.pages(self.list_messages(query))
            .map_ok(|page: Page<Message>| stream::iter(page.records).map(Ok))
            .try_flatten()
    }

    fn list_messages(&self, query: &MessageQuery) -> Call {
        query.on(self.get("messages", Group::Light, &self.extension_path("/message-store")))
    }

    /// One message. App scope `ReadMessages`; group Light.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) if the user has no such message.
    pub async fn message(&self, id: Id) -> Result<Message> {
        self.json(self.get("message", Group::Light, &self.message_path(id))).await
    }

    /// Up to 50 messages in one call, such as those whose fate is still open. App scope `ReadMessages`; group
    /// Light.
    ///
    /// # Errors
    /// [`Kind::Refused`](super::Kind::Refused) for no id or too many. A message that is not there is told by its
    /// status.
    pub async fn messages_by_id(&self, ids: &[Id]) -> Result<Vec<BulkMessage>> {
        let operation = "messages_by_id";
        if ids.is_empty() || ids.len() > MAX_BULK {
            return Err(Error::refused(operation, "one to 50 messages are read at a time"));
        }
        if let [id] = ids {
            // RingCentral answers a single id as if it were not a list.
            return match self.message(*id).await {
                Ok(message) => Ok(vec![BulkMessage { id: *id, status: 200, message: Some(message) }]),
                Err(error) if error.kind() == Kind::NotFound => {
                    Ok(vec![BulkMessage { id: *id, status: 404, message: None }])
                }
                Err(error) => Err(error),
            };
        }
        let list: Vec<String> = ids.iter().map(Id::to_string).collect();
        let path = self.extension_path(&format!("/message-store/{}", list.join(",")));
        let mut call = self.get(operation, Group::Light, &path);
        call.accept = "application/vnd.ringcentral.multipart+json";
        let answers: Vec<BulkAnswer> = self.json(call).await?;
        let read = |answer: BulkAnswer| BulkMessage {
            id: answer.resource_id,
            status: u16::try_from(answer.status).unwrap_or_default(),
            message: serde_json::from_value(answer.body).ok().filter(|_| answer.status == 200),
        };
        Ok(answers.into_iter().map(read).collect())
    }

    /// Marks a message as read or unread, or takes it out of the bin. App scope `EditMessages`; group Medium.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) if the user has no such message.
    pub async fn update_message(&self, id: Id, change: &MessageChange) -> Result<Message> {
        let method = if change.availability.is_some() { Method::PATCH } else { Method::PUT };
        let call = self.call("update_message", Group::Medium, method, &self.message_path(id));
        self.json(call.body(change)?).await
    }

    /// Puts a message into the bin, or with `purge` removes it for good. App scope `EditMessages`; group
    /// Medium.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) if the user has no such message.
    pub async fn delete_message(&self, id: Id, purge: bool) -> Result<()> {
        let mut call = self.call("delete_message", Group::Medium, Method::DELETE, &self.message_path(id));
        if purge {
            call = call.query("purge", "true");
        }
        self.send(call).await.map(drop)
    }

    /// The content of an attachment, at most 8 MiB, from the address in the answer. The access token is sent
    /// only if that is one of the platform's own. App scope `ReadMessages`; group Medium.
    ///
    /// # Errors
    /// [`Kind::Refused`](super::Kind::Refused) for an address of anybody else, or none.
    pub async fn attachment(&self, attachment: &Attachment) -> Result<Content> {
        let operation = "attachment";
        let address = attachment
            .uri
            .as_deref()
            .ok_or_else(|| Error::refused(operation, "the attachment has no address"))?;
        let url = self.client().server().trusted(operation, address)?;
        self.content(Call { url, ..self.get(operation, Group::Medium, "") }).await
    }

    /// The content of an attachment by its ids, for webhook events that leave the address out.
    ///
    /// # Errors
    /// As [`Api::attachment`].
    pub async fn attachment_of(&self, message: Id, attachment: Id) -> Result<Content> {
        let path = format!("{}/content/{attachment}", self.message_path(message));
        let url = self.client().server().media_at(&path);
        self.content(Call { url, ..self.get("attachment", Group::Medium, "") }).await
    }

    async fn content(&self, mut call: Call) -> Result<Content> {
        call.accept = "*/*";
        call.max_answer_bytes = Some(MAX_ATTACHMENT_BYTES);
        let mut answer = self.send(call).await?;
        let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(Content { content_type: content_type.map(str::to_owned), bytes: std::mem::take(&mut answer.body) })
    }

    fn message_path(&self, id: Id) -> String {
        self.extension_path(&format!("/message-store/{id}"))
    }
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

    #[test]
    fn moments_have_milliseconds_and_z() {
        let at = Timestamp::from_second(1_770_113_109).expect("in range");
        assert_eq!(instant(at), "2026-02-03T10:05:09.000Z");
    }
}
