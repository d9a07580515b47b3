//! Reading and changing a mailbox.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::platform::clock::Millis;
use crate::platform::errors::RestError;
use crate::platform::messages::{MessageAvailability, MessageDirection, MessageRecord, ReadStatus};
use crate::platform::state::PlatformState;
use crate::rules::events::{ChangedMailbox, MailboxChange};
use crate::rules::query::QueryString;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageType {
    Fax,
    #[serde(rename = "SMS")]
    Sms,
    VoiceMail,
    Pager,
    Text,
}

/// The messages that a list or a synchronization covers, apart from times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSelection {
    /// Empty: both.
    directions: Vec<MessageDirection>,
    /// Empty: all.
    types: Vec<MessageType>,
    conversation: Option<String>,
    distinct_conversations: bool,
}

impl MessageSelection {
    pub fn from_query(query: &QueryString) -> Result<Self, RestError> {
        Ok(Self {
            directions: query.variants("direction")?,
            types: query.variants("messageType")?,
            conversation: query.get("conversationId").map(str::to_owned),
            distinct_conversations: query.flag("distinctConversations")?,
        })
    }

    #[must_use]
    pub fn includes(&self, message: &MessageRecord) -> bool {
        (self.directions.is_empty() || self.directions.contains(&message.direction))
            && (self.types.is_empty() || self.types.contains(&MessageType::Sms))
            && self.conversation.as_deref().is_none_or(|c| c == message.conversation_id.to_string())
    }

    /// Keeps only the latest message of each conversation, if the client asked for that. `messages` are newest first.
    pub fn reduce(&self, messages: &mut Vec<&MessageRecord>) {
        if self.distinct_conversations {
            let mut seen = HashSet::new();
            messages.retain(|m| seen.insert(m.conversation_id));
        }
    }
}

/// Whether a deletion keeps the message until it is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionMode {
    /// The message can be restored. Deleting it again purges it.
    Recoverable,
    Purge,
}

impl DeletionMode {
    #[must_use]
    pub fn from_query(query: &QueryString) -> Self {
        if query.get("purge") == Some("true") { Self::Purge } else { Self::Recoverable }
    }
}

/// Changes of one message; `None` keeps a value.
#[derive(Debug, Clone, Copy, Default)]
pub struct MailboxUpdate {
    pub read_status: Option<ReadStatus>,
    pub availability: Option<MessageAvailability>,
}

impl PlatformState {
    /// The visible messages of a mailbox, newest first.
    #[must_use]
    pub fn visible_messages(&self, extension_id: i64, now: Millis) -> Vec<&MessageRecord> {
        let mut all: Vec<&MessageRecord> = self
            .mail
            .messages
            .values()
            .filter(|m| m.extension_id == extension_id && m.visible_at <= now)
            .collect();
        all.sort_by_key(|m| std::cmp::Reverse((m.created_at, m.id)));
        all
    }

    /// A message of a mailbox by its id in text form.
    pub fn find_message(
        &self,
        extension_id: i64,
        now: Millis,
        id: &str,
    ) -> Result<&MessageRecord, RestError> {
        id.parse()
            .ok()
            .and_then(|id: i64| self.mail.messages.get(&id))
            .filter(|m| m.extension_id == extension_id && m.visible_at <= now)
            .filter(|m| m.availability != MessageAvailability::Purged)
            .ok_or_else(|| RestError::not_found("messageId", id))
    }

    pub fn update_message(
        &mut self,
        extension_id: i64,
        now: Millis,
        id: &str,
        update: MailboxUpdate,
    ) -> Result<(), RestError> {
        let id = self.find_message(extension_id, now, id)?.id;
        self.change_message(now, id, |message| {
            message.read_status = update.read_status.unwrap_or(message.read_status);
            message.availability = update.availability.unwrap_or(message.availability);
        });
        Ok(())
    }

    pub fn delete_message(
        &mut self,
        extension_id: i64,
        now: Millis,
        id: &str,
        mode: DeletionMode,
    ) -> Result<(), RestError> {
        let id = self.find_message(extension_id, now, id)?.id;
        self.change_message(now, id, |message| {
            let purge = mode == DeletionMode::Purge || message.availability == MessageAvailability::Deleted;
            message.availability =
                if purge { MessageAvailability::Purged } else { MessageAvailability::Deleted };
        });
        Ok(())
    }

    fn change_message(&mut self, now: Millis, id: i64, change: impl FnOnce(&mut MessageRecord)) {
        if let Some(message) = self.mail.messages.get_mut(&id) {
            change(message);
            message.modified_at = now;
            let mailbox = ChangedMailbox::of(message);
            self.publish_mailbox_change(now, mailbox, MailboxChange::MessageUpdated);
        }
    }
}
