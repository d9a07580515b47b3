//! `POST /restapi/oauth/revoke`: ends the session of an access or refresh token.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::platform::clock::Millis;
use crate::platform::errors::OauthError;
use crate::platform::rate_limits::{RateLimitGroup, RateLimitState};
use crate::platform::state::PlatformState;
use crate::rules::client_authentication::authenticate_client;
use crate::rules::parameters::OauthParameters;
use crate::rules::rate_limits::LimitedCaller;
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::responses::add_rate_limit_headers;

/// Counts requests whose user is unknown.
const UNKNOWN_USER: &str = "-";

/// An unknown or revoked token is not an error (RFC 7009).
pub async fn post_revoke(
    State(core): State<Arc<SimulatorCore>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).map(|v| v.to_str().unwrap_or_default());
    core.update(|state, now| {
        let reply = revoke(state, now, authorization, query.as_deref().unwrap_or_default(), &body);
        let status = state.settings.oauth_error_status;
        reply.unwrap_or_else(|error| error.with_oauth_status(status).into_response())
    })
}

fn revoke(
    state: &mut PlatformState,
    now: Millis,
    authorization: Option<&str>,
    query: &str,
    body: &[u8],
) -> Result<Response, OauthError> {
    let parameters = OauthParameters::parse(body)?;
    let in_query = OauthParameters::parse(query.as_bytes())?;
    let app = authenticate_client(state, now, authorization, &parameters)?.client_id.clone();
    let token = parameters.get("token").or_else(|| in_query.get("token"));
    let token = token.ok_or_else(|| OauthError::parameter("token"))?;
    let session = state.logins.session_of(token);
    let session = session.map(|s| (s.id.clone(), s.client_id.clone(), s.extension_id));
    let user = session.as_ref().map(|s| s.2);
    let counted_user = user.map_or_else(|| UNKNOWN_USER.to_owned(), |id| id.to_string());
    let rate_limit =
        state.rate_windows.count(&state.settings, now, &counted_user, &app, RateLimitGroup::Auth);
    let mut response = match rate_limit.as_ref().and_then(RateLimitState::refusal) {
        Some(refusal) => {
            let caller = LimitedCaller { extension_id: user, client_id: Some(app) };
            state.refuse_for_rate(now, "/restapi/oauth/revoke", &caller, refusal).into_response()
        }
        None => {
            if let Some((id, owner, _)) = session {
                if owner != app {
                    return Err(OauthError::new("invalid_client", "OAU-164", "Invalid client"));
                }
                state.revoke_session(now, &id, "revoke");
            }
            StatusCode::OK.into_response()
        }
    };
    if let Some(rate_limit) = rate_limit {
        add_rate_limit_headers(&rate_limit, response.headers_mut());
    }
    Ok(response)
}
