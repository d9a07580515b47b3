//! The checks before a resource call, in this order: access token, rate limit, scope of the app, permission of the user.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::platform::errors::RestError;
use crate::platform::ledger::LedgerKind;
use crate::platform::rate_limits::{RateLimitGroup, RateLimitState};
use crate::rules::caller::ApiCaller;
use crate::rules::rate_limits::LimitedCaller;
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::responses::add_rate_limit_headers;

/// What an endpoint requires of its caller.
#[derive(Debug, Clone, Copy)]
pub struct AccessRule {
    pub group: RateLimitGroup,
    /// Scope of the app.
    pub scope: Option<&'static str>,
    /// Permission of the user.
    pub permission: Option<&'static str>,
}

/// The access token of a request, from the header or else from the query.
pub fn bearer_token(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    if let Some(header) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned());
    }
    let mut pairs = url::form_urlencoded::parse(query?.as_bytes());
    pairs.find(|(name, _)| name == "access_token").map(|(_, value)| value.into_owned())
}

/// Middleware that passes the [`ApiCaller`] on to the endpoint, and adds the rate limit headers to every reply.
pub async fn guard(
    State((core, rule)): State<(Arc<SimulatorCore>, AccessRule)>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut rate_limit = None;
    let mut response = match check(&core, rule, &request, &mut rate_limit) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    if let Some(rate_limit) = rate_limit {
        add_rate_limit_headers(&rate_limit, response.headers_mut());
    }
    response
}

/// `rate_limit` is set as soon as the request is counted.
fn check(
    core: &SimulatorCore,
    rule: AccessRule,
    request: &Request,
    rate_limit: &mut Option<RateLimitState>,
) -> Result<ApiCaller, RestError> {
    let path = request.uri().path();
    let Some(token) = bearer_token(request.headers(), request.uri().query()) else {
        let (code, text) = if request.headers().contains_key(header::AUTHORIZATION) {
            ("AGW-402", "Invalid Authorization header")
        } else {
            ("AGW-401", "Authorization header is not specified")
        };
        return Err(RestError { challenge: true, ..RestError::new(StatusCode::UNAUTHORIZED, code, text) });
    };
    core.update(|state, now| {
        let session = match state.authenticate(now, &token, path) {
            Ok(session) => session,
            Err(error) => {
                let session = state.logins.session_of(&token);
                let fields = json!({
                    "endpoint": "api", "path": path, "code": error.code,
                    "extensionId": session.map(|s| s.extension_id.to_string()),
                    "clientId": session.map(|s| s.client_id.clone()),
                });
                state.ledger.add(now, LedgerKind::TokenRefused, fields);
                return Err(error);
            }
        };
        let user = session.extension_id.to_string();
        let counted = state.rate_windows.count(&state.settings, now, &user, &session.client_id, rule.group);
        let refusal = counted.as_ref().and_then(RateLimitState::refusal);
        *rate_limit = counted;
        if let Some(refusal) = refusal {
            return Err(state.refuse_for_rate(now, path, &LimitedCaller::of(&session), refusal));
        }
        let caller = ApiCaller { session };
        if let Some(scope) = rule.scope {
            caller.require_scope(scope)?;
        }
        if let Some(permission) = rule.permission {
            caller.require_permission(state, permission)?;
        }
        Ok(caller)
    })
}
