//! HTTP responses of the platform's errors and of rate limits.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::platform::errors::{OauthError, RestError};
use crate::platform::rate_limits::RateLimitState;
use crate::platform::variants::variant_name;

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.to_json())).into_response();
        if self.challenge {
            let value = HeaderValue::from_static("Bearer realm=\"RingCentral REST API\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.to_json())).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Adds the rate limit headers, and `Retry-After` if the request is refused.
pub fn add_rate_limit_headers(state: &RateLimitState, headers: &mut HeaderMap) {
    let family = variant_name(&state.header);
    let mut put = |name: String, value: String| {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.to_lowercase().as_bytes()), HeaderValue::from_str(&value))
        {
            headers.insert(name, value);
        }
    };
    put(format!("{family}-Group"), variant_name(&state.group));
    put(format!("{family}-Limit"), state.limit.to_string());
    put(format!("{family}-Remaining"), state.remaining.to_string());
    put(format!("{family}-Window"), state.window_seconds.to_string());
    if let Some(seconds) = state.retry_after {
        put("Retry-After".to_owned(), seconds.to_string());
    }
}
