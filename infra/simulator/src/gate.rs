//! The way of every request: who may control, which fault is at work, then the endpoint.
//!
//! The endpoint runs to its end even if the client goes away, as it would at the other end of a network.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::caller;
use crate::control;
use crate::error::ApiError;
use crate::faults::{Fired, Reset};
use crate::oauth::{Params, token};
use crate::server::Wire;
use crate::sim::Sim;

/// The platform's own limit for a batch of messages; nothing else comes near it.
const LARGEST_BODY: usize = 50 * 1024 * 1024;

/// Answers one request.
pub async fn answer(sim: Arc<Sim>, router: axum::Router, wire: Wire, request: Request<Body>) -> Response {
    let path = request.uri().path();
    let mut response = if path == "/" || path.starts_with("/_sim") {
        match control::refusal(&wire, request.headers()) {
            Some(refusal) => refusal,
            None => into_response(router.oneshot(request).await),
        }
    } else {
        platform(sim, router, wire, request).await
    };
    let id = uuid::Uuid::new_v4().to_string();
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("rcrequestid", id);
    }
    response
}

fn into_response(result: Result<Response, std::convert::Infallible>) -> Response {
    match result {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn platform(sim: Arc<Sim>, router: axum::Router, wire: Wire, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let bearer = caller::bearer(&parts.headers, parts.uri.query());

    // The first of two looks: some faults strike before the body is read.
    if let Some(fired) = fault(&sim, &parts.method, &path, bearer.as_deref(), None) {
        let _: Fired = fired;
        match wire.reset().await {}
    }
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) if e.is::<http_body_util::LengthLimitError>() => {
            return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "CMN-104", "The request is too large")
                .into_response();
        }
        // The client broke off: nobody reads this answer.
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    };
    let fired = fault(&sim, &parts.method, &path, bearer.as_deref(), Some(&body));
    let Some(Fired { act, retry_after, restarted }) = fired else {
        return act_on(&sim, router, Request::from_parts(parts, Body::from(body)), None).await;
    };
    if act.hang {
        std::future::pending::<()>().await;
    }
    if act.reset.is_some() {
        match wire.reset().await {}
    }
    if act.rate_limit.is_some() {
        return too_many(&sim, &path, bearer.as_deref(), retry_after, restarted);
    }
    let before = act.delay_before_ms.map(Duration::from_millis);
    let after = act.delay_ms.map(Duration::from_millis).unwrap_or_default();
    if let Some(status) = act.status {
        tokio::time::sleep(before.unwrap_or_default() + after).await;
        return made_up(status, act.headers.as_ref(), act.body.as_ref());
    }
    let response = act_on(&sim, router, Request::from_parts(parts, Body::from(body)), before).await;
    tokio::time::sleep(after).await;
    if act.apply_then_drop {
        match wire.reset().await {}
    }
    if act.truncate_json { halved(response).await } else { response }
}

/// Runs the endpoint, to its end.
async fn act_on(
    sim: &Arc<Sim>,
    router: axum::Router,
    request: Request<Body>,
    before: Option<Duration>,
) -> Response {
    let inner = Arc::clone(sim);
    let work = async move {
        if let Some(before) = before {
            tokio::time::sleep(before).await;
        }
        let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).map(str::to_owned);
        into_response(inner.under_host(host.as_deref(), router.oneshot(request)).await)
    };
    match sim.run(work).await {
        Some(response) => response,
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The fault for this request, if there is one. Without a body only faults that strike before it count.
fn fault(
    sim: &Sim,
    method: &axum::http::Method,
    path: &str,
    bearer: Option<&str>,
    body: Option<&Bytes>,
) -> Option<Fired> {
    if sim.peek(|world| world.faults.is_empty()) {
        return None;
    }
    sim.world(|world, now| {
        let mut user = bearer.and_then(|token| world.session_of(token)).map(|s| s.extension_id);
        if user.is_none()
            && path.starts_with("/restapi/oauth/")
            && let Some(body) = body
            && let Ok(params) = Params::parse(body)
        {
            let by_token = || params.get("token").and_then(|t| world.session_of(t)).map(|s| s.extension_id);
            user = token::subject(world, &params).map(|e| e.id).or_else(by_token);
        }
        let early = body.is_none();
        let first = world.faults.iter_mut().find(|f| f.is_live(now) && f.is_for(method, path, user))?;
        let strikes_early = first.act.reset == Some(Reset::BeforeBody);
        (strikes_early || !early).then(|| first.fire(now))
    })
}

fn made_up(status: u16, headers: Option<&serde_json::Map<String, Value>>, body: Option<&Value>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match body {
        None => status.into_response(),
        Some(Value::String(text)) => (status, text.clone()).into_response(),
        Some(other) => (status, axum::Json(other.clone())).into_response(),
    };
    for (name, value) in headers.into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&text))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn too_many(
    sim: &Sim,
    path: &str,
    bearer: Option<&str>,
    retry_after: Option<i64>,
    restarted: bool,
) -> Response {
    let refusal = sim.world(|world, now| {
        let session = bearer.and_then(|token| world.session_of(token));
        let (user, app) = session.map(|s| (s.extension_id, s.client_id.clone())).unzip();
        let limit = json!({"retryAfter": retry_after, "restarted": restarted, "fault": true});
        world.refuse(now, path, user, app.as_deref(), limit)
    });
    let mut response = refusal.into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The first half of the body under a fitting length: JSON that doesn't parse.
async fn halved(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(whole.slice(..whole.len() / 2)))
}
