//! Message synchronization: all messages of a range once, then the changes.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::platform::clock::{DAY, HOUR, Millis, SECOND, format_time};
use crate::platform::errors::RestError;
use crate::platform::messages::{MessageAvailability, MessageRecord};
use crate::platform::state::PlatformState;
use crate::platform::urls::BaseUrls;
use crate::rules::mailbox::MessageSelection;
use crate::rules::query::QueryString;

/// An incremental sync repeats the changes of this long before the token was issued.
const OVERLAP: Millis = 5 * SECOND;
const TOKEN_LIFETIME: Millis = 30 * DAY;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum SyncType {
    #[serde(rename = "FSync")]
    Full,
    #[serde(rename = "ISync")]
    Incremental,
}

/// The content of a sync token.
#[derive(Debug, Serialize, Deserialize)]
struct SyncToken {
    extension_id: i64,
    selection: MessageSelection,
    from: Millis,
    /// When the token was issued.
    at: Millis,
    /// The state that issued the token: a reset invalidates earlier tokens.
    epoch: String,
}

impl SyncToken {
    fn encode(&self) -> String {
        data_encoding::BASE64URL_NOPAD.encode(json!(self).to_string().as_bytes())
    }

    fn decode(text: &str, state: &PlatformState, extension_id: i64, now: Millis) -> Result<Self, RestError> {
        let invalid = || {
            RestError::new(StatusCode::BAD_REQUEST, "MSG-333", "Parameter [syncToken] is invalid")
                .category("InvalidParameter")
                .attribute("parameterName", "syncToken")
        };
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| invalid())?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        let is_valid = token.extension_id == extension_id
            && token.epoch == state.epoch
            && token.at <= now
            && now < token.at + TOKEN_LIFETIME;
        if is_valid { Ok(token) } else { Err(invalid()) }
    }
}

/// The `records` and `syncInfo` of a synchronization.
pub struct SyncResult {
    /// Oldest first.
    pub records: Vec<Value>,
    pub sync_info: Value,
}

/// Synchronizes the mailbox of an extension.
pub fn sync_messages(
    state: &PlatformState,
    extension_id: i64,
    now: Millis,
    query: &QueryString,
    urls: &BaseUrls,
) -> Result<SyncResult, RestError> {
    match (query.get("syncType"), query.get("syncToken")) {
        (Some("FSync"), _) | (None, None) => full_sync(state, extension_id, now, query, urls),
        (Some("ISync") | None, Some(token)) => incremental_sync(state, extension_id, now, token, urls),
        (Some("ISync"), None) => Err(RestError::parameter("syncToken", Value::Null)),
        (Some(other), _) => Err(RestError::parameter("syncType", other)),
    }
}

fn sync_info(sync_type: SyncType, token: &SyncToken) -> Value {
    json!({"syncType": sync_type, "syncToken": token.encode(), "syncTime": format_time(token.at)})
}

fn full_sync(
    state: &PlatformState,
    extension_id: i64,
    now: Millis,
    query: &QueryString,
    urls: &BaseUrls,
) -> Result<SyncResult, RestError> {
    let selection = MessageSelection::from_query(query)?;
    let until = query.time("dateTo")?.unwrap_or(now);
    let from = query.time("dateFrom")?.unwrap_or(until - state.settings.full_sync_hours * HOUR);
    let mut found = state.visible_messages(extension_id, now);
    found.retain(|m| {
        m.availability == MessageAvailability::Alive
            && selection.includes(m)
            && (from..=until).contains(&m.created_at)
    });
    selection.reduce(&mut found);
    let limit = query.number("recordCount", 1)?.unwrap_or(usize::MAX);
    let older_records_exist = found.len() > limit;
    found.truncate(limit);
    let records = found.iter().rev().map(|m| state.stored_message_json(m, urls)).collect();
    let token = SyncToken { extension_id, selection, from, at: now, epoch: state.epoch.clone() };
    let mut sync_info = sync_info(SyncType::Full, &token);
    sync_info["olderRecordsExist"] = older_records_exist.into();
    Ok(SyncResult { records, sync_info })
}

fn incremental_sync(
    state: &PlatformState,
    extension_id: i64,
    now: Millis,
    token: &str,
    urls: &BaseUrls,
) -> Result<SyncResult, RestError> {
    let last = SyncToken::decode(token, state, extension_id, now)?;
    let mut found = state.visible_messages(extension_id, now);
    found.retain(|m| {
        last.selection.includes(m) && last.from <= m.created_at && m.changed_at() >= last.at - OVERLAP
    });
    last.selection.reduce(&mut found);
    let records = found.iter().rev().map(|m| changed_json(state, m, urls)).collect();
    let token = SyncToken { at: now, ..last };
    Ok(SyncResult { records, sync_info: sync_info(SyncType::Incremental, &token) })
}

/// A changed message in full; a deleted one only with its id and availability.
fn changed_json(state: &PlatformState, message: &MessageRecord, urls: &BaseUrls) -> Value {
    if message.availability == MessageAvailability::Alive {
        state.stored_message_json(message, urls)
    } else {
        json!({
            "uri": urls.api(&message.path()), "id": message.id, "availability": message.availability,
        })
    }
}
