//! HTTP: parsing requests, and turning results into responses.
//!
//! This module alone chooses statuses and the texts and codes of errors; all of them are in its [`catalogue`].

mod body;
pub mod catalogue;
pub mod event;
pub mod route;
mod suggestion;
pub mod unknown_route;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lambda_http::RequestExt;
use lambda_http::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
pub use lambda_http::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use lambda_http::request::RequestContext;
pub use lambda_http::{Body, Request, Response, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use tracing::Span;
use tracing::field::Empty;

use crate::clock::parse_time;
use crate::connect::FlowRejection;
use crate::error::{Error, Result};
use crate::http::route::IdempotencyKey;
use crate::limits;
use crate::media::MediaReferences;
use crate::model::cursor::Cursors;
use crate::model::media::Media;
use crate::model::rate_limit::RateLimitCount;
use crate::span;
use crate::store::Page;
use crate::views::OkResponse;
use crate::views::messages::MediaPreview;

pub use body::{Object, json, no_fields, optional_json};

pub type HandlerResult = Result<Response<Body>>;

/// What is checked of a request before its handler runs.
#[derive(Debug, Clone, Copy)]
pub struct RequestRules {
    pub idempotency_key: IdempotencyKey,
    /// The largest body.
    pub body_bytes: usize,
}

/// Runs a handler and turns its result into the response: errors become their status and body, and every response gets its
/// request id and security headers. Logs one line, in the request's span.
pub async fn respond<F>(
    route: &'static str,
    rules: RequestRules,
    request: Request,
    handle: impl FnOnce(Request) -> F,
) -> Result<Response<Body>, lambda_http::Error>
where
    F: Future<Output = HandlerResult>,
{
    let (id, span) = (request_id(&request), request_span(route, &request));
    span::in_request(id, span, respond_in_span(rules, request, handle)).await
}

/// The span of a request, whose fields every log line of the request carries. `tenant.id` is set after authentication,
/// `message.id` once a message is accepted. It is an error span because a span above the log level would be lost.
pub fn request_span(route: &'static str, request: &Request) -> Span {
    tracing::error_span!(
        "request",
        request.id = request_id(request),
        route,
        tenant.id = Empty,
        message.id = Empty,
    )
}

async fn respond_in_span<F>(
    rules: RequestRules,
    mut request: Request,
    handle: impl FnOnce(Request) -> F,
) -> Result<Response<Body>, lambda_http::Error>
where
    F: Future<Output = HandlerResult>,
{
    let started = Instant::now();
    let request_id = request_id(&request);
    let limit = ResponseRateLimit::default();
    request.extensions_mut().insert(limit.clone());
    let outcome = if request.body().as_ref().len() > rules.body_bytes {
        Err(Error::BodyTooLarge)
    } else if rules.idempotency_key == IdempotencyKey::Rejected
        && request.headers().contains_key(IDEMPOTENCY_KEY)
    {
        Err(Error::IdempotencyNotSupported)
    } else {
        handle(request).await
    };
    let mut response = match outcome {
        Ok(response) => response,
        Err(error) => {
            report(&error);
            error_response(&error, &request_id)
        }
    };
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Some(count) = limit.0.get() {
        write_limit(response.headers_mut(), count);
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
    tracing::info!(
        status = response.status().as_u16(),
        code = response.extensions().get::<ErrorCode>().map(|code| code.0),
        duration_ms = milliseconds(started),
        "request completed"
    );
    Ok(response)
}

/// The rate limit of the request's key, set during authentication and sent with the response.
#[derive(Debug, Clone, Default)]
struct ResponseRateLimit(Arc<OnceLock<RateLimitCount>>);

/// Sends the rate limit of a request's key with the response.
pub fn tell_limit(request: &Request, count: RateLimitCount) {
    if let Some(limit) = request.extensions().get::<ResponseRateLimit>() {
        let _ = limit.0.set(count);
    }
}

/// A response that already has rate limit headers keeps them.
fn write_limit(headers: &mut HeaderMap, count: &RateLimitCount) {
    if headers.contains_key(RATE_LIMIT) {
        return;
    }
    headers.insert(RATE_LIMIT, HeaderValue::from(count.limit));
    headers.insert(RATE_LIMIT_REMAINING, HeaderValue::from(count.remaining));
    headers.insert(RATE_LIMIT_RESET, HeaderValue::from(whole_seconds(count.reset)));
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Headers of every response, unless its handler sets another value. Pages set a content security policy that allows what they
/// need and nothing else.
const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains"),
];

pub fn milliseconds(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

pub fn reply(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_string(body).expect("responses are plain data");
    let mut response = reply_written(text);
    *response.status_mut() = status;
    response
}

/// 200 with JSON that is already serialized.
pub fn reply_written(text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::Text(text.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 200 with a page of CSV, and the cursor of the next page in a header.
pub fn csv(text: String, next_cursor: Option<&str>) -> HandlerResult {
    let mut response = Response::new(Body::Text(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    if let Some(cursor) = next_cursor {
        let value = HeaderValue::from_str(cursor).map_err(|error| Error::internal("a cursor", error))?;
        response.headers_mut().insert("x-next-cursor", value);
    }
    Ok(response)
}

/// True if a request prefers CSV to JSON: the first of both that `Accept` names.
pub fn accepts_csv(request: &Request) -> bool {
    let accepted = request.headers().get_all("accept").iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted
        .flat_map(|value| value.split(','))
        .map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    kinds.find(|kind| kind == "text/csv" || kind == "application/json").is_some_and(|kind| kind == "text/csv")
}

/// 400 without a body.
pub fn bad_request() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// 201 with `Location`.
pub fn created(location: &str, body: &impl Serialize) -> HandlerResult {
    let mut response = reply(StatusCode::CREATED, body);
    let value = HeaderValue::from_str(location).map_err(|error| Error::internal("an address", error))?;
    response.headers_mut().insert("location", value);
    Ok(response)
}

/// `{"ok":true}`.
pub fn ok() -> Response<Body> {
    reply(StatusCode::OK, &OkResponse { ok: true })
}

/// Redirects the browser with GET.
pub fn see_other(location: &str) -> HandlerResult {
    redirect(StatusCode::SEE_OTHER, location)
}

/// 302 with `Location`.
pub fn found(location: &str) -> HandlerResult {
    redirect(StatusCode::FOUND, location)
}

fn redirect(status: StatusCode, location: &str) -> HandlerResult {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    let value = HeaderValue::from_str(location).map_err(|error| Error::internal("a redirect", error))?;
    response.headers_mut().insert("location", value);
    Ok(response)
}

/// Adds a secure cookie that scripts cannot read and that the browser sends when RingCentral redirects it back. An age of 0
/// deletes the cookie.
pub fn set_cookie(response: &mut Response<Body>, name: &str, value: &str, age_seconds: i64) {
    let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age_seconds}");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append("set-cookie", value);
    }
}

pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all("cookie").iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Returns the value of a request's cookie by name.
pub fn cookies(request: &Request) -> impl Fn(&str) -> Option<String> {
    let headers = request.headers().clone();
    move |name| cookie(&headers, name).map(str::to_owned)
}

/// A form field; an empty one counts as absent.
pub fn form_field(request: &Request, name: &str) -> Option<String> {
    let mut fields = url::form_urlencoded::parse(request.body().as_ref());
    let value = fields.find(|(found, _)| found == name).map(|(_, value)| value.into_owned());
    value.filter(|value| !value.is_empty())
}

/// The path of a request, as the client sent it.
pub fn path(request: &Request) -> &str {
    request.raw_http_path()
}

pub fn path_parameter(request: &Request, name: &str) -> String {
    request.path_parameters().first(name).unwrap_or_default().to_owned()
}

/// The id in a path parameter, in the form that `parse` accepts.
pub fn path_id<T>(request: &Request, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    parse(&path_parameter(request, name)).ok_or(Error::InvalidId { kind: name })
}

/// A query parameter; an empty one counts as absent.
pub fn query_parameter(request: &Request, name: &str) -> Option<String> {
    query_filter(request, name).filter(|value| !value.is_empty())
}

/// A query parameter that restricts a list. An empty one is invalid rather than absent: the list would be unrestricted.
pub fn query_filter(request: &Request, name: &str) -> Option<String> {
    request.query_string_parameters().first(name).map(str::to_owned)
}

/// A query parameter with a fixed set of values.
pub fn query_word<T>(request: &Request, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
    let wrong = || Error::InvalidQuery { field: name.to_owned() };
    query_filter(request, name).map(|word| parse(&word).ok_or_else(wrong)).transpose()
}

/// The time range of `from` and `to` in the query, ISO 8601; unbounded where one is absent.
pub fn query_times(request: &Request) -> Result<(Timestamp, Timestamp)> {
    let time = |name| query_word(request, name, parse_time);
    let (from, to) = (time("from")?.unwrap_or(Timestamp::MIN), time("to")?.unwrap_or(Timestamp::MAX));
    if from > to {
        return Err(Error::InvalidQuery { field: "to".to_owned() });
    }
    Ok((from, to))
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The `Idempotency-Key` header: 1 to 255 printable ASCII characters.
pub fn idempotency_key(request: &Request) -> Result<Option<String>> {
    let Some(value) = request.headers().get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if !printable || !(1..=limits::IDEMPOTENCY_KEY_CHARS).contains(&text.len()) {
        return Err(Error::InvalidField {
            text: "Idempotency-Key must be 1-255 printable ASCII characters".to_owned(),
            field: "Idempotency-Key",
        });
    }
    Ok(Some(text.to_owned()))
}

/// The page of a list that a request asks for with `limit` and `cursor`. Parameters other than these and `also` are rejected;
/// nothing is clamped.
pub fn page(request: &Request, cursors: &Cursors, also: &[&str]) -> Result<Page> {
    let query = request.query_string_parameters();
    let known = |name: &str| ["limit", "cursor"].contains(&name) || also.contains(&name);
    if let Some((unknown, _)) = query.iter().find(|(name, _)| !known(name)) {
        return Err(Error::InvalidQuery { field: unknown.to_owned() });
    }
    let wrong = |field: &str| Error::InvalidQuery { field: field.to_owned() };
    let limit = match query.first("limit") {
        None => limits::PAGE_DEFAULT,
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=limits::PAGE_MAX).contains(limit));
            limit.ok_or_else(|| wrong("limit"))?
        }
    };
    let after = match query_parameter(request, "cursor") {
        None => None,
        Some(cursor) => Some(cursors.open(&cursor).ok_or_else(|| wrong("cursor"))?),
    };
    Ok(Page { limit, after })
}

/// The source IP address that API Gateway saw; never one from a header, which the client controls. An IPv4 address in IPv6
/// notation is IPv4.
pub fn source(request: &Request) -> Option<IpAddr> {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => {
            let address: IpAddr = context.http.source_ip.as_deref()?.parse().ok()?;
            Some(address.to_canonical())
        }
        _ => None,
    }
}

/// When Lambda ends the invocation, in milliseconds since the epoch; 0 where it is unknown.
pub fn deadline_ms(request: &Request) -> u64 {
    request.lambda_context_ref().map_or(0, |context| context.deadline)
}

fn request_id(request: &Request) -> String {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.clone(),
        _ => request.lambda_context_ref().map(|context| context.request_id.clone()),
    }
    .unwrap_or_default()
}

/// Whether files would be accepted, from the outcome of [`media::resolve`](crate::media::resolve).
///
/// # Errors
/// An error that is not about the files.
pub fn media_preview(references: &MediaReferences, resolved: Result<Vec<Media>>) -> Result<MediaPreview> {
    let count = references.urls.len() + references.ids.len();
    match resolved {
        Ok(media) => {
            let bytes = media.iter().map(|file| file.size).sum();
            Ok(MediaPreview { count, bytes, accepted: true, error_code: None })
        }
        Err(
            error @ (Error::InvalidMediaUrl
            | Error::UnknownMedia
            | Error::MediaPending
            | Error::MediaTooLarge { .. }),
        ) => {
            let error_code = Some(catalogue::entry(&error).code);
            Ok(MediaPreview { count, bytes: None, accepted: false, error_code })
        }
        Err(error) => Err(error),
    }
}

/// Logs a failure that does not change the response.
pub fn note(error: &Error, what: &'static str) {
    tracing::warn!(error = error.chain(), what);
}

/// Logs the cause of a 5xx response. Of a refused request, the last line of the request has the code.
pub fn report(error: &Error) {
    match error {
        Error::Internal { .. } | Error::Unreadable(_) => {
            tracing::error!(error = error.chain(), "request failed");
        }
        Error::Unavailable { .. } => {
            tracing::warn!(alarm = "failure", error = error.chain(), "dependency unavailable");
        }
        _ => {}
    }
}

/// The code of an error response, for the log. Pages have none in their body.
#[derive(Debug, Clone, Copy)]
struct ErrorCode(&'static str);

/// Puts the code of an error into the request's last log line.
pub fn set_error_code(response: &mut Response<Body>, code: &'static str) {
    response.extensions_mut().insert(ErrorCode(code));
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ErrorResponse")]
pub struct ErrorBody<'a> {
    /// The text of the error.
    error: &'a str,
    /// The stable code of the error.
    code: &'a str,
    /// The JSON path of the field, or the name of the parameter, that caused the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// The id of the request, by which the operator finds it in the log.
    request_id: &'a str,
}

fn error_response(error: &Error, request_id: &str) -> Response<Body> {
    let described = catalogue::entry(error);
    let body = ErrorBody {
        error: &described.text,
        code: described.code,
        field: described.field.as_deref(),
        request_id,
    };
    let mut response = reply(described.status, &body);
    set_error_code(&mut response, described.code);
    let headers = response.headers_mut();
    match error {
        Error::RateLimited { limit, retry_after } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(*retry_after)));
            let refused = RateLimitCount { allowed: false, limit: *limit, remaining: 0, reset: *retry_after };
            write_limit(headers, &refused);
        }
        Error::MediaPending => {
            headers.insert(RETRY_AFTER, HeaderValue::from(limits::MEDIA_PENDING_RETRY_SECONDS));
        }
        Error::Unavailable { retry_after, .. } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(*retry_after)));
        }
        Error::IdempotencyInProgress => {
            headers.insert(RETRY_AFTER, HeaderValue::from(1));
        }
        Error::MethodNotAllowed { allow } => {
            if let Ok(allow) = HeaderValue::from_str(allow) {
                headers.insert(ALLOW, allow);
            }
        }
        Error::MissingKey | Error::MalformedAuthorization { .. } | Error::UnknownKey => {
            headers.insert("www-authenticate", HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}

/// Whole seconds, rounded up, at least one.
pub fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The error response of a browser flow with `format=json`.
pub fn refusal(refusal: &FlowRejection, request: &RequestId) -> Response<Body> {
    let described = catalogue::refusal_entry(refusal);
    let body = ErrorBody { error: described.text, code: described.code, field: None, request_id: &request.0 };
    let mut response = reply(described.status, &body);
    set_error_code(&mut response, described.code);
    if let FlowRejection::Busy(wait) = refusal {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(*wait)));
    }
    response
}

/// A request's id, for a response that is created after the request is consumed.
#[derive(Debug, Clone)]
pub struct RequestId(String);

impl RequestId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

impl From<&Request> for RequestId {
    fn from(request: &Request) -> Self {
        Self(request_id(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
