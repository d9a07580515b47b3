//! The message store: list, read, mark, delete, restore.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::platform::clock::{DAY, Millis};
use crate::platform::errors::RestError;
use crate::platform::messages::{MessageAvailability, MessageRecord, ReadStatus};
use crate::platform::state::PlatformState;
use crate::platform::variants::parse_variant;
use crate::rules::caller::ApiCaller;
use crate::rules::mailbox::{DeletionMode, MailboxUpdate, MessageSelection};
use crate::rules::paging::page_of;
use crate::rules::query::QueryString;
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::multi_status::{ItemOutcome, multi_status, split_ids};
use crate::server::query::Query;

/// `GET …/message-store`.
pub async fn list_messages(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension)): Path<(String, String)>,
    Query(query): Query,
) -> Result<Json<Value>, RestError> {
    let selection = MessageSelection::from_query(&query)?;
    core.update(|state, now| {
        let extension = caller.extension(state, &account, &extension)?;
        let mut found = state.visible_messages(extension.id, now);
        let filter = list_filter(&query, now)?;
        found.retain(|m| selection.includes(m) && filter(m));
        selection.reduce(&mut found);
        let urls = core.urls(state);
        let records = found.iter().map(|m| state.stored_message_json(m, &urls)).collect();
        Ok(Json(page_of(&query, &urls.api(&extension.path("message-store")), records)?.into_json()))
    })
}

/// The filters that only the list has: times, availability, read status, number.
fn list_filter(query: &QueryString, now: Millis) -> Result<impl Fn(&MessageRecord) -> bool, RestError> {
    let to = query.time("dateTo")?.unwrap_or(now);
    let from = query.time("dateFrom")?.unwrap_or(to - DAY);
    let availability =
        known_variants(query, "availability").unwrap_or_else(|| vec![MessageAvailability::Alive]);
    let read_status: Option<Vec<ReadStatus>> = known_variants(query, "readStatus");
    let phone = query.get("phoneNumber").map(|p| p.trim_start_matches('+').to_owned());
    Ok(move |m: &MessageRecord| {
        (from..=to).contains(&m.created_at)
            && availability.contains(&m.availability)
            && read_status.as_ref().is_none_or(|list| list.contains(&m.read_status))
            && phone
                .as_ref()
                .is_none_or(|p| m.to.iter().chain([&m.from]).any(|n| n.trim_start_matches('+') == p))
    })
}

/// The known values of a list parameter; `None` if it is absent.
fn known_variants<T: DeserializeOwned>(query: &QueryString, name: &str) -> Option<Vec<T>> {
    query.get(name)?;
    Some(query.all(name).into_iter().filter_map(parse_variant).collect())
}

fn message_url(core: &SimulatorCore, id: &str) -> String {
    core.url(&format!("/restapi/v1.0/account/~/extension/~/message-store/{id}"))
}

