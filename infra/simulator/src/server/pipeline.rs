//! The way of every request: the control API for local requests, or else faults, then the endpoint.
//!
//! An endpoint runs to completion even if the client disconnects, as on a real server behind a network.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value, json};
use tower::ServiceExt;

use crate::platform::errors::RestError;
use crate::platform::faults::{ConnectionReset, FiredFault};
use crate::platform::state::PlatformState;
use crate::rules::grants::user_of_request;
use crate::rules::parameters::OauthParameters;
use crate::rules::rate_limits::LimitedCaller;
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::connection::ClientConnection;
use crate::server::control::replies::ControlError;
use crate::server::guard::bearer_token;
use crate::server::injected_limit::{InjectedLimit, LimitHeaders};
use crate::server::local_only::is_local_request;

/// The platform's limit for the largest body, a batch of messages.
const MAX_BODY: usize = 50 * 1024 * 1024;

pub async fn handle(
    core: Arc<SimulatorCore>,
    router: axum::Router,
    client: ClientConnection,
    request: Request<Body>,
) -> Response {
    let path = request.uri().path();
    let mut response = if path == "/" || path.starts_with("/_sim") {
        if is_local_request(client.peer, request.headers()) {
            call(router, request).await
        } else {
            ControlError::forbidden("the control API is for this machine only").into_response()
        }
    } else {
        handle_platform_request(core, router, client, request).await
    };
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        response.headers_mut().insert("rcrequestid", id);
    }
    response
}

async fn call(router: axum::Router, request: Request<Body>) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// What a fault can be matched with before the body is read.
struct RequestHead {
    method: Method,
    path: String,
    bearer: Option<String>,
}

async fn handle_platform_request(
    core: Arc<SimulatorCore>,
    router: axum::Router,
    client: ClientConnection,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let head = RequestHead {
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        bearer: bearer_token(&parts.headers, parts.uri.query()),
    };
    if resets_before_body(&core, &head) {
        match client.reset().await {}
    }
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) if e.is::<http_body_util::LengthLimitError>() => {
            return RestError::too_large().into_response();
        }
        // The client disconnected, so this response is never received.
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    };
    let fault = fire_fault(&core, &head, &body);
    let request = Request::from_parts(parts, Body::from(body));
    match fault {
        None => process(&core, router, request, Duration::ZERO).await,
        Some(fault) => process_with_fault(&core, router, &client, request, &head, fault).await,
    }
}

async fn process_with_fault(
    core: &Arc<SimulatorCore>,
    router: axum::Router,
    client: &ClientConnection,
    request: Request<Body>,
    head: &RequestHead,
    fault: FiredFault,
) -> Response {
    let action = &fault.action;
    if action.hang {
        std::future::pending::<()>().await;
    }
    if action.reset.is_some() {
        match client.reset().await {}
    }
    if action.rate_limit.is_some() {
        let limit = record_rate_limit(core, head, &fault);
        return process(core, router, with_limit(request, limit), Duration::ZERO).await;
    }
    let before = action.delay_before_ms.map(Duration::from_millis).unwrap_or_default();
    let after = action.delay_ms.map(Duration::from_millis).unwrap_or_default();
    if let Some(status) = action.status {
        tokio::time::sleep(before + after).await;
        let mut response = match &action.body {
            // Without a body, a 429 is RingCentral's own.
            None if status == StatusCode::TOO_MANY_REQUESTS => {
                let headers = LimitHeaders::Group { retry_after: None };
                let limit = InjectedLimit { error: RestError::rate_exceeded(), headers };
                process(core, router, with_limit(request, limit), Duration::ZERO).await
            }
            body => injected_response(status, body.as_ref()),
        };
        add_injected_headers(action.headers.as_ref(), response.headers_mut());
        return response;
    }
    let response = process(core, router, request, before).await;
    tokio::time::sleep(after).await;
    if action.apply_then_drop {
        match client.reset().await {}
    }
    if action.truncate_json { truncated(response).await } else { response }
}

