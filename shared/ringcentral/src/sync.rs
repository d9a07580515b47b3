//! Message sync: returns all messages of a period, then the changes since the last sync.

use jiff::Timestamp;
use serde::Deserialize;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::message::{Direction, Message, MessageKind};
use crate::messages::format_time;
use crate::rate_limit::UsageGroup;

/// A message sync.
#[derive(Debug, Clone)]
pub enum SyncRequest {
    /// All messages of a period. The token of the response keeps the filters for the following incremental syncs.
    Full {
        /// The start of the period. It is required, because RingCentral's sources disagree on the default.
        date_from: Timestamp,
        /// The end of the period; open by default.
        date_to: Option<Timestamp>,
        /// The directions; empty for both.
        direction: Vec<Direction>,
        /// The message types; empty for all.
        kind: Vec<MessageKind>,
        /// The approximate maximum number of records.
        record_count: Option<u32>,
    },
    /// The changes since the sync that returned this token.
    Incremental {
        /// The token of the previous sync.
        token: String,
    },
}

impl SyncRequest {
    /// A full sync of the SMS and MMS of one direction since this time.
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

    /// An incremental sync with the token of the previous sync.
    #[must_use]
    pub fn since(token: impl Into<String>) -> Self {
        Self::Incremental { token: token.into() }
    }
}

/// The result of a message sync. RingCentral repeats the changes of the last five seconds: ignore duplicate ids.
#[derive(Debug, Clone)]
pub struct SyncResult {
    /// The messages. Deleted ones have an id and availability only.
    pub records: Vec<Message>,
    /// The token of the next sync.
    pub token: String,
    /// The time up to which the sync is complete.
    pub time: Option<Timestamp>,
    /// Whether the period contains older messages than those returned.
    pub older_records_exist: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SyncResponse {
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
    /// Whether a sync token is no longer valid, so that a full sync is needed.
    #[must_use]
    pub fn needs_full_sync(&self) -> bool {
        self.has_code("MSG-333") || self.codes().iter().any(|known| known.code.starts_with("CLG-10"))
    }
}

impl Api {
    /// Syncs messages. App scope `ReadMessages`; group Light.
    ///
    /// # Errors
    /// [`Error::needs_full_sync`] is true if the token is no longer valid.
    pub async fn sync_messages(&self, request: &SyncRequest) -> Result<SyncResult> {
        let mut call = self.get("sync_messages", UsageGroup::Light, &self.extension_path("/message-sync"));
        match request {
            SyncRequest::Full { date_from, date_to, direction, kind, record_count } => {
                call = call.query("syncType", "FSync").query("dateFrom", &format_time(*date_from));
                if let Some(at) = date_to {
                    call = call.query("dateTo", &format_time(*at));
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
        let response: SyncResponse = self.json(call).await?;
        Ok(SyncResult {
            records: response.records,
            token: response.sync_info.sync_token,
            time: response.sync_info.sync_time,
            older_records_exist: response.sync_info.older_records_exist,
        })
    }
}