/// `GET …/message-store/{messageId}`: one message, or several with commas between the ids.
pub async fn get_messages(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension, message)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, RestError> {
    core.update(|state, now| {
        let extension = caller.extension(state, &account, &extension)?.id;
        let urls = core.urls(state);
        let find =
            |id: &str| state.find_message(extension, now, id).map(|m| state.stored_message_json(m, &urls));
        let ids = split_ids(&message)?;
        if let [one] = ids.as_slice() {
            return Ok(Json(find(one)?).into_response());
        }
        let item = |id: &&str| ItemOutcome {
            id: (*id).to_owned(),
            href: message_url(&core, id),
            outcome: find(id).map(Some),
        };
        Ok(multi_status(&headers, &ids.iter().map(item).collect::<Vec<_>>()))
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateBody {
    read_status: Option<String>,
    availability: Option<String>,
    /// Items of a batch have their fields inside.
    body: Option<Box<UpdateBody>>,
}

impl UpdateBody {
    fn parse(&self) -> Result<MailboxUpdate, RestError> {
        let fields = self.body.as_deref().unwrap_or(self);
        let read_status: Option<ReadStatus> = parse_field("readStatus", fields.read_status.as_deref())?;
        let availability = parse_field("availability", fields.availability.as_deref())?;
        Ok(MailboxUpdate { read_status, availability })
    }
}

fn parse_field<T: DeserializeOwned>(name: &str, text: Option<&str>) -> Result<Option<T>, RestError> {
    text.map(|text| parse_variant(text).ok_or_else(|| RestError::parameter(name, text))).transpose()
}

/// `PUT` and `PATCH …/message-store/{messageId}`: sets the read status, deletes or restores.
pub async fn update_messages(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension, message)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, RestError> {
    let updates: Vec<UpdateBody> = if body.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(&body).map_err(|_| RestError::invalid_json())?
    } else {
        vec![serde_json::from_slice(&body).map_err(|_| RestError::invalid_json())?]
    };
    core.update(|state, now| {
        let extension = caller.extension(state, &account, &extension)?.id;
        let ids = split_ids(&message)?;
        if updates.len() > 1 && updates.len() != ids.len() {
            return Err(RestError::new(StatusCode::BAD_REQUEST, "CMN-108", "Body and path do not match"));
        }
        let mut items = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let update = updates.get(index).or(updates.first());
            let outcome = update_message(&core, state, now, extension, id, update).map(Some);
            items.push(ItemOutcome { id: (*id).to_owned(), href: message_url(&core, id), outcome });
        }
        if items.len() == 1
            && let Some(item) = items.pop()
        {
            return Ok(Json(item.outcome?).into_response());
        }
        Ok(multi_status(&headers, &items))
    })
}

fn update_message(
    core: &SimulatorCore,
    state: &mut PlatformState,
    now: Millis,
    extension: i64,
    id: &str,
    update: Option<&UpdateBody>,
) -> Result<Value, RestError> {
    state.find_message(extension, now, id)?;
    let update = update.map(UpdateBody::parse).transpose()?.unwrap_or_default();
    state.update_message(extension, now, id, update)?;
    let urls = core.urls(state);
    Ok(state.stored_message_json(state.find_message(extension, now, id)?, &urls))
}

/// `DELETE …/message-store/{messageId}`: 204 if all were deleted, otherwise 207.
pub async fn delete_messages(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension, message)): Path<(String, String, String)>,
    Query(query): Query,
    headers: HeaderMap,
) -> Result<Response, RestError> {
    let mode = DeletionMode::from_query(&query);
    core.update(|state, now| {
        let extension = caller.extension(state, &account, &extension)?.id;
        let mut items = Vec::new();
        for id in split_ids(&message)? {
            let outcome = state.delete_message(extension, now, id, mode).map(|()| None);
            items.push(ItemOutcome { id: id.to_owned(), href: message_url(&core, id), outcome });
        }
        if items.iter().all(|i| i.outcome.is_ok()) {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        if items.len() == 1
            && let Some(item) = items.pop()
        {
            item.outcome?;
        }
        Ok(multi_status(&headers, &items))
    })
}

/// `DELETE …/message-store`: whole conversations.
pub async fn delete_conversations(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension)): Path<(String, String)>,
    Query(query): Query,
) -> Result<StatusCode, RestError> {
    let conversations = query.all("conversationId");
    if conversations.is_empty() {
        return Err(RestError::parameter("conversationId", Value::Null));
    }
    core.update(|state, now| {
        let extension = caller.extension(state, &account, &extension)?.id;
        let until = query.time("dateTo")?.unwrap_or(now);
        let mode = DeletionMode::from_query(&query);
        let found: Vec<String> = state
            .visible_messages(extension, now)
            .iter()
            .filter(|m| m.availability != MessageAvailability::Purged && m.created_at <= until)
            .filter(|m| conversations.contains(&m.conversation_id.to_string().as_str()))
            .map(|m| m.id.to_string())
            .collect();
        for id in found {
            state.delete_message(extension, now, &id, mode)?;
        }
        Ok(StatusCode::NO_CONTENT)
    })
}
