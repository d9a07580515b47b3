//! The message store: list, read, mark, delete, restore, and the content of attachments.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension as Given, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::clock::{DAY, Millis, parse_iso};
use crate::error::ApiError;
use crate::events::Change;
use crate::messages::Message;
use crate::paging::{Query, page};
use crate::sim::Sim;
use crate::state::World;

/// Messages of one bulk call.
const MOST_IDS: usize = 50;

/// Which messages a list or a synchronisation is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Frame {
    directions: Vec<String>,
    types: Vec<String>,
    conversation: Option<String>,
    /// The latest message of each conversation only.
    pub distinct: bool,
}

impl Frame {
    /// Reads the frame of a query.
    pub fn of(query: &Query) -> Result<Self, ApiError> {
        let checked = |name: &str, known: &[&str]| {
            let all = query.all(name);
            match all.iter().find(|v| !known.contains(*v)) {
                Some(bad) => Err(ApiError::parameter(name, *bad)),
                None => Ok(all.into_iter().map(str::to_owned).collect()),
            }
        };
        Ok(Self {
            directions: checked("direction", &["Inbound", "Outbound"])?,
            types: checked("messageType", &["Fax", "SMS", "VoiceMail", "Pager", "Text"])?,
            conversation: query.get("conversationId").map(str::to_owned),
            distinct: match query.get("distinctConversations") {
                None | Some("false") => false,
                Some("true") => true,
                Some(other) => return Err(ApiError::parameter("distinctConversations", other)),
            },
        })
    }

    /// Is a message in it?
    #[must_use]
    pub fn holds(&self, message: &Message) -> bool {
        let direction = if message.outbound { "Outbound" } else { "Inbound" };
        (self.directions.is_empty() || self.directions.iter().any(|d| d == direction))
            && (self.types.is_empty() || self.types.iter().any(|t| t == "SMS"))
            && self.conversation.as_deref().is_none_or(|c| c == message.conversation_id.to_string())
    }
}

/// A time of a query.
pub fn time(query: &Query, name: &str) -> Result<Option<Millis>, ApiError> {
    query.get(name).map(|text| parse_iso(text).ok_or_else(|| ApiError::parameter(name, text))).transpose()
}

/// The latest of each conversation; `messages` are newest first.
pub fn distinct(messages: Vec<&Message>) -> Vec<&Message> {
    let mut seen = HashSet::new();
    messages.into_iter().filter(|m| seen.insert(m.conversation_id)).collect()
}

/// The visible messages of a mailbox, newest first.
pub fn visible(world: &World, extension_id: i64, now: Millis) -> Vec<&Message> {
    let mut all: Vec<&Message> = world
        .mail
        .messages
        .values()
        .filter(|m| m.extension_id == extension_id && m.visible_at <= now)
        .collect();
    all.sort_by_key(|m| std::cmp::Reverse((m.created_at, m.id)));
    all
}

/// `GET …/message-store`.
pub async fn list(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path((account, extension)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(query.as_deref());
    let frame = Frame::of(&query)?;
    sim.world(|world, now| {
        let extension = caller.extension_at(world, &account, &extension)?;
        let to = time(&query, "dateTo")?.unwrap_or(now);
        let from = time(&query, "dateFrom")?.unwrap_or(to - DAY);
        let states = query.all("availability");
        let read = query.all("readStatus");
        let phone = query.get("phoneNumber").map(|p| p.trim_start_matches('+'));
        let wanted = |m: &&Message| {
            let state = m.availability.as_str();
            let read_status = if m.read { "Read" } else { "Unread" };
            frame.holds(m)
                && from <= m.created_at
                && m.created_at <= to
                && (if states.is_empty() { state == "Alive" } else { states.contains(&state) })
                && (read.is_empty() || read.contains(&read_status))
                && phone.is_none_or(|p| m.to.iter().chain([&m.from]).any(|n| n.trim_start_matches('+') == p))
        };
        let mut found: Vec<&Message> = visible(world, extension.id, now).into_iter().filter(wanted).collect();
        if frame.distinct {
            found = distinct(found);
        }
        let records = found.iter().map(|m| m.stored_record(&sim, world)).collect();
        let path = format!(
            "/restapi/v1.0/account/{}/extension/{}/message-store",
            extension.account_id, extension.id
        );
        let page = page(&query, &sim.uri(&path), records)?;
        Ok(Json(json!({
            "uri": page.uri, "records": page.records, "navigation": page.navigation, "paging": page.paging,
        })))
    })
}

fn find<'w>(world: &'w World, extension_id: i64, now: Millis, id: &str) -> Result<&'w Message, ApiError> {
    id.parse()
        .ok()
        .and_then(|id: i64| world.mail.messages.get(&id))
        .filter(|m| m.extension_id == extension_id && m.visible_at <= now && m.availability != "Purged")
        .ok_or_else(|| ApiError::not_found("messageId", id))
}

