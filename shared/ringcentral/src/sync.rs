//! Message sync: what has changed since the last time, in one call.

use jiff::Timestamp;
use serde::Deserialize;

use crate::api::{Api, Group};
use crate::error::{Error, Result};
use crate::message::{Direction, Message, MessageKind};
use crate::messages::instant;

/// What to sync.
#[derive(Debug, Clone)]
pub enum SyncRequest {
    /// Everything in a frame of time. The frame stays with the token for later.
    Full {
        /// The begin of the frame. RingCentral's sources disagree on its default, so it is always sent.
        date_from: Timestamp,
        /// The end of the frame; open if absent.
        date_to: Option<Timestamp>,
        /// From or to us; empty for both.
        direction: Vec<Direction>,
        /// Of these kinds; empty for all.
        kind: Vec<MessageKind>,
        /// About how many records at most.
        record_count: Option<u32>,
    },
    /// What has changed since the sync that gave this token.
    Incremental {
        /// The token.
        token: String,
    },
}

impl SyncRequest {
    /// All SMS and MMS from or to us since a moment.
    #[must_use]
    pub fn sms(direction: Direction, since: Timestamp) -> Self {
        Self::Full {
            date_from: since,
            date_to: None,
            direction: vec![direction],
            kind: vec![MessageKind::Sms],
            record_count: None,
        }
    }

    /// What has changed since the sync that gave this token.
    #[must_use]
    pub fn since(token: impl Into<String>) -> Self {
        Self::Incremental { token: token.into() }
    }
}

/// What has changed. RingCentral repeats the last five seconds: remove doubles by id.
#[derive(Debug, Clone)]
pub struct Synced {
    /// The messages; deleted ones with id and availability only.
    pub records: Vec<Message>,
    /// The token for the next time.
    pub token: String,
    /// The moment up to which this sync knows.
    pub time: Option<Timestamp>,
    /// True if the frame holds older messages than the answer.
    pub older_records_exist: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    records: Vec<Message>,
    sync_info: SyncInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SyncInfo {
    sync_token: String,
    #[serde(default)]
    sync_time: Option<Timestamp>,
    #[serde(default)]
    older_records_exist: bool,
}

impl Error {
    /// True if a sync token is no longer good: make a full sync.
    #[must_use]
    pub fn needs_full_sync(&self) -> bool {
        self.has_code("MSG-333") || self.codes().iter().any(|known| known.code.starts_with("CLG-10"))
    }
}

impl Api {
    /// Syncs the messages. App scope `ReadMessages`; group Light.
    ///
    /// # Errors
    /// [`Error::needs_full_sync`] tells that the token is too old.
    pub async fn sync_messages(&self, request: &SyncRequest) -> Result<Synced> {
        let mut call = self.get("sync_messages", Group::Light, &self.extension_path("/message-sync"));
        match request {
            SyncRequest::Full { date_from, date_to, direction, kind, record_count } => {
                call = call.query("syncType", "FSync").query("dateFrom", &instant(*date_from));
                if let Some(at) = date_to {
                    call = call.query("dateTo", &instant(*at));
                }
                for direction in direction {
                    call = call.query("direction", direction.as_str());
                }
                for kind in kind {
                    call = call.query("messageType", kind.as_str());
                }
                if let Some(count) = record_count {
                    call = call.query("recordCount", &count.to_string());
                }
            }
            SyncRequest::Incremental { token } => {
                call = call.query("syncType", "ISync").query("syncToken", token);
            }
        }
        let answer: Answer = self.json(call).await?;
        Ok(Synced {
            records: answer.records,
            token: answer.sync_info.sync_token,
            time: answer.sync_info.sync_time,
            older_records_exist: answer.sync_info.older_records_exist,
        })
    }
}
