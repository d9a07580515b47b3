//! `/_sim`: the control API. Only loopback may call it, under one of its own names.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::clock::{SECOND, iso};
use crate::error::OauthError;
use crate::faults;
use crate::inbound;
use crate::oauth::token::may_log_in;
use crate::oauth::{Params, authorize};
use crate::paging::Query;
use crate::seed::{self, NewAccount};
use crate::server::Wire;
use crate::sim::Sim;
use crate::state::World;

/// The furthest that a clock is moved at once: ten years.
const FURTHEST_SECONDS: i64 = 10 * 366 * 86_400;

/// Does a control call come from this machine? Not over the network, not under a foreign name (DNS rebinding), and not
/// from a page of a foreign site.
#[must_use]
pub fn is_from_this_machine(peer: SocketAddr, headers: &HeaderMap) -> bool {
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).unwrap_or_default();
    let origin = headers.get(header::ORIGIN).map(text);
    peer.ip().is_loopback()
        && headers.get(header::HOST).map(text).is_some_and(|host| is_loopback_name(&host))
        && origin.is_none_or(|o| o.split_once("://").is_some_and(|(_, host)| is_loopback_name(host)))
}

/// Is the name in front of an optional port one of this machine's own?
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name == "127.0.0.1" || name == "[::1]"
}

/// The answer to a control call that comes from elsewhere.
pub fn refusal(wire: &Wire, headers: &HeaderMap) -> Option<Response> {
    let refusal = json!({"error": "the control API is for this machine only"});
    let allowed = is_from_this_machine(wire.peer, headers);
    (!allowed).then(|| Problem(StatusCode::FORBIDDEN, refusal).into_response())
}

/// Adds the control calls.
pub fn routes(router: Router<Arc<Sim>>) -> Router<Arc<Sim>> {
    router
        .route("/_sim/reset", post(reset))
        .route("/_sim/seed", get(read_seed))
        .route("/_sim/accounts", post(add_account))
        .route("/_sim/inbound", post(inbound::post))
        .route("/_sim/ledger", get(ledger))
        .route("/_sim/faults", get(read_faults).put(replace_faults).delete(clear_faults))
        .route("/_sim/settings", get(read_settings).put(change_settings))
        .route("/_sim/users/{extension}/revoke", post(revoke_user))
        .route("/_sim/subscriptions/{id}/blacklist", post(blacklist))
        .route("/_sim/subscriptions/{id}/expire", post(expire))
        .route("/_sim/clock", get(read_clock).post(move_clock))
        .route("/_sim/authorize", post(authorize_without_browser))
}

/// A control call that could not be done: `{"error": "…"}`.
pub struct Problem(StatusCode, Value);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<OauthError> for Problem {
    fn from(error: OauthError) -> Self {
        Self(error.status, error.body())
    }
}

/// 400: the description is wrong.
pub fn wrong(text: impl Into<String>) -> Problem {
    Problem(StatusCode::BAD_REQUEST, json!({"error": text.into()}))
}

/// 404: there is no such thing.
pub fn absent(text: &str) -> Problem {
    Problem(StatusCode::NOT_FOUND, json!({"error": text}))
}

/// What a control call answers.
pub type Answer = Result<Json<Value>, Problem>;

/// Reads a body; the refusal names the field.
pub fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    read(bytes).map_err(wrong)
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    let reader = &mut serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(reader).map_err(|e| {
        let path = e.path().to_string();
        if path == "." { e.inner().to_string() } else { format!("{path}: {}", e.inner()) }
    })
}

async fn reset(State(sim): State<Arc<Sim>>) -> Json<Value> {
    sim.clock.reset();
    sim.world(|world, _| {
        *world = World::seeded(&sim.redirect_uris);
        Json(json!({"ok": true}))
    })
}

async fn read_seed(State(sim): State<Arc<Sim>>) -> Json<Value> {
    sim.world(|world, _| Json(json!(seed::seed(world))))
}

async fn add_account(State(sim): State<Arc<Sim>>, bytes: Bytes) -> Answer {
    let new: NewAccount = body(&bytes)?;
    sim.world(|world, _| {
        // All or nothing.
        let mut changed = world.clone();
        let (id, users) = seed::add_account(&mut changed, new).map_err(wrong)?;
        *world = changed;
        let users = users.iter().filter_map(|id| world.extensions.get(id));
        let users: Vec<_> = users.map(|e| seed::user(world, e)).collect();
        Ok(Json(json!({"accountId": id.to_string(), "users": users})))
    })
}

async fn ledger(State(sim): State<Arc<Sim>>, RawQuery(query): RawQuery) -> Answer {
    let query = Query::parse(query.as_deref());
    let since = query.number("since", 0).map_err(|_| wrong("since: must be a number"))?;
    let since = since.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    sim.world(|world, _| {
        let (entries, next) = world.ledger.since(since);
        Ok(Json(json!({"entries": entries, "next": next})))
    })
}

async fn read_faults(State(sim): State<Arc<Sim>>) -> Json<Value> {
    sim.peek(|world| Json(json!(world.faults)))
}

