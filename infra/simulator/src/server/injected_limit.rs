//! Injected 429s. They reach the route, because their headers name the rate limit group of the endpoint; the endpoint itself
//! does not run.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::platform::errors::RestError;
use crate::platform::rate_limits::{RateLimitGroup, RateLimitState};
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::responses::add_rate_limit_headers;

/// A request extension that makes every route reply 429.
#[derive(Debug, Clone)]
pub struct InjectedLimit {
    pub error: RestError,
    pub headers: LimitHeaders,
}

/// Which headers an injected 429 has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitHeaders {
    /// None, as on limits other than that of a user and app.
    None,
    /// Those of the endpoint's rate limit group, and `Retry-After` in seconds if known.
    Group { retry_after: Option<i64> },
}

impl InjectedLimit {
    pub fn reply(self, core: &SimulatorCore, group: Option<RateLimitGroup>) -> Response {
        let mut response = self.error.into_response();
        let headers: &mut HeaderMap = response.headers_mut();
        match (self.headers, group) {
            (LimitHeaders::Group { retry_after }, Some(group)) => {
                let limit = core.read(|state| RateLimitState::exhausted(&state.settings, group, retry_after));
                add_rate_limit_headers(&limit, headers);
            }
            (LimitHeaders::Group { retry_after: Some(seconds) }, None) => {
                headers.insert(header::RETRY_AFTER, seconds.into());
            }
            (LimitHeaders::Group { retry_after: None }, None) | (LimitHeaders::None, _) => {}
        }
        response
    }
}

/// Middleware of every route of the platform. `group` is the route's rate limit group, if it has one.
pub async fn reply_to_injected_limit(
    State((core, group)): State<(Arc<SimulatorCore>, Option<RateLimitGroup>)>,
    request: Request,
    next: Next,
) -> Response {
    match request.extensions().get::<InjectedLimit>() {
        Some(limit) => limit.clone().reply(&core, group),
        None => next.run(request).await,
    }
}
