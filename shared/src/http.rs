//! HTTP: reading requests, and turning results into answers.
//!
//! This module alone chooses statuses and the contract's texts and codes.

use std::time::{Duration, Instant};

use lambda_http::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    RETRY_AFTER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use lambda_http::http::{HeaderMap, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connect::Refusal;
use crate::error::{Error, Result};
use crate::limits;

/// What every handler ends with.
pub type Answer = Result<Response<Body>>;

/// Runs a handler and makes its result the answer: errors become their status and body, every answer gets its request
/// id and security headers, and one line goes to the log.
pub async fn answer<F>(
    request: Request,
    handle: impl FnOnce(Request) -> F,
) -> Result<Response<Body>, lambda_http::Error>
where
    F: Future<Output = Answer>,
{
    let started = Instant::now();
    let request_id = request_id(&request);
    let route = route(&request);
    let mut response = match handle(request).await {
        Ok(response) => response,
        Err(error) => {
            let request_id = RequestId(request_id.clone());
            report(&error, &request_id);
            error_response(&error, request_id.as_str())
        }
    };
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
    tracing::info!(
        request.id = request_id,
        route,
        status = response.status().as_u16(),
        duration_ms = milliseconds(started),
        "answered"
    );
    Ok(response)
}

/// Headers that every answer has unless its handler set another value. A page's own policy is stricter about what it
/// needs and looser about nothing.
const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains"),
];

/// Milliseconds since a moment, for the log.
pub fn milliseconds(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// An answer with a JSON body.
pub fn reply(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_string(body).expect("answers are plain data");
    let mut response = Response::new(Body::Text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `{"ok":true}`.
pub fn ok() -> Response<Body> {
    reply(StatusCode::OK, &serde_json::json!({ "ok": true }))
}

/// An answer that sends the browser elsewhere with GET.
pub fn see_other(location: &str) -> Answer {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SEE_OTHER;
    let value = HeaderValue::from_str(location).map_err(|error| Error::internal("a redirect", error))?;
    response.headers_mut().insert("location", value);
    Ok(response)
}

/// Adds a `Set-Cookie` of this host's own: secure, unreadable for scripts, sent along when a browser comes back from
/// RingCentral. An age of 0 takes the cookie away.
pub fn set_cookie(response: &mut Response<Body>, name: &str, value: &str, age_seconds: i64) {
    let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age_seconds}");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append("set-cookie", value);
    }
}

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all("cookie").iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Finds the value of any of a request's cookies by its name.
pub fn cookies(request: &Request) -> impl Fn(&str) -> Option<String> {
    let headers = request.headers().clone();
    move |name| cookie(&headers, name).map(str::to_owned)
}

/// A field of a form; an empty one counts as absent.
pub fn form_field(request: &Request, name: &str) -> Result<Option<String>> {
    let mut fields = url::form_urlencoded::parse(body(request)?);
    let value = fields.find(|(found, _)| found == name).map(|(_, value)| value.into_owned());
    Ok(value.filter(|value| !value.is_empty()))
}

/// The request's body, if it is not too large.
pub fn body(request: &Request) -> Result<&[u8]> {
    let bytes: &[u8] = request.body().as_ref();
    if bytes.len() > limits::BODY_BYTES { Err(Error::BodyTooLarge) } else { Ok(bytes) }
}

/// The request's JSON body. Unknown fields and wrong types are refused with their path.
pub fn json<T: DeserializeOwned>(request: &Request) -> Result<T> {
    parse(body(request)?)
}

/// The request's JSON body, or the default if there is none.
pub fn optional_json<T: DeserializeOwned + Default>(request: &Request) -> Result<T> {
    let body = body(request)?;
    if body.iter().all(u8::is_ascii_whitespace) { Ok(T::default()) } else { parse(body) }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| shape_error(&error))?;
    json.end().map_err(|_| Error::InvalidBody {
        text: "The body must be one JSON object".to_owned(),
        field: None,
    })?;
    Ok(value)
}

fn shape_error(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let path = Some(error.path().to_string()).filter(|path| path != ".");
    let cause = error.inner();
    if cause.is_syntax() || cause.is_eof() {
        return Error::InvalidBody { text: "The body must be a JSON object".to_owned(), field: None };
    }
    let message = cause.to_string();
    let quoted = |before: &str| message.strip_prefix(before)?.split('`').next().map(str::to_owned);
    if let Some(field) = quoted("unknown field `") {
        return Error::UnknownField { field: path.filter(|path| path.ends_with(&field)).unwrap_or(field) };
    }
    // What serde says of a type may repeat the value; only what was expected is passed on.
    let expected = message.split(", expected ").nth(1).and_then(|rest| rest.split(" at line").next());
    let text = match (&path, expected) {
        (Some(path), Some(expected)) => format!("{path} must be {expected}"),
        (Some(path), None) => format!("{path} is not valid"),
        (None, _) => "The body must be a JSON object".to_owned(),
    };
    Error::InvalidBody { text, field: path }
}