async fn replace_faults(State(sim): State<Arc<Sim>>, bytes: Bytes) -> Answer {
    let list = faults::parse(body(&bytes)?).map_err(wrong)?;
    sim.world(|world, _| {
        world.faults = list;
        Ok(Json(json!(world.faults)))
    })
}

async fn clear_faults(State(sim): State<Arc<Sim>>) -> Json<Value> {
    sim.world(|world, _| {
        world.faults.clear();
        Json(json!([]))
    })
}

async fn read_settings(State(sim): State<Arc<Sim>>) -> Json<Value> {
    sim.peek(|world| Json(json!(world.settings)))
}

async fn change_settings(State(sim): State<Arc<Sim>>, bytes: Bytes) -> Answer {
    let patch: Value = body(&bytes)?;
    sim.world(|world, _| {
        world.settings = world.settings.merged(&patch).map_err(wrong)?;
        Ok(Json(json!(world.settings)))
    })
}

/// The user ends the app's access: every session goes.
async fn revoke_user(State(sim): State<Arc<Sim>>, Path(extension): Path<String>) -> Answer {
    sim.world(|world, now| {
        let id = extension.parse().ok().filter(|id: &i64| world.extensions.contains_key(id));
        let id = id.ok_or_else(|| absent("no such extension"))?;
        let sessions = world.oauth.sessions.values().filter(|s| s.extension_id == id && s.revoked.is_none());
        let mut ids: Vec<String> = sessions.map(|s| s.id.clone()).collect();
        ids.sort();
        for id in &ids {
            world.end_session(now, id, "user");
        }
        Ok(Json(json!({"revoked": ids.len()})))
    })
}

async fn blacklist(State(sim): State<Arc<Sim>>, Path(id): Path<String>) -> Answer {
    sim.world(|world, now| {
        if !world.blacklist(now, &id, "Read timed out".to_owned()) {
            return Err(absent("no such subscription"));
        }
        Ok(Json(json!({"ok": true})))
    })
}

async fn expire(State(sim): State<Arc<Sim>>, Path(id): Path<String>) -> Answer {
    sim.world(|world, now| {
        let found = world.subscriptions.iter_mut().find(|s| s.id == id && !s.expired);
        found.ok_or_else(|| absent("no such subscription"))?.expires_at = now;
        world.expire_subscriptions(now);
        Ok(Json(json!({"ok": true})))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Move {
    advance_seconds: i64,
}

/// How far the body of a control call moves a clock: never back, and not without a bound. The error names the field.
pub fn advance_seconds(body: &[u8]) -> Result<i64, String> {
    let seconds = read::<Move>(body)?.advance_seconds;
    if (0..=FURTHEST_SECONDS).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("advanceSeconds: must be 0 to ten years".to_owned())
    }
}

async fn read_clock(State(sim): State<Arc<Sim>>) -> Json<Value> {
    Json(json!({"now": iso(sim.clock.now()), "offsetSeconds": sim.clock.offset() / SECOND}))
}

async fn move_clock(State(sim): State<Arc<Sim>>, bytes: Bytes) -> Answer {
    sim.advance(advance_seconds(&bytes).map_err(wrong)?);
    Ok(read_clock(State(sim)).await)
}

/// What a browser would do: either the parameters of an authorize request, or its whole URL.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Authorize {
    url: Option<String>,
    client_id: Option<String>,
    redirect_uri: Option<String>,
    state: Option<String>,
    scope: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    username: String,
    extension: Option<String>,
    deny: bool,
}

impl Authorize {
    fn params(&self) -> Result<Params, OauthError> {
        if let Some(url) = &self.url {
            let url = url::Url::parse(url).map_err(|_| OauthError::parameter("url"))?;
            return Params::parse(url.query().unwrap_or_default().as_bytes());
        }
        let method =
            self.code_challenge.as_ref().map(|_| self.code_challenge_method.as_deref().unwrap_or("S256"));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("response_type", "code");
        let pairs = [
            ("client_id", self.client_id.as_deref()),
            ("redirect_uri", self.redirect_uri.as_deref()),
            ("state", self.state.as_deref()),
            ("scope", self.scope.as_deref()),
            ("code_challenge", self.code_challenge.as_deref()),
            ("code_challenge_method", method),
        ];
        query.extend_pairs(pairs.into_iter().filter_map(|(name, value)| Some((name, value?))));
        Params::parse(query.finish().as_bytes())
    }
}

async fn authorize_without_browser(State(sim): State<Arc<Sim>>, bytes: Bytes) -> Answer {
    let wanted: Authorize = body(&bytes)?;
    sim.world(|world, now| {
        let params = wanted.params()?;
        let ticket = match authorize::check(world, now, &params) {
            Ok(ticket) => ticket,
            Err(authorize::Refusal::Direct(error)) => return Err(error.into()),
            Err(authorize::Refusal::Redirect(to)) => return Ok(Json(json!({"redirect": to}))),
        };
        if wanted.deny {
            return Ok(Json(json!({"redirect": authorize::deny(&ticket)})));
        }
        let user = world.user(&wanted.username, wanted.extension.as_deref()).cloned();
        let user = user.ok_or_else(|| wrong("username: no such user"))?;
        may_log_in(&user)?;
        let redirect = authorize::allow(world, now, &ticket, user.id);
        Ok(Json(json!({"redirect": redirect})))
    })
}