/// Waits for `delay`, then runs the endpoint to completion.
async fn process(
    core: &Arc<SimulatorCore>,
    router: axum::Router,
    request: Request<Body>,
    delay: Duration,
) -> Response {
    let inner = Arc::clone(core);
    let work = async move {
        tokio::time::sleep(delay).await;
        let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).map(str::to_owned);
        inner.with_request_host(host.as_deref(), call(router, request)).await
    };
    match core.run_detached(work).await {
        Some(response) => response,
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Fires the first matching fault if it resets the connection before the body is read.
fn resets_before_body(core: &SimulatorCore, head: &RequestHead) -> bool {
    if core.read(|state| state.faults.is_empty()) {
        return false;
    }
    core.update(|state, now| {
        let session = head.bearer.as_deref().and_then(|token| state.logins.session_of(token));
        let user = session.map(|s| s.extension_id);
        let matching =
            state.faults.iter_mut().find(|f| f.is_live(now) && f.matches(&head.method, &head.path, user));
        let early = matching.filter(|f| f.action.reset == Some(ConnectionReset::BeforeBody));
        early.map(|f| f.fire(now)).is_some()
    })
}

/// Fires the first matching fault.
fn fire_fault(core: &SimulatorCore, head: &RequestHead, body: &Bytes) -> Option<FiredFault> {
    if core.read(|state| state.faults.is_empty()) {
        return None;
    }
    core.update(|state, now| {
        let user = user_of(state, head, body);
        let matching =
            state.faults.iter_mut().find(|f| f.is_live(now) && f.matches(&head.method, &head.path, user));
        matching.map(|f| f.fire(now))
    })
}

/// The user of a request: by its access token, or at an OAuth endpoint by the credential in its body.
fn user_of(state: &PlatformState, head: &RequestHead, body: &Bytes) -> Option<i64> {
    let session_user = |token: &str| state.logins.session_of(token).map(|s| s.extension_id);
    let by_body = || {
        let parameters = OauthParameters::parse(body).ok()?;
        let user = user_of_request(state, &parameters).map(|e| e.id);
        user.or_else(|| session_user(parameters.get("token")?))
    };
    let by_token = head.bearer.as_deref().and_then(session_user);
    by_token.or_else(|| if head.path.starts_with("/restapi/oauth/") { by_body() } else { None })
}

/// The reply of a fault with a status.
fn injected_response(status: u16, body: Option<&Value>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match body {
        None => status.into_response(),
        Some(Value::String(text)) => (status, text.clone()).into_response(),
        Some(other) => (status, axum::Json(other.clone())).into_response(),
    }
}

fn add_injected_headers(injected: Option<&Map<String, Value>>, headers: &mut HeaderMap) {
    for (name, value) in injected.into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&text))
        {
            headers.insert(name, value);
        }
    }
}

fn with_limit(mut request: Request<Body>, limit: InjectedLimit) -> Request<Body> {
    request.extensions_mut().insert(limit);
    request
}

/// Records the refusal of a fault with a rate limit. Without `retryAfter` its reply has no headers.
fn record_rate_limit(core: &SimulatorCore, head: &RequestHead, fault: &FiredFault) -> InjectedLimit {
    let error = core.update(|state, now| {
        let session = head.bearer.as_deref().and_then(|token| state.logins.session_of(token));
        let caller = session.map(LimitedCaller::of).unwrap_or_default();
        let limit = json!({"retryAfter": fault.retry_after, "restarted": fault.restarted, "fault": true});
        state.refuse_for_rate(now, &head.path, &caller, limit)
    });
    let headers = match fault.retry_after {
        None => LimitHeaders::None,
        retry_after => LimitHeaders::Group { retry_after },
    };
    InjectedLimit { error, headers }
}

/// The response with the first half of its body: JSON that does not parse, with a matching `Content-Length`.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(whole.slice(..whole.len() / 2)))
}
