//! One HTTP exchange with RingCentral: sends, reads the answer with bounds, and tells failures apart.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, Method};
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

use crate::answer;
use crate::error::{Error, Facts, Kind, Result, Retry, Sent};
use crate::limiter::RateLimit;

/// The largest JSON answer that is read. A page of 1,000 messages is below 2 MB.
const MAX_JSON_BYTES: usize = 16 * 1024 * 1024;

/// Which error envelope the called endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The token and revoke endpoints: RFC 6749.
    OAuth,
    /// Everything else.
    Api,
}

/// A request, ready to be sent any number of times.
#[derive(Clone)]
pub(crate) struct Exchange<'a> {
    pub operation: &'static str,
    pub dialect: Dialect,
    pub method: Method,
    pub url: Url,
    pub authorization: Option<HeaderValue>,
    pub accept: &'static str,
    /// Content type and content.
    pub body: Option<(String, Bytes)>,
    /// The secrets of this call, to be taken out of whatever RingCentral says about it.
    pub secrets: Vec<&'a str>,
    pub max_answer_bytes: usize,
}

impl<'a> Exchange<'a> {
    pub fn new(operation: &'static str, dialect: Dialect, method: Method, url: Url) -> Self {
        Self {
            operation,
            dialect,
            method,
            url,
            authorization: None,
            accept: "application/json",
            body: None,
            secrets: Vec::new(),
            max_answer_bytes: MAX_JSON_BYTES,
        }
    }

    pub fn bearer(mut self, token: &'a str) -> Result<Self> {
        self.authorization = Some(sensitive(self.operation, &format!("Bearer {token}"))?);
        self.secrets.push(token);
        Ok(self)
    }
}

/// A header value that neither prints nor is put into a compression table.
pub(crate) fn sensitive(operation: &'static str, text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::refused(operation, "a token or secret has characters that no header can carry")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A successful answer.
pub(crate) struct Answer {
    pub operation: &'static str,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Zeroizing<Vec<u8>>,
    pub rate_limit: Option<RateLimit>,
    pub request_id: Option<String>,
}

impl Answer {
    /// Reads the body as JSON. The parser's own message is left out on purpose: it may quote what it read.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|_| self.unreadable("the JSON is not of the expected form"))
    }

    pub fn unreadable(&self, reason: &'static str) -> Error {
        Facts {
            operation: self.operation,
            kind: Kind::Unreadable,
            sent: Sent::Yes,
            retry: Retry::Backoff,
            status: Some(self.status),
            request_id: self.request_id.clone(),
            rate_limit: self.rate_limit.clone(),
            reason: Some(reason),
            ..Facts::default()
        }
        .into()
    }
}

/// Sends a request and reads the whole answer within `timeout`. Any status but 2xx is an error.
pub(crate) async fn send(
    http: &reqwest::Client,
    exchange: &Exchange<'_>,
    timeout: Duration,
) -> Result<Answer> {
    let started = Instant::now();
    let result = attempt(http, exchange, timeout).await;
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &result {
        Ok(answer) => tracing::debug!(
            operation = exchange.operation,
            status = answer.status,
            request_id = answer.request_id.as_deref(),
            elapsed_ms,
            "RingCentral answered"
        ),
        Err(error) => tracing::debug!(
            operation = exchange.operation,
            status = error.status(),
            request_id = error.request_id(),
            kind = ?error.kind(),
            code = error.code(),
            elapsed_ms,
            "RingCentral call failed"
        ),
    }
    result
}

async fn attempt(http: &reqwest::Client, exchange: &Exchange<'_>, timeout: Duration) -> Result<Answer> {
    let begun = Arc::new(AtomicBool::new(false));
    let mut request = http
        .request(exchange.method.clone(), exchange.url.clone())
        .timeout(timeout)
        .header(ACCEPT, exchange.accept);
    if let Some(value) = &exchange.authorization {
        request = request.header(AUTHORIZATION, value.clone());
    }
    match &exchange.body {
        Some((content_type, bytes)) if !bytes.is_empty() => {
            let body = Watched { bytes: Full::new(bytes.clone()), begun: Arc::clone(&begun) };
            request = request.header(CONTENT_TYPE, content_type).body(Body::wrap(body));
        }
        // Without a body there is nothing to watch: once connected, it may have left.
        _ => begun.store(true, Ordering::Relaxed),
    }

    let mut response = request.send().await.map_err(|error| unanswered(exchange, error, &begun))?;

    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let rate_limit = RateLimit::from_headers(&headers);
    let request_id = answer::request_id(&headers);
    // Room for it all at once: a growing buffer leaves copies behind that are not wiped.
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    let mut body = Zeroizing::new(Vec::with_capacity(announced.unwrap_or(4096).min(1 << 16)));
    let mut reason = None;
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > exchange.max_answer_bytes => {
                reason = Some("the answer is too large");
                break;
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            // A refusal is understood by its status, even without its body.
            Err(_) if status >= 400 => break,
            Err(error) => {
                return Err(Facts {
                    operation: exchange.operation,
                    kind: if error.is_timeout() { Kind::Timeout } else { Kind::Interrupted },
                    sent: Sent::Yes,
                    retry: Retry::Backoff,
                    status: Some(status),
                    request_id,
                    rate_limit,
                    source: Some(Box::new(error.without_url())),
                    ..Facts::default()
                }
                .into());
            }
        }
    }

    let answer = Answer { operation: exchange.operation, status, headers, body, rate_limit, request_id };
    match (status, reason) {
        (200..=299, None) => Ok(answer),
        (200..=299, Some(reason)) => Err(answer.unreadable(reason)),
        (300..=399, _) => Err(answer.unreadable("a redirect was answered, and none is followed")),
        (400.., _) => Err(answer::refusal(exchange, answer)),
        _ => Err(answer.unreadable("the status is not a final one")),
    }
}

/// A failure without any answer.
fn unanswered(exchange: &Exchange<'_>, error: reqwest::Error, begun: &AtomicBool) -> Error {
    let (kind, sent) = if error.is_builder() {
        (Kind::Refused, Sent::No)
    } else if error.is_connect() {
        (Kind::Connect, Sent::No)
    } else {
        let kind = if error.is_timeout() { Kind::Timeout } else { Kind::Interrupted };
        (kind, if begun.load(Ordering::Relaxed) { Sent::Maybe } else { Sent::No })
    };
    let retry = if kind == Kind::Refused { Retry::Never } else { Retry::Backoff };
    Facts {
        operation: exchange.operation,
        kind,
        sent,
        retry,
        source: Some(Box::new(error.without_url())),
        ..Facts::default()
    }
    .into()
}

/// A body that notes when its first byte is asked for. Before that, no complete request can have left.
struct Watched {
    bytes: Full<Bytes>,
    begun: Arc<AtomicBool>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<http_body::Frame<Bytes>, Infallible>>> {
        self.begun.store(true, Ordering::Relaxed);
        Pin::new(&mut self.bytes).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.bytes.size_hint()
    }
}
