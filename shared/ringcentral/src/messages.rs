//! The message store: what was sent and received, with its state.

use std::fmt;

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};

use crate::api::{Api, Call, Group};
use crate::error::{Error, Kind, Result};
use crate::id::Id;
use crate::lenient;
use crate::message::{Attachment, Availability, Direction, Message, MessageKind, ReadStatus};
use crate::paging::Page;

/// The largest attachment that is read. All attachments of one message together are at most 1.5 MB.
const MAX_ATTACHMENT_BYTES: usize = 8 * 1024 * 1024;

/// The most messages of one bulk read.
const MAX_BULK: usize = 50;

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
    /// # use ringbridge_ringcentral::{Api, Direction, MessageQuery, Result};
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
    fn moments_have_milliseconds_and_z() {
        let at = Timestamp::from_second(1_770_113_109).expect("in range");
        assert_eq!(instant(at), "2026-02-03T10:05:09.000Z");
    }
}
