//! The message store: the sent and received messages with their status.

use std::fmt;

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use reqwest::Method;
use serde::Serialize;

use crate::api::{Api, ApiCall};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::lenient::{self, Read, record};
use crate::message::{Availability, Direction, Message, MessageKind, ReadStatus};
use crate::paging::Page;
use crate::rate_limit::UsageGroup;

/// The maximum number of messages in one bulk read.
const MAX_BULK: usize = 50;

/// One entry of a bulk read.
#[derive(Debug, Clone)]
pub struct BulkMessage {
    /// The requested id.
    pub id: Id,
    /// The HTTP status of this message: 200, or 404 if the user has no such message.
    pub status: u16,
    /// The message, if it exists.
    pub message: Option<Message>,
}

struct BulkEntry {
    resource_id: Id,
    status: u16,
    body: Option<Message>,
}

record!(BulkEntry {
    resource_id: required "resourceId",
    status: required "status",
    body: lossy "body",
});

/// A filter of the message list. Without dates, RingCentral returns the last 24 hours. `Debug` omits the number.
#[derive(Clone, Default)]
pub struct MessageQuery {
    /// The earliest creation time.
    pub date_from: Option<Timestamp>,
    /// The latest creation time.
    pub date_to: Option<Timestamp>,
    /// The directions; empty for both.
    pub direction: Vec<Direction>,
    /// The message types; empty for all.
    pub kind: Vec<MessageKind>,
    /// The read status; empty for both.
    pub read_status: Vec<ReadStatus>,
    /// The availability; empty for messages that are not deleted.
    pub availability: Vec<Availability>,
    /// The conversation.
    pub conversation_id: Option<Id>,
    /// The number of the sender or of a recipient.
    pub phone_number: Option<String>,
    /// Whether to return only the last message of each conversation.
    pub distinct_conversations: bool,
    /// The page size, at most 1,000. RingCentral's default is 100.
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
    /// SMS and MMS of one direction, created since this time.
    #[must_use]
    pub fn sms(direction: Direction, since: Timestamp) -> Self {
        Self {
            date_from: Some(since),
            direction: vec![direction],
            kind: vec![MessageKind::Sms],
            ..Self::default()
        }
    }

    fn add_to(&self, mut call: ApiCall) -> ApiCall {
        for (name, at) in [("dateFrom", self.date_from), ("dateTo", self.date_to)] {
            if let Some(at) = at {
                call = call.query(name, &format_time(at));
            }
        }
        // Several values are sent as repeated parameters.
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

/// Formats a time as RingCentral does: UTC with milliseconds.
pub(crate) fn format_time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A change of a message.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageChange {
    /// The new read status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_status: Option<ReadStatus>,
    /// `Alive` restores a deleted message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
}

impl Api {
    /// Returns a page of the messages, newest first; the first page is 1. App scope `ReadMessages`; group Light.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn messages_page(&self, query: &MessageQuery, page: u32) -> Result<Page<Message>> {
        self.page(self.list_messages(query), page).await
    }

    /// Returns the messages, newest first, as a stream that makes one call per page as it is read. A failed call ends the
    /// stream with its error. Messages that cannot be read are omitted; [`Api::messages_page`] returns them.
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

    fn list_messages(&self, query: &MessageQuery) -> ApiCall {
        query.add_to(self.get("messages", UsageGroup::Light, &self.extension_path("/message-store")))
    }

    /// Returns a message. App scope `ReadMessages`; group Light.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the user has no such message.
    pub async fn message(&self, id: Id) -> Result<Message> {
        self.json(self.get("message", UsageGroup::Light, &self.message_path(id))).await
    }

    /// Returns up to 50 messages in one call. App scope `ReadMessages`; group Light.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) for no ids or too many. A message that does not exist is an entry
    /// with status 404; an entry that cannot be read is omitted.
    pub async fn messages_by_id(&self, ids: &[Id]) -> Result<Vec<BulkMessage>> {
        let operation = "messages_by_id";
        if ids.is_empty() || ids.len() > MAX_BULK {
            return Err(Error::refused(operation, "a call reads one to 50 messages"));
        }
        if let [id] = ids {
            // For a single id, RingCentral does not respond with a list.
            return match self.message(*id).await {
                Ok(message) => Ok(vec![BulkMessage { id: *id, status: 200, message: Some(message) }]),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Ok(vec![BulkMessage { id: *id, status: 404, message: None }])
                }
                Err(error) => Err(error),
            };
        }
        let list: Vec<String> = ids.iter().map(Id::to_string).collect();
        let path = self.extension_path(&format!("/message-store/{}", list.join(",")));
        let mut call = self.get(operation, UsageGroup::Light, &path);
        call.accept = "application/vnd.ringcentral.multipart+json";
        let response = self.send(call).await?;
        let list = std::str::from_utf8(&response.body).ok().filter(|body| body.trim_start().starts_with('['));
        let entries = list.and_then(lenient::elements);
        let entries = entries.ok_or_else(|| response.unreadable("the response is not a list"))?;
        let read = |json| {
            let entry = BulkEntry::read(json)?;
            let message = entry.body.filter(|_| entry.status == 200);
            Some(BulkMessage { id: entry.resource_id, status: entry.status, message })
        };
        Ok(entries.into_iter().filter_map(read).collect())
    }

    /// Marks a message as read or unread, or restores a deleted one. App scope `EditMessages`; group Medium.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the user has no such message.
    pub async fn update_message(&self, id: Id, change: &MessageChange) -> Result<Message> {
        let method = if change.availability.is_some() { Method::PATCH } else { Method::PUT };
        let call = self.call("update_message", UsageGroup::Medium, method, &self.message_path(id));
        self.json(call.body(change)?).await
    }

    /// Deletes a message. [`Api::update_message`] can restore it. App scope `EditMessages`; group Medium.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the user has no such message.
    pub async fn delete_message(&self, id: Id) -> Result<()> {
        let path = self.message_path(id);
        self.send(self.call("delete_message", UsageGroup::Medium, Method::DELETE, &path)).await.map(drop)
    }

    /// Removes a message permanently. App scope `EditMessages`; group Medium.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the user has no such message.
    pub async fn purge_message(&self, id: Id) -> Result<()> {
        let path = self.message_path(id);
        let call = self.call("purge_message", UsageGroup::Medium, Method::DELETE, &path);
        self.send(call.query("purge", "true")).await.map(drop)
    }

    pub(crate) fn message_path(&self, id: Id) -> String {
        self.extension_path(&format!("/message-store/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_with_milliseconds_and_z() {
        let at = Timestamp::from_second(1_770_113_109).expect("in range");
        assert_eq!(format_time(at), "2026-02-03T10:05:09.000Z");
    }
}
