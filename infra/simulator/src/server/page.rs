//! The developer page at `/`: users and numbers, conversations, subscriptions, and the live ledger.
//!
//! It is part of the control API and restricted to this machine in the same way.

use std::convert::Infallible;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::platform::accounts::{ExtensionRecord, NumberRecord};
use crate::platform::clock::{SECOND, format_time, seconds_until};
use crate::platform::messages::{MessageAvailability, MessageDirection, MessageRecord, StoredAttachment};
use crate::platform::state::PlatformState;
use crate::runtime::simulator_core::SimulatorCore;

/// The latest messages that the page shows, over all mailboxes.
const MAX_MESSAGES: usize = 200;

#[derive(Template)]
#[template(path = "page.html")]
struct DeveloperPage<'a> {
    url: &'a str,
}

pub fn add_routes(router: Router<Arc<SimulatorCore>>) -> Router<Arc<SimulatorCore>> {
    let script = || async { asset("text/javascript", include_str!("../../assets/page.js")) };
    let style = || async { asset("text/css", include_str!("../../assets/page.css")) };
    let icon = || async { asset("image/svg+xml", include_str!("../../assets/icon.svg")) };
    router
        .route("/", get(show_page))
        .route("/_sim/icon.svg", get(icon))
        .route("/_sim/page.js", get(script))
        .route("/_sim/page.css", get(style))
        .route("/_sim/view", get(get_view))
        .route("/_sim/media/{message}/{attachment}", get(show_media))
        .route("/_sim/live", get(stream_ledger))
}

fn asset(content_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

async fn show_page(State(core): State<Arc<SimulatorCore>>) -> Response {
    let Ok(html) = (DeveloperPage { url: &core.public_url }).render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Html(html).into_response();
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// The bytes of an attachment. Its content cannot run scripts, whatever its type.
async fn show_media(
    State(core): State<Arc<SimulatorCore>>,
    Path((message, attachment)): Path<(i64, i64)>,
) -> Response {
    let file = core.read(|state| {
        let files = &state.mail.messages.get(&message)?.attachments;
        files.iter().find(|file| file.id == attachment).cloned()
    });
    let Some(file) = file else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(content_type) = HeaderValue::from_str(&file.content_type) else {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, file.bytes()).into_response()
}

/// Everything on the page except the ledger.
async fn get_view(State(core): State<Arc<SimulatorCore>>) -> Json<Value> {
    core.read(|state| {
        let now = core.clock.now();
        let accounts: Vec<Value> = state
            .accounts
            .values()
            .map(|account| {
                let users = state.extensions.values().filter(|e| e.account_id == account.id);
                let unassigned =
                    state.numbers.values().filter(|n| n.account_id == account.id && n.holder_id().is_none());
                json!({
                    "id": account.id.to_string(),
                    "name": account.name,
                    "users": users.map(|e| user_view(state, e)).collect::<Vec<_>>(),
                    "numbers": unassigned.map(number_view).collect::<Vec<_>>(),
                })
            })
            .collect();
        let subscriptions: Vec<Value> = state
            .subscriptions
            .iter()
            .filter(|s| s.is_live(now))
            .map(|s| {
                json!({
                    "id": s.id, "status": s.status, "extensionId": s.extension_id.to_string(), "filters": s.filters,
                    "address": s.address, "expiresIn": seconds_until(s.expires_at, now), "failures": s.failures,
                })
            })
            .collect();
        Json(json!({
            "now": format_time(now),
            "offsetSeconds": core.clock.offset() / SECOND,
            "faults": state.faults.len(),
            "accounts": accounts,
            "subscriptions": subscriptions,
            "messages": message_views(state),
        }))
    })
}

fn number_view(number: &NumberRecord) -> Value {
    json!({
        "phoneNumber": number.phone_number, "label": number.label, "features": number.features,
        "campaign": number.campaign, "canReceive": number.sms_extension_id.is_some(),
    })
}

fn user_view(state: &PlatformState, extension: &ExtensionRecord) -> Value {
    let id = extension.id;
    let numbers = state.numbers.values().filter(|n| n.holder_id() == Some(id));
    json!({
        "extensionId": id.to_string(), "extension": extension.number, "name": extension.name(),
        "type": extension.kind, "sessions": state.logins.sessions_of(id).count(),
        "numbers": numbers.map(number_view).collect::<Vec<_>>(),
    })
}

/// The latest messages, oldest first.
fn message_views(state: &PlatformState) -> Vec<Value> {
    let messages = state.mail.messages.values().rev();
    let latest = messages.filter(|m| m.availability == MessageAvailability::Alive).take(MAX_MESSAGES);
    let mut views: Vec<Value> = latest.map(|m| message_view(state, m)).collect();
    views.reverse();
    views
}

fn message_view(state: &PlatformState, message: &MessageRecord) -> Value {
    let own = state.own_number(message);
    let others: Vec<&String> = message.to.iter().chain([&message.from]).filter(|n| *n != own).collect();
    let file_view = |file: &StoredAttachment| {
        json!({
            "contentType": file.content_type, "name": file.file_name, "size": file.size,
            "url": format!("/_sim/media/{}/{}", message.id, file.id),
        })
    };
    let files: Vec<Value> = message.attachments.iter().map(file_view).collect();
    json!({
        "id": message.id.to_string(), "own": own, "others": others,
        "outbound": message.direction == MessageDirection::Outbound, "text": message.text, "files": files,
        "at": format_time(message.created_at), "status": message.status, "error": message.error_code,
        "conversation": message.conversation_id.to_string(),
    })
}

/// The position of one client in the ledger.
struct LedgerStream {
    core: Arc<SimulatorCore>,
    /// `None` until the first event is sent.
    changes: Option<watch::Receiver<u64>>,
    since: u64,
}

impl LedgerStream {
    async fn next_event(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        match &mut self.changes {
            Some(changes) => changes.changed().await.ok()?,
            None => self.changes = Some(self.core.changes.subscribe()),
        }
        let (text, next) = self.core.read(|state| {
            let (entries, next) = state.ledger.since(self.since);
            // After a reset, the ledger starts again.
            let again = next < self.since;
            let entries = if again { state.ledger.since(0).0 } else { entries };
            (json!({"entries": entries, "again": again}).to_string(), next)
        });
        self.since = next;
        Some((Ok(Event::default().data(text)), self))
    }
}

/// Server-sent events: the whole ledger, then each new entry.
async fn stream_ledger(
    State(core): State<Arc<SimulatorCore>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let start = LedgerStream { core, changes: None, since: 0 };
    Sse::new(stream::unfold(start, LedgerStream::next_event)).keep_alive(KeepAlive::default())
}
