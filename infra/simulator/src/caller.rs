//! Who calls a resource: bearer token, rate limit, the app's scope, the user's permission; in that order.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::ApiError;
use crate::limits::{Group, Verdict};
use crate::oauth::sessions::Session;
use crate::sim::Sim;
use crate::state::{Account, Extension, World};

/// What an endpoint asks of its caller.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its throttling group.
    pub group: Group,
    /// The app's scope.
    pub scope: Option<&'static str>,
    /// The user's permission.
    pub permission: Option<&'static str>,
}

/// The user and app behind a good token.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The session of the token.
    pub session: Session,
}

/// The token of a request: header first, then query.
pub fn bearer(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    if let Some(header) = headers.get("authorization") {
        let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned());
    }
    let mut pairs = url::form_urlencoded::parse(query?.as_bytes());
    pairs.find(|(name, _)| name == "access_token").map(|(_, value)| value.into_owned())
}

/// Lets through who may pass, and writes the rate headers on every reply.
pub async fn guard(
    State((sim, spec)): State<(Arc<Sim>, Spec)>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut verdict = None;
    let checked = check(&sim, spec, &request, &mut verdict);
    let mut response = match checked {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    if let Some(verdict) = verdict {
        verdict.write(response.headers_mut());
    }
    response
}

fn check(
    sim: &Sim,
    spec: Spec,
    request: &Request,
    verdict: &mut Option<Verdict>,
) -> Result<Caller, ApiError> {
    let path = request.uri().path();
    let Some(token) = bearer(request.headers(), request.uri().query()) else {
        let malformed = request.headers().contains_key("authorization");
        let (code, text) = if malformed {
            ("AGW-402", "Invalid Authorization header")
        } else {
            ("AGW-401", "Authorization header is not specified")
        };
        return Err(ApiError { challenge: true, ..ApiError::new(StatusCode::UNAUTHORIZED, code, text) });
    };
    sim.world(|world, now| {
        let session = match world.authenticate(now, &token, path) {
            Ok(session) => session,
            Err(error) => {
                let session = world.session_of(&token);
                let entry = json!({
                    "endpoint": "api", "path": path, "code": error.code,
                    "extensionId": session.map(|s| s.extension_id.to_string()),
                    "clientId": session.map(|s| s.client_id.clone()),
                });
                world.ledger.add(now, "token_refused", entry);
                return Err(error);
            }
        };
        let settings = world.settings.clone();
        let user = session.extension_id.to_string();
        *verdict = world.limits.count(&settings, now, &user, &session.client_id, spec.group);
        if let Some(excess) = verdict.as_ref().and_then(Verdict::excess) {
            let (user, app) = (Some(session.extension_id), Some(session.client_id.as_str()));
            return Err(world.refuse(now, path, user, app, excess));
        }
        let caller = Caller { session };
        if let Some(scope) = spec.scope {
            caller.need_scope(scope)?;
        }
        if let Some(permission) = spec.permission {
            caller.need_permission(world, permission)?;
        }
        Ok(caller)
    })
}

impl Caller {
    /// The user.
    pub fn extension<'w>(&self, world: &'w World) -> Result<&'w Extension, ApiError> {
        let id = self.session.extension_id;
        world.extensions.get(&id).ok_or_else(|| ApiError::not_found("extensionId", id.to_string()))
    }

    /// The account in a path: `~` or the caller's own.
    pub fn account<'w>(&self, world: &'w World, id: &str) -> Result<&'w Account, ApiError> {
        let own = self.session.account_id;
        if id != "~" && id != own.to_string() {
            return Err(ApiError::not_found("accountId", id));
        }
        world.accounts.get(&own).ok_or_else(|| ApiError::not_found("accountId", id))
    }

    /// The extension in a path: `~`, the caller's own, or, for an administrator, another of the account.
    pub fn extension_at<'w>(
        &self,
        world: &'w World,
        account: &str,
        id: &str,
    ) -> Result<&'w Extension, ApiError> {
        self.account(world, account)?;
        let own = self.extension(world)?;
        if id == "~" || id == own.id.to_string() {
            return Ok(own);
        }
        let other = id
            .parse::<i64>()
            .ok()
            .and_then(|id| world.extensions.get(&id))
            .filter(|e| e.account_id == own.account_id)
            .ok_or_else(|| ApiError::not_found("extensionId", id))?;
        if own.admin {
            Ok(other)
        } else {
            Err(ApiError::new(StatusCode::FORBIDDEN, "CMN-404", "Access to another extension is not allowed")
                .word("InsufficientPermissions"))
        }
    }

    /// The app must have a scope: 403 CMN-401.
    pub fn need_scope(&self, scope: &str) -> Result<(), ApiError> {
        let has = |wanted: &str| self.session.scopes.iter().any(|s| s == wanted);
        if has(scope) || (scope == "ReadMessages" && has("SMS")) {
            return Ok(());
        }
        let text =
            format!("In order to call this API endpoint, application needs to have [{scope}] permission");
        Err(ApiError::new(StatusCode::FORBIDDEN, "CMN-401", text)
            .word("InsufficientPermissions")
            .with("permissionName", scope))
    }

    /// The user must have a permission: 403 CMN-408.
    pub fn need_permission(&self, world: &World, permission: &str) -> Result<(), ApiError> {
        if self.extension(world)?.permissions.iter().any(|p| p == permission) {
            return Ok(());
        }
        let text = format!(
            "In order to call this API endpoint, user needs to have [{permission}] permission for requested resource."
        );
        Err(ApiError::new(StatusCode::FORBIDDEN, "CMN-408", text)
            .word("InsufficientPermissions")
            .with("permissionName", permission))
    }
}
