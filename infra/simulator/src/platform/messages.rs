//! Messages and the store that holds them.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::platform::accounts::ExtensionRecord;
use crate::platform::clock::Millis;
use crate::platform::images::image_dimensions;

/// Above 2^53: a client that reads conversation ids as floating point numbers loses the last digits.
const FIRST_CONVERSATION: i64 = 1_600_000_000_000_000_017;
const FIRST_MESSAGE: i64 = 3_100_200_300_017;
const FIRST_ATTACHMENT: i64 = 675_000_001_016;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageRecordStatus {
    Queued,
    Sent,
    Delivered,
    DeliveryFailed,
    SendingFailed,
    Received,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageDirection {
    Inbound,
    Outbound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageAvailability {
    Alive,
    Deleted,
    /// Only synchronization still shows it.
    Purged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadStatus {
    Read,
    Unread,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredAttachment {
    pub id: i64,
    /// MIME type.
    pub content_type: String,
    pub file_name: Option<String>,
    /// In bytes.
    pub size: usize,
    /// Width and height of an image.
    pub dimensions: Option<(u32, u32)>,
    /// In base64.
    content: String,
}

impl StoredAttachment {
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        data_encoding::BASE64.decode(self.content.as_bytes()).unwrap_or_default()
    }

    /// For the ledger, which has no bytes.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let sha256 = digest(&SHA256, &self.bytes());
        json!({
            "contentType": self.content_type, "fileName": self.file_name, "size": self.size,
            "sha256": HEXLOWER.encode(sha256.as_ref()),
        })
    }
}

/// A file that is not stored yet.
#[derive(Debug, Clone)]
pub struct UploadedFile {
    /// MIME type.
    pub content_type: String,
    pub name: Option<String>,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MessageRecord {
    pub id: i64,
    /// Account and extension of the mailbox.
    pub account_id: i64,
    pub extension_id: i64,
    pub direction: MessageDirection,
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
    pub attachments: Vec<StoredAttachment>,
    pub conversation_id: i64,
    pub created_at: Millis,
    pub modified_at: Millis,
    /// The message store and synchronization show the message from then on.
    pub visible_at: Millis,
    pub status: MessageRecordStatus,
    /// A recipient had opted out when the message was accepted. It fails later.
    pub is_blocked: bool,
    /// For example `SMS-RC-413`.
    pub error_code: Option<String>,
    /// When the carrier delivered it.
    pub delivered_at: Option<Millis>,
    pub read_status: ReadStatus,
    pub availability: MessageAvailability,
}

impl MessageRecord {
    /// When synchronization can first show its latest change.
    #[must_use]
    pub fn changed_at(&self) -> Millis {
        self.modified_at.max(self.visible_at)
    }

    /// The path of the stored message.
    #[must_use]
    pub fn path(&self) -> String {
        format!(
            "/restapi/v1.0/account/{}/extension/{}/message-store/{}",
            self.account_id, self.extension_id, self.id
        )
    }
}

/// What a new message consists of.
#[derive(Debug)]
pub struct MessageDraft<'a> {
    /// The extension of the mailbox.
    pub owner: &'a ExtensionRecord,
    pub direction: MessageDirection,
    pub from: &'a str,
    pub to: &'a [String],
    pub text: &'a str,
    pub files: Vec<UploadedFile>,
}

/// A change of a message that falls due later.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ScheduledStep {
    /// A send is accepted late.
    AcceptSend(Box<MessageRecord>),
    /// The status of the message with this id advances.
    AdvanceStatus(i64),
}

/// A temporary link to the content of an attachment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MediaLink {
    pub message_id: i64,
    /// As in the path of the content.
    pub attachment_id: String,
    pub expires_at: Millis,
}

/// All mailboxes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MessageStore {
    pub messages: BTreeMap<i64, MessageRecord>,
    /// By due time, then by the order in which they were scheduled.
    #[serde(with = "scheduled_pairs")]
    pub scheduled: BTreeMap<(Millis, u64), ScheduledStep>,
    /// By key.
    pub media_links: HashMap<String, MediaLink>,
    conversations: BTreeMap<String, i64>,
    next_message: i64,
    next_attachment: i64,
    next_conversation: i64,
    next_step: u64,
}

impl Default for MessageStore {
    fn default() -> Self {
        Self {
            messages: BTreeMap::new(),
            scheduled: BTreeMap::new(),
            media_links: HashMap::new(),
            conversations: BTreeMap::new(),
            next_message: FIRST_MESSAGE,
            next_attachment: FIRST_ATTACHMENT,
            next_conversation: FIRST_CONVERSATION,
            next_step: 0,
        }
    }
}

/// Serializes the schedule as a list of pairs, because JSON maps need strings as keys.
mod scheduled_pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::ScheduledStep;
    use crate::platform::clock::Millis;

    type Scheduled = BTreeMap<(Millis, u64), ScheduledStep>;

    pub fn serialize<S: Serializer>(scheduled: &Scheduled, serializer: S) -> Result<S::Ok, S::Error> {
        scheduled.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scheduled, D::Error> {
        Ok(Vec::<((Millis, u64), ScheduledStep)>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl MessageStore {
    pub fn schedule(&mut self, at: Millis, step: ScheduledStep) {
        self.next_step += 1;
        self.scheduled.insert((at, self.next_step), step);
    }

    /// The id of the conversation between these numbers in one mailbox.
    fn conversation(&mut self, extension_id: i64, from: &str, to: &[String]) -> i64 {
        let mut all: Vec<&str> = to.iter().map(String::as_str).chain([from]).collect();
        all.sort_unstable();
        let key = format!("{extension_id}:{}", all.join(","));
        *self.conversations.entry(key).or_insert_with(|| {
            self.next_conversation += 1_000_003;
            self.next_conversation - 1_000_003
        })
    }

    /// Assigns the ids of a message. The caller sets its times and stores it.
    pub fn create(&mut self, draft: MessageDraft<'_>) -> MessageRecord {
        let MessageDraft { owner, direction, from, to, text, files } = draft;
        let id = self.next_message;
        self.next_message += 1;
        let attachments = files
            .into_iter()
            .map(|file| {
                self.next_attachment += 1;
                StoredAttachment {
                    id: self.next_attachment - 1,
                    content_type: file.content_type,
                    file_name: file.name,
                    size: file.bytes.len(),
                    dimensions: image_dimensions(&file.bytes),
                    content: data_encoding::BASE64.encode(&file.bytes),
                }
            })
            .collect();
        let (status, read_status) = match direction {
            MessageDirection::Outbound => (MessageRecordStatus::Queued, ReadStatus::Read),
            MessageDirection::Inbound => (MessageRecordStatus::Received, ReadStatus::Unread),
        };
        MessageRecord {
            id,
            account_id: owner.account_id,
            extension_id: owner.id,
            direction,
            from: from.to_owned(),
            to: to.to_vec(),
            text: text.to_owned(),
            attachments,
            conversation_id: self.conversation(owner.id, from, to),
            created_at: 0,
            modified_at: 0,
            visible_at: 0,
            status,
            is_blocked: false,
            error_code: None,
            delivered_at: None,
            read_status,
            availability: MessageAvailability::Alive,
        }
    }
}
