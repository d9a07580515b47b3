//! Sends requests, reads responses up to a limit, and classifies failures without a response.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use reqwest::Body;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RANGE};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorDetails, ErrorKind, Result, Retry, Sent};
use crate::error_response::{error_from_response, request_id};
use crate::rate_limit::RateLimit;
use crate::request::{Request, Response};

/// Sends a request and reads the whole response within `timeout`. Any status other than 2xx is an error, except for a redirect
/// that the request expects.
pub(crate) async fn send(
    http: &reqwest::Client,
    request: &Request<'_>,
    timeout: Duration,
) -> Result<Response> {
    let started = Instant::now();
    let result = send_and_read(http, request, timeout).await;
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &result {
        Ok(response) => tracing::debug!(
            operation = request.operation,
            status = response.status,
            request_id = response.request_id.as_deref(),
            elapsed_ms,
            "RingCentral call succeeded"
        ),
        Err(error) => tracing::debug!(
            operation = request.operation,
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

async fn send_and_read(http: &reqwest::Client, request: &Request<'_>, timeout: Duration) -> Result<Response> {
    let body_read = Arc::new(AtomicBool::new(false));
    let mut builder = http
        .request(request.method.clone(), request.url.clone())
        .timeout(timeout)
        .header(ACCEPT, request.accept);
    if let Some(value) = &request.authorization {
        builder = builder.header(AUTHORIZATION, value.clone());
    }
    if let Some(from) = request.range_from {
        builder = builder.header(RANGE, format!("bytes={from}-"));
    }
    match &request.body {
        Some((content_type, bytes)) if !bytes.is_empty() => {
            let body = ObservedBody { bytes: Full::new(bytes.clone()), read: Arc::clone(&body_read) };
            builder = builder.header(CONTENT_TYPE, content_type).body(Body::wrap(body));
        }
        // Without a body there is nothing to observe: the request may have been sent as soon as it is connected.
        _ => body_read.store(true, Ordering::Relaxed),
    }

    let mut response =
        builder.send().await.map_err(|error| error_without_response(request, error, &body_read))?;

    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let rate_limit = RateLimit::from_headers(&headers);
    let request_id = request_id(&headers);
    // Allocated at once, because a growing buffer leaves copies behind that are not wiped.
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    let mut body = Zeroizing::new(Vec::with_capacity(announced.unwrap_or(4096).min(1 << 16)));
    let mut reason = None;
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > request.max_response_bytes => {
                reason = Some("the response is too large");
                break;
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            // The status alone classifies an error response.
            Err(_) if status >= 400 => break,
            Err(error) => {
                return Err(ErrorDetails {
                    operation: request.operation,
                    kind: if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Interrupted },
                    sent: Sent::Yes,
                    retry: Retry::Backoff,
                    status: Some(status),
                    request_id,
                    rate_limit,
                    source: Some(Box::new(error.without_url())),
                    ..ErrorDetails::default()
                }
                .into());
            }
        }
    }

    let response = Response { operation: request.operation, status, headers, body, rate_limit, request_id };
    match (status, reason) {
        (200..=299, None) => Ok(response),
        (200..=299, Some(reason)) => Err(response.unreadable(reason)),
        (300..=399, _) if request.returns_redirects => Ok(response),
        (300..=399, _) => Err(response.error(ErrorKind::Intermediary, "redirects are not followed")),
        (400.., _) => Err(error_from_response(request, response)),
        _ => Err(response.unreadable("the status is not final")),
    }
}

fn error_without_response(request: &Request<'_>, error: reqwest::Error, body_read: &AtomicBool) -> Error {
    let (kind, sent) = if error.is_builder() {
        (ErrorKind::Refused, Sent::No)
    } else if error.is_connect() {
        (ErrorKind::Connect, Sent::No)
    } else {
        let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Interrupted };
        (kind, if body_read.load(Ordering::Relaxed) { Sent::Maybe } else { Sent::No })
    };
    let retry = if kind == ErrorKind::Refused { Retry::Never } else { Retry::Backoff };
    ErrorDetails {
        operation: request.operation,
        kind,
        sent,
        retry,
        source: Some(Box::new(error.without_url())),
        ..ErrorDetails::default()
    }
    .into()
}

/// A body that records when its first byte is read. Before that, no complete request can have been sent.
struct ObservedBody {
    bytes: Full<Bytes>,
    read: Arc<AtomicBool>,
}

impl http_body::Body for ObservedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<http_body::Frame<Bytes>, Infallible>>> {
        self.read.store(true, Ordering::Relaxed);
        Pin::new(&mut self.bytes).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.bytes.size_hint()
    }
}