fn ids(list: &str) -> Result<Vec<&str>, ApiError> {
    let ids: Vec<&str> = list.split(',').map(str::trim).filter(|i| !i.is_empty()).collect();
    if ids.len() > MOST_IDS {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "CMN-106", "Too many entries in a batch request"));
    }
    Ok(ids)
}

/// One answer of a bulk call.
struct Item {
    id: String,
    href: String,
    outcome: Result<Option<Value>, ApiError>,
}

impl Item {
    fn status(&self) -> u16 {
        match &self.outcome {
            Ok(Some(_)) => 200,
            Ok(None) => 204,
            Err(error) => error.status.as_u16(),
        }
    }

    fn body(&self) -> Option<Value> {
        match &self.outcome {
            Ok(body) => body.clone(),
            Err(error) => Some(error.body()),
        }
    }
}

/// 207: as a JSON array if the client asks for it, else `multipart/mixed`.
fn multi(headers: &HeaderMap, items: &[Item]) -> Response {
    let wants_json = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.contains("application/vnd.ringcentral.multipart+json"));
    if wants_json {
        let all: Vec<Value> = items
            .iter()
            .map(|i| json!({"resourceId": i.id, "status": i.status(), "body": i.body()}))
            .collect();
        let mut response = (StatusCode::MULTI_STATUS, Json(all)).into_response();
        let kind = HeaderValue::from_static("application/vnd.ringcentral.multipart+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        return response;
    }
    let boundary = format!("Boundary_{}", uuid::Uuid::new_v4().simple());
    let overview: Vec<Value> = items
        .iter()
        .map(|i| {
            let text =
                StatusCode::from_u16(i.status()).ok().and_then(|s| s.canonical_reason()).unwrap_or_default();
            json!({"href": i.href, "status": i.status(), "responseDescription": text})
        })
        .collect();
    let mut body = String::new();
    let mut part = |value: &Value| {
        body.push_str(&format!("--{boundary}\r\nContent-Type: application/json\r\n\r\n{value}\r\n"));
    };
    part(&json!({"response": overview}));
    for item in items {
        part(&item.body().unwrap_or(Value::Null));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    let kind = HeaderValue::from_str(&format!("multipart/mixed; boundary={boundary}"));
    let mut response = (StatusCode::MULTI_STATUS, body).into_response();
    if let Ok(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// `GET …/message-store/{messageId}`: one, or several with commas between.
pub async fn read(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path((account, extension, message)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    sim.world(|world, now| {
        let extension = caller.extension_at(world, &account, &extension)?.id;
        let ids = ids(&message)?;
        if let [one] = ids.as_slice() {
            return Ok(Json(find(world, extension, now, one)?.stored_record(&sim, world)).into_response());
        }
        let items: Vec<Item> = ids
            .iter()
            .map(|id| Item {
                id: (*id).to_owned(),
                href: sim.uri(&format!("/restapi/v1.0/account/~/extension/~/message-store/{id}")),
                outcome: find(world, extension, now, id).map(|m| Some(m.stored_record(&sim, world))),
            })
            .collect();
        Ok(multi(&headers, &items))
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mark {
    read_status: Option<String>,
    availability: Option<String>,
    body: Option<Box<Mark>>,
}

/// `PUT` and `PATCH …/message-store/{messageId}`: read or unread, deleted or restored.
pub async fn mark(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path((account, extension, message)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let marks: Vec<Mark> = if body.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(&body).map_err(|_| ApiError::unparsable())?
    } else {
        vec![serde_json::from_slice(&body).map_err(|_| ApiError::unparsable())?]
    };
    sim.world(|world, now| {
        let extension = caller.extension_at(world, &account, &extension)?.id;
        let ids = ids(&message)?;
        if marks.len() > 1 && marks.len() != ids.len() {
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "CMN-108", "Body and path do not match"));
        }
        let mut items = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let mark = marks.get(index).or(marks.first()).map(|m| m.body.as_deref().unwrap_or(m));
            let outcome = marked(world, extension, now, id, mark)
                .and_then(|()| find(world, extension, now, id).map(|m| Some(m.stored_record(&sim, world))));
            items.push(Item {
                id: (*id).to_owned(),
                href: sim.uri(&format!("/restapi/v1.0/account/~/extension/~/message-store/{id}")),
                outcome,
            });
        }
        if items.len() == 1
            && let Some(item) = items.pop()
        {
            return Ok(Json(item.outcome?).into_response());
        }
        Ok(multi(&headers, &items))
    })
}

fn marked(
    world: &mut World,
    extension: i64,
    now: Millis,
    id: &str,
    mark: Option<&Mark>,
) -> Result<(), ApiError> {
    let found = find(world, extension, now, id)?;
    let (id, account, outbound) = (found.id, found.account_id, found.outbound);
    let read = match mark.and_then(|m| m.read_status.as_deref()) {
        None => None,
        Some("Read") => Some(true),
        Some("Unread") => Some(false),
        Some(other) => return Err(ApiError::parameter("readStatus", other)),
    };
    let availability = match mark.and_then(|m| m.availability.as_deref()) {
        Some(state) if !["Alive", "Deleted", "Purged"].contains(&state) => {
            return Err(ApiError::parameter("availability", state));
        }
        state => state,
    };
    if let Some(message) = world.mail.messages.get_mut(&id) {
        if let Some(read) = read {
            message.read = read;
        }
        if let Some(availability) = availability {
            availability.clone_into(&mut message.availability);
        }
        message.modified_at = now;
    }
    world.announce_change(now, account, extension, outbound, &Change { new: vec![], updated: 1 });
    Ok(())
}

/// Deletes; a second time, or with `purge`, for good.
fn deleted(world: &mut World, extension: i64, now: Millis, id: &str, purge: bool) -> Result<(), ApiError> {
    let found = find(world, extension, now, id)?;
    let (id, account, outbound) = (found.id, found.account_id, found.outbound);
    if let Some(message) = world.mail.messages.get_mut(&id) {
        let next = if purge || message.availability == "Deleted" { "Purged" } else { "Deleted" };
        next.clone_into(&mut message.availability);
        message.modified_at = now;
    }
    world.announce_change(now, account, extension, outbound, &Change { new: vec![], updated: 1 });
    Ok(())
}

/// `DELETE …/message-store/{messageId}`: 204 if all went, else 207.
pub async fn remove(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path((account, extension, message)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let purge = Query::parse(query.as_deref()).get("purge") == Some("true");
    sim.world(|world, now| {
        let extension = caller.extension_at(world, &account, &extension)?.id;
        let ids = ids(&message)?;
        let mut items = Vec::new();
        for id in &ids {
            let outcome = deleted(world, extension, now, id, purge).map(|()| None);
            let href = sim.uri(&format!("/restapi/v1.0/account/~/extension/~/message-store/{id}"));
            items.push(Item { id: (*id).to_owned(), href, outcome });
        }
        if items.iter().all(|i| i.outcome.is_ok()) {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        if items.len() == 1
            && let Some(item) = items.pop()
        {
            item.outcome?;
        }
        Ok(multi(&headers, &items))
    })
}

/// `DELETE …/message-store`: whole conversations, or the ids of the body.
pub async fn remove_conversation(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path((account, extension)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, ApiError> {
    let query = Query::parse(query.as_deref());
    let conversations = query.all("conversationId").into_iter().map(str::to_owned).collect::<Vec<_>>();
    if conversations.is_empty() {
        return Err(ApiError::parameter("conversationId", Value::Null));
    }
    sim.world(|world, now| {
        let extension = caller.extension_at(world, &account, &extension)?.id;
        let until = time(&query, "dateTo")?.unwrap_or(now);
        let purge = query.get("purge") == Some("true");
        let found: Vec<String> = visible(world, extension, now)
            .iter()
            .filter(|m| m.availability != "Purged" && m.created_at <= until)
            .filter(|m| conversations.contains(&m.conversation_id.to_string()))
            .map(|m| m.id.to_string())
            .collect();
        for id in found {
            deleted(world, extension, now, &id, purge)?;
        }
        Ok(StatusCode::NO_CONTENT)
    })
}

/// `GET …/message-store/{messageId}/content/{attachmentId}`.
pub async fn content(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path((account, extension, message, attachment)): Path<(String, String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Query::parse(query.as_deref());
    sim.world(|world, now| {
        let extension = caller.extension_at(world, &account, &extension)?.id;
        let message = find(world, extension, now, &message)?;
        let (kind, name, bytes) = if attachment == message.id.to_string() {
            ("text/plain".to_owned(), None, message.text.clone().into_bytes())
        } else {
            let file = message.files.iter().find(|f| f.id.to_string() == attachment);
            let file = file.ok_or_else(|| ApiError::not_found("attachmentId", attachment.as_str()))?;
            (file.content_type.clone(), file.file_name.clone(), file.bytes())
        };
        let mut response = bytes.into_response();
        if let Ok(kind) = HeaderValue::from_str(&kind) {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        let disposition = query.get("contentDisposition").unwrap_or("Inline").to_ascii_lowercase();
        let safe = name.map(|n| n.replace(['"', '\r', '\n'], "_"));
        let disposition = match safe {
            Some(name) => format!("{disposition}; filename=\"{name}\""),
            None => disposition,
        };
        if let Ok(disposition) = HeaderValue::from_str(&disposition) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
        }
        Ok(response)
    })
}
