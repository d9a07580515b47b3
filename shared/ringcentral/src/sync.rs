//! Message sync: returns all messages of a period, then the changes since the last sync.

use jiff::Timestamp;

use crate::api::Api;
use crate::error::{Error, ErrorKind, Result};
use crate::lenient::{Fields, FromFields, RecordError, deserialize_record, record};
use crate::message::{Direction, Message, MessageKind};
use crate::messages::format_time;
use crate::paging::Records;
use crate::rate_limit::UsageGroup;
use crate::scanner::Quotes;

/// Longer tokens do not fit into the URL of the next sync, and are not read.
const MAX_TOKEN_BYTES: usize = 4_096;

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
    pub records: Records<Message>,
    /// The token of the next sync. `None` if the response has none that can be read: use the previous one again, and ignore
    /// duplicate ids.
    pub token: Option<String>,
    /// The time up to which the sync is complete.
    pub time: Option<Timestamp>,
    /// Whether the period contains older messages than those returned.
    pub older_records_exist: bool,
}

impl FromFields for SyncResult {
    const QUOTES: Quotes = Quotes::Unescaped;

    fn from_fields(fields: &Fields<'_>) -> std::result::Result<Self, RecordError> {
        let info: Option<SyncInfo> = fields.lossy("syncInfo");
        let records = match fields.raw("records") {
            // Without changes, there may be no list.
            None if info.is_some() => Records::default(),
            _ => Records::from_fields(fields)?,
        };
        Ok(Self {
            records,
            token: info
                .as_ref()
                .and_then(|info| info.sync_token.clone())
                .filter(|token| (1..=MAX_TOKEN_BYTES).contains(&token.len())),
            time: info.as_ref().and_then(|info| info.sync_time),
            older_records_exist: info.is_some_and(|info| info.older_records_exist),
        })
    }
}

deserialize_record!(SyncResult);

struct SyncInfo {
    sync_token: Option<String>,
    sync_time: Option<Timestamp>,
    older_records_exist: bool,
}

record!(SyncInfo {
    sync_token: lossy "syncToken",
    sync_time: lossy "syncTime",
    older_records_exist: flag "olderRecordsExist",
});

impl Error {
    /// Whether RingCentral rejects the token of an incremental sync, so that a full sync is needed: it names the parameter
    /// (`CMN-101`), or has a code for it (`MSG-333`, `CLG-10…`).
    #[must_use]
    pub fn needs_full_sync(&self) -> bool {
        let is_token = |text: &str| text.to_ascii_lowercase().contains("synctoken");
        matches!(self.kind(), ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Forbidden)
            && self.codes().iter().any(|known| {
                known.code == "MSG-333"
                    || known.code.starts_with("CLG-10")
                    || known.parameter.as_deref().is_some_and(is_token)
                    || is_token(&known.message)
            })
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
        self.json(call).await
    }
}
