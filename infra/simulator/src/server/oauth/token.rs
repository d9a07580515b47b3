//! `POST /restapi/oauth/token`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::platform::clock::Millis;
use crate::platform::errors::OauthError;
use crate::platform::ledger::{LedgerKind, fingerprint};
use crate::platform::rate_limits::{RateLimitGroup, RateLimitState};
use crate::platform::state::PlatformState;
use crate::rules::client_authentication::authenticate_client;
use crate::rules::grants::{grant_tokens, user_of_request};
use crate::rules::parameters::OauthParameters;
use crate::rules::rate_limits::LimitedCaller;
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::responses::add_rate_limit_headers;

/// Counts requests whose user is unknown.
const UNKNOWN_USER: &str = "-";

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"))
}

pub async fn post_token(State(core): State<Arc<SimulatorCore>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_form(&headers) {
        let text = "Content-Type must be application/x-www-form-urlencoded";
        let error = OauthError::new("invalid_request", "CMN-407", text);
        return OauthError { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, ..error }.into_response();
    }
    let authorization = headers.get(header::AUTHORIZATION).map(|v| v.to_str().unwrap_or_default());
    core.update(|state, now| match OauthParameters::parse(&body) {
        Ok(parameters) => reply(state, now, authorization, &parameters),
        Err(error) => error.into_response(),
    })
}

fn reply(
    state: &mut PlatformState,
    now: Millis,
    authorization: Option<&str>,
    parameters: &OauthParameters,
) -> Response {
    let user = user_of_request(state, parameters).map(|e| (e.id, e.account_id));
    let client = authenticate_client(state, now, authorization, parameters).cloned();
    let client_id = client.as_ref().ok().map(|app| app.client_id.clone());
    let mut rate_limit = None;
    let result = client.and_then(|app| {
        rate_limit = count(state, now, &app.client_id, user.map(|u| u.0));
        match rate_limit.as_ref().and_then(RateLimitState::refusal) {
            Some(refusal) => {
                let caller = LimitedCaller { extension_id: user.map(|u| u.0), client_id: client_id.clone() };
                Ok(state.refuse_for_rate(now, "/restapi/oauth/token", &caller, refusal).into_response())
            }
            None => grant_tokens(state, now, &app, parameters).map(|reply| {
                let mut response = Json(reply).into_response();
                let headers = response.headers_mut();
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
                response
            }),
        }
    });
    let mut response = result.unwrap_or_else(|error| {
        let error = error.with_oauth_status(state.settings.oauth_error_status);
        let fields = json!({
            "endpoint": "token", "grant": parameters.get("grant_type").unwrap_or_default(),
            "error": error.error, "code": error.code,
            "extensionId": user.map(|u| u.0.to_string()), "accountId": user.map(|u| u.1.to_string()),
            "clientId": client_id, "presented": parameters.get("refresh_token").map(fingerprint),
        });
        state.ledger.add(now, LedgerKind::TokenRefused, fields);
        error.into_response()
    });
    if let Some(rate_limit) = rate_limit {
        add_rate_limit_headers(&rate_limit, response.headers_mut());
    }
    response
}

/// Counts a request for its app and for its user. Returns the limit that refuses it, or else the user's.
fn count(
    state: &mut PlatformState,
    now: Millis,
    client_id: &str,
    user: Option<i64>,
) -> Option<RateLimitState> {
    let user = user.map_or_else(|| UNKNOWN_USER.to_owned(), |id| id.to_string());
    let (windows, settings) = (&mut state.rate_windows, &state.settings);
    let of_app = windows.count_app(settings, now, client_id);
    let of_user = windows.count(settings, now, &user, client_id, RateLimitGroup::Auth);
    of_app.filter(|limit| limit.refusal().is_some()).or(of_user)
}
