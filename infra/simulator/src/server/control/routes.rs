//! The control calls and their paths.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::platform::faults::parse_faults;
use crate::rules::seed::{AccountSpec, add_account, seed_of, seed_user, seeded_state};
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::control::authorize::authorize;
use crate::server::control::clock::{advance_clock, get_clock};
use crate::server::control::inbound::receive_message;
use crate::server::control::replies::{ControlError, ControlReply, parse_body};
use crate::server::query::Query;

pub fn add_routes(router: Router<Arc<SimulatorCore>>) -> Router<Arc<SimulatorCore>> {
    router
        .route("/_sim/reset", post(reset))
        .route("/_sim/seed", get(get_seed))
        .route("/_sim/accounts", post(post_account))
        .route("/_sim/inbound", post(receive_message))
        .route("/_sim/ledger", get(get_ledger))
        .route("/_sim/faults", get(get_faults).put(replace_faults).delete(clear_faults))
        .route("/_sim/settings", get(get_settings).put(change_settings))
        .route("/_sim/users/{extension}/revoke", post(revoke_user_sessions))
        .route("/_sim/subscriptions/{id}/blacklist", post(blacklist_subscription))
        .route("/_sim/subscriptions/{id}/expire", post(expire_subscription))
        .route("/_sim/clock", get(get_clock).post(advance_clock))
        .route("/_sim/authorize", post(authorize))
}

async fn reset(State(core): State<Arc<SimulatorCore>>) -> Json<Value> {
    core.clock.reset();
    core.update(|state, _| {
        *state = seeded_state(&core.redirect_uris);
        Json(json!({"ok": true}))
    })
}

async fn get_seed(State(core): State<Arc<SimulatorCore>>) -> Json<Value> {
    core.update(|state, _| Json(json!(seed_of(state))))
}

async fn post_account(State(core): State<Arc<SimulatorCore>>, bytes: Bytes) -> ControlReply {
    let account: AccountSpec = parse_body(&bytes)?;
    core.update(|state, _| {
        // On an error, the state stays as it was.
        let mut changed = state.clone();
        let (id, users) = add_account(&mut changed, account).map_err(ControlError::bad_request)?;
        *state = changed;
        let users = users.iter().filter_map(|id| state.extensions.get(id));
        let users: Vec<_> = users.map(|e| seed_user(state, e)).collect();
        Ok(Json(json!({"accountId": id.to_string(), "users": users})))
    })
}

async fn get_ledger(State(core): State<Arc<SimulatorCore>>, Query(query): Query) -> ControlReply {
    let since = query.number("since", 0);
    let since = since.map_err(|_| ControlError::bad_request("since: must be a number"))?;
    let since = since.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    core.update(|state, _| {
        let (entries, next) = state.ledger.since(since);
        Ok(Json(json!({"entries": entries, "next": next})))
    })
}

async fn get_faults(State(core): State<Arc<SimulatorCore>>) -> Json<Value> {
    core.read(|state| Json(json!(state.faults)))
}

async fn replace_faults(State(core): State<Arc<SimulatorCore>>, bytes: Bytes) -> ControlReply {
    let list = parse_faults(parse_body(&bytes)?).map_err(ControlError::bad_request)?;
    core.update(|state, _| {
        state.faults = list;
        Ok(Json(json!(state.faults)))
    })
}

async fn clear_faults(State(core): State<Arc<SimulatorCore>>) -> Json<Value> {
    core.update(|state, _| {
        state.faults.clear();
        Json(json!([]))
    })
}

async fn get_settings(State(core): State<Arc<SimulatorCore>>) -> Json<Value> {
    core.read(|state| Json(json!(state.settings)))
}

async fn change_settings(State(core): State<Arc<SimulatorCore>>, bytes: Bytes) -> ControlReply {
    let patch: Value = parse_body(&bytes)?;
    core.update(|state, _| {
        state.settings = state.settings.merged(&patch).map_err(ControlError::bad_request)?;
        Ok(Json(json!(state.settings)))
    })
}

/// Revokes every session of a user, as if the user ended the app's access.
async fn revoke_user_sessions(
    State(core): State<Arc<SimulatorCore>>,
    Path(extension): Path<String>,
) -> ControlReply {
    core.update(|state, now| {
        let user = state.extension(&extension);
        let user = user.ok_or_else(|| ControlError::not_found("no such extension"))?.id;
        let mut ids: Vec<String> = state.logins.sessions_of(user).map(|s| s.id.clone()).collect();
        ids.sort();
        for id in &ids {
            state.revoke_session(now, id, "user");
        }
        Ok(Json(json!({"revoked": ids.len()})))
    })
}

fn no_subscription() -> ControlError {
    ControlError::not_found("no such subscription")
}

async fn blacklist_subscription(
    State(core): State<Arc<SimulatorCore>>,
    Path(id): Path<String>,
) -> ControlReply {
    core.update(|state, now| {
        state.unexpired_subscription(&id).ok_or_else(no_subscription)?;
        state.blacklist_subscription(now, &id, "Read timed out");
        Ok(Json(json!({"ok": true})))
    })
}

async fn expire_subscription(State(core): State<Arc<SimulatorCore>>, Path(id): Path<String>) -> ControlReply {
    core.update(|state, now| {
        state.unexpired_subscription(&id).ok_or_else(no_subscription)?.expires_at = now;
        state.expire_subscriptions(now);
        Ok(Json(json!({"ok": true})))
    })
}
