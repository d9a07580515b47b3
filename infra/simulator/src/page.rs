//! The developer's page at `/`: users and numbers, conversations, subscriptions, and the ledger, live.
//!
//! It is part of the control API and as closed as that: only this machine sees it.

use std::convert::Infallible;
use std::sync::Arc;

use askama::Template;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};

use crate::clock::{SECOND, iso, seconds_left};
use crate::messages::Message;
use crate::sim::Sim;
use crate::state::{Extension, World};

/// Messages shown of one mailbox.
const MOST_MESSAGES: usize = 200;

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    url: &'a str,
}

/// Adds the page and what it fetches.
pub fn routes(router: Router<Arc<Sim>>) -> Router<Arc<Sim>> {
    router
        .route("/", get(page))
        .route("/_sim/page.js", get(|| async { asset("text/javascript", include_str!("../assets/page.js")) }))
        .route("/_sim/page.css", get(|| async { asset("text/css", include_str!("../assets/page.css")) }))
        .route("/_sim/view", get(view))
        .route("/_sim/live", get(live))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

async fn page(State(sim): State<Arc<Sim>>) -> Response {
    let Ok(html) = (Page { url: &sim.public_url }).render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Html(html).into_response();
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                  form-action 'none'; frame-ancestors 'none'";
    response.headers_mut().insert("content-security-policy", HeaderValue::from_static(policy));
    response
}

/// Everything the page shows but the ledger.
async fn view(State(sim): State<Arc<Sim>>) -> Json<Value> {
    sim.peek(|world| {
        let now = sim.clock.now();
        let accounts: Vec<Value> = world
            .accounts
            .values()
            .map(|account| {
                let users = world.extensions.values().filter(|e| e.account_id == account.id);
                let free = world.numbers.values().filter(|n| {
                    n.account_id == account.id && n.extension_id.is_none() && n.sms_extension_id.is_none()
                });
                json!({
                    "id": account.id.to_string(),
                    "name": account.name,
                    "users": users.map(|e| user(world, e)).collect::<Vec<_>>(),
                    "numbers": free.map(number).collect::<Vec<_>>(),
                })
            })
            .collect();
        let subscriptions: Vec<Value> = world
            .subscriptions
            .iter()
            .filter(|s| s.is_live(now))
            .map(|s| {
                json!({
                    "id": s.id, "status": s.status, "extensionId": s.extension_id.to_string(), "filters": s.filters,
                    "address": s.address, "expiresIn": seconds_left(s.expires_at, now), "failures": s.failures,
                })
            })
            .collect();
        Json(json!({
            "now": iso(now),
            "offsetSeconds": sim.clock.offset() / SECOND,
            "faults": world.faults.len(),
            "accounts": accounts,
            "subscriptions": subscriptions,
            "messages": messages(world),
        }))
    })
}

fn number(number: &crate::state::Number) -> Value {
    json!({
        "phoneNumber": number.phone_number, "label": number.label, "features": number.features,
        "campaign": number.campaign, "canReceive": number.sms_extension_id.is_some(),
    })
}

fn user(world: &World, extension: &Extension) -> Value {
    let id = extension.id;
    let numbers = world.numbers.values().filter(|n| n.extension_id.or(n.sms_extension_id) == Some(id));
    let sessions =
        world.oauth.sessions.values().filter(|s| s.extension_id == id && s.revoked.is_none()).count();
    json!({
        "extensionId": id.to_string(), "extension": extension.number, "name": extension.name(),
        "type": extension.kind, "sessions": sessions, "numbers": numbers.map(number).collect::<Vec<_>>(),
    })
}

/// The latest messages, oldest first.
fn messages(world: &World) -> Vec<Value> {
    let latest = world.mail.messages.values().rev().filter(|m| m.availability == "Alive").take(MOST_MESSAGES);
    let mut all: Vec<&Message> = latest.collect();
    all.reverse();
    all.into_iter()
        .map(|m| {
            let own = m.own_number(world);
            let others: Vec<&String> = m.to.iter().chain([&m.from]).filter(|n| *n != own).collect();
            json!({
                "id": m.id.to_string(), "own": own, "others": others, "outbound": m.outbound, "text": m.text,
                "files": m.files.iter().map(|f| f.content_type.clone()).collect::<Vec<_>>(),
                "at": iso(m.created_at), "status": m.status, "error": m.error_code,
                "conversation": m.conversation_id.to_string(),
            })
        })
        .collect()
}

/// Server-sent events: the ledger from the start, then each entry as it is made.
async fn live(State(sim): State<Arc<Sim>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = sim.changes.subscribe();
    let first = (sim, changes, 0_u64, true);
    let events = stream::unfold(first, |(sim, mut changes, since, at_once)| async move {
        if !at_once {
            changes.changed().await.ok()?;
        }
        let (text, next) = sim.peek(|world| {
            let (entries, next) = world.ledger.since(since);
            // A reset begins the ledger anew.
            let again = next < since;
            let entries = if again { world.ledger.since(0).0 } else { entries };
            (json!({"entries": entries, "again": again}).to_string(), next)
        });
        Some((Ok(Event::default().data(text)), (sim, changes, next, false)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}