/// A parameter of the path, as the route names it.
pub fn path_parameter(request: &Request, name: &str) -> String {
    request.path_parameters().first(name).unwrap_or_default().to_owned()
}

/// A parameter of the query; an empty one counts as absent.
pub fn query_parameter(request: &Request, name: &str) -> Option<String> {
    request.query_string_parameters().first(name).filter(|value| !value.is_empty()).map(str::to_owned)
}

fn request_id(request: &Request) -> String {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.clone(),
        _ => request.lambda_context_ref().map(|context| context.request_id.clone()),
    }
    .unwrap_or_default()
}

/// The route, never the path: tokens may be in it.
fn route(request: &Request) -> String {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.route_key.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

/// One line in the log for a failure that does not become the answer.
pub fn note(error: &Error, what: &'static str) {
    tracing::warn!(error = error.chain(), what);
}

/// One line in the log for what is our fault or worth knowing.
pub fn report(error: &Error, request: &RequestId) {
    let request_id = request.as_str();
    match error {
        Error::Internal { .. } => tracing::error!(request.id = request_id, error = error.chain(), "failed"),
        Error::Unavailable { .. } => {
            tracing::warn!(request.id = request_id, error = error.chain(), "unavailable");
        }
        _ => {}
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    error: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    request_id: &'a str,
}

fn error_response(error: &Error, request_id: &str) -> Response<Body> {
    let (status, code, text, field) = describe(error);
    let mut response = reply(status, &ErrorBody { error: &text, code, field, request_id });
    let headers = response.headers_mut();
    match error {
        Error::RateLimited { limit, retry_after } => {
            let seconds = HeaderValue::from(whole_seconds(*retry_after));
            headers.insert(RETRY_AFTER, seconds.clone());
            headers.insert("ratelimit-limit", HeaderValue::from(*limit));
            headers.insert("ratelimit-remaining", HeaderValue::from(0));
            headers.insert("ratelimit-reset", seconds);
        }
        Error::Unavailable { retry_after, .. } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(*retry_after)));
        }
        Error::MissingKey | Error::UnknownKey => {
            headers.insert("www-authenticate", HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}

/// A wait in whole seconds, rounded up, at least one.
pub fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The contract's table of errors.
fn describe(error: &Error) -> (StatusCode, &'static str, String, Option<&str>) {
    let bad = StatusCode::BAD_REQUEST;
    let plain = |status, code, text: &str| (status, code, text.to_owned(), None);
    match error {
        Error::MissingField { text, field } => (bad, "missing_field", (*text).to_owned(), Some(*field)),
        Error::InvalidBody { text, field } => (bad, "invalid_body", text.clone(), field.as_deref()),
        Error::UnknownField { field } => {
            (bad, "unknown_field", "Unknown field".to_owned(), Some(field.as_str()))
        }
        Error::InvalidField { text, field } => (bad, "invalid_field", text.clone(), Some(*field)),
        Error::InvalidQuery { field } => {
            (bad, "invalid_query", "Invalid query parameter".to_owned(), Some(field.as_str()))
        }
        Error::InvalidName => (bad, "invalid_name", "name must be 1-100 characters".to_owned(), Some("name")),
        Error::InvalidId { kind } => (bad, "invalid_id", format!("Invalid {kind} format"), Some(*kind)),
        Error::InvalidWebhookUrl => (
            bad,
            "invalid_webhook_url",
            "Invalid webhookUrl: must be https:// in production, max 2000 chars".to_owned(),
            Some("webhookUrl"),
        ),
        Error::TenantUnavailable => {
            (bad, "tenant_unavailable", "Tenant not found or not active".to_owned(), Some("tenantId"))
        }
        Error::BodyTooLarge => {
            plain(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Request body too large")
        }
        Error::MissingKey => plain(StatusCode::UNAUTHORIZED, "unauthorized", "Missing or invalid API key"),
        Error::UnknownKey => plain(StatusCode::UNAUTHORIZED, "unauthorized", "Invalid API key"),
        Error::TenantSuspended => {
            plain(StatusCode::FORBIDDEN, "tenant_suspended", "Tenant suspended or inactive")
        }
        Error::InsufficientScope => {
            plain(StatusCode::FORBIDDEN, "insufficient_scope", "Insufficient permissions")
        }
        Error::NotFound => plain(StatusCode::NOT_FOUND, "not_found", "Not found"),
        Error::NotConnected => {
            plain(StatusCode::CONFLICT, "sender_not_connected", "RingCentral not connected for this tenant")
        }
        Error::RateLimited { .. } => {
            plain(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests")
        }
        Error::Unavailable { .. } => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable")
        }
        Error::Internal { .. } => plain(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
    }
}

/// How a refusal on the way of a browser is told to a program (`format=json`).
pub fn refusal(refusal: &Refusal, request: &RequestId) -> Response<Body> {
    let (status, code, text) = describe_refusal(refusal);
    reply(status, &ErrorBody { error: text, code, field: None, request_id: &request.0 })
}

/// A request's id, kept for an answer that is made after the request is gone.
#[derive(Debug, Clone)]
pub struct RequestId(String);

impl RequestId {
    /// The id as it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Request> for RequestId {
    fn from(request: &Request) -> Self {
        Self(request_id(request))
    }
}

/// Status, code and compatible text of a refusal.
pub fn describe_refusal(refusal: &Refusal) -> (StatusCode, &'static str, &'static str) {
    match refusal {
        Refusal::LinkMissing => (StatusCode::BAD_REQUEST, "missing_field", "Missing token parameter"),
        Refusal::LinkUnknown => (StatusCode::NOT_FOUND, "link_unknown", "Unknown connect link"),
        Refusal::LinkExpired => (StatusCode::GONE, "link_expired", "Connect link expired"),
        Refusal::LinkUsed => (StatusCode::GONE, "link_used", "Connect link already used"),
        Refusal::LinkTaken => {
            (StatusCode::CONFLICT, "link_used", "Connect link already used in another browser")
        }
        Refusal::TenantUnavailable => {
            (StatusCode::FORBIDDEN, "tenant_suspended", "Tenant suspended or inactive")
        }
        Refusal::CrossSite => {
            (StatusCode::FORBIDDEN, "cross_site", "This form was not sent from its own page")
        }
        Refusal::CallbackIncomplete => {
            (StatusCode::BAD_REQUEST, "missing_field", "Missing code or state parameter")
        }
        Refusal::FlowUnknown => (StatusCode::BAD_REQUEST, "invalid_state", "Unknown or expired state"),
        Refusal::AlreadyHandled => {
            (StatusCode::CONFLICT, "already_handled", "This sign-in was already handled")
        }
        Refusal::Denied => (StatusCode::FORBIDDEN, "access_denied", "Access was denied at RingCentral"),
        Refusal::ProviderError => {
            (StatusCode::BAD_GATEWAY, "provider_error", "RingCentral reported an error")
        }
        Refusal::CodeRefused => (StatusCode::BAD_REQUEST, "code_refused", "RingCentral refused the code"),
        Refusal::ExchangeFailed => {
            (StatusCode::BAD_GATEWAY, "exchange_failed", "RingCentral did not answer properly")
        }
        Refusal::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable"),
        Refusal::Misconfigured => {
            (StatusCode::BAD_GATEWAY, "provider_misconfigured", "The RingCentral app is not set up correctly")
        }
        Refusal::ConnectedElsewhere => (
            StatusCode::CONFLICT,
            "connected_elsewhere",
            "This RingCentral extension is connected to another customer",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only its type matters here")]
        name: Option<String>,
        #[expect(dead_code, reason = "only its type matters here")]
        limits: Option<Inner>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its type matters here")]
        requests_per_minute: Option<u32>,
    }

    fn told(body: &str) -> (String, Option<String>) {
        let request = lambda_http::http::Request::new(Body::from(body));
        let error = json::<Outer>(&request).unwrap_err();
        let (_, code, text, field) = describe(&error);
        (format!("{code}: {text}"), field.map(str::to_owned))
    }

    #[test]
    fn wrong_bodies_are_told_with_their_json_path() {
        assert_eq!(told(r#"{"nam":"x"}"#), ("unknown_field: Unknown field".into(), Some("nam".into())));
        assert_eq!(
            told(r#"{"limits":{"requestsPerHour":1}}"#),
            ("unknown_field: Unknown field".into(), Some("limits.requestsPerHour".into()))
        );
        assert_eq!(
            told(r#"{"name":5}"#),
            ("invalid_body: name must be a string".into(), Some("name".into()))
        );
        assert_eq!(
            told(r#"{"limits":{"requestsPerMinute":"many"}}"#),
            (
                "invalid_body: limits.requestsPerMinute must be u32".into(),
                Some("limits.requestsPerMinute".into())
            )
        );
        for broken in ["", "{", "[]x", "nonsense", "\u{7f}"] {
            assert_eq!(told(broken).1, None, "{broken}");
        }
    }

    #[test]
    fn a_value_is_never_repeated_in_an_error() {
        assert!(!told(r#"{"name":4155550100}"#).0.contains("4155550100"));
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("a=1; __Host-x=2"));
        headers.append("cookie", HeaderValue::from_static("x=3"));
        assert_eq!(cookie(&headers, "__Host-x"), Some("2"));
        assert_eq!(cookie(&headers, "x"), Some("3"));
        assert_eq!(cookie(&headers, "Host-x"), None);
    }
}
