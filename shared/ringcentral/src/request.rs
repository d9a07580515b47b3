//! An HTTP request to RingCentral and its response.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use url::Url;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorDetails, ErrorKind, Result, Retry, Sent};
use crate::lenient::{self, FromFields};
use crate::rate_limit::RateLimit;

/// The largest JSON response that is read. A page of 1,000 messages is smaller than 2 MB.
const MAX_JSON_BYTES: usize = 16 * 1024 * 1024;

/// The format of an endpoint's error responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    /// RFC 6749: the token and revoke endpoints.
    OAuth,
    /// RingCentral's own: all other endpoints.
    Api,
}

/// A request that can be sent any number of times.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    pub operation: &'static str,
    pub error_format: ErrorFormat,
    pub method: Method,
    pub url: Url,
    pub authorization: Option<HeaderValue>,
    pub accept: &'static str,
    /// Content type and content.
    pub body: Option<(String, Bytes)>,
    /// The secrets of this request. They are removed from everything that RingCentral reports about it.
    pub secrets: Vec<&'a str>,
    pub max_response_bytes: usize,
    /// Requests the bytes from this position on.
    pub range_from: Option<usize>,
    /// Whether a redirect is a response. By default, it is an error.
    pub returns_redirects: bool,
}

impl<'a> Request<'a> {
    pub fn new(operation: &'static str, error_format: ErrorFormat, method: Method, url: Url) -> Self {
        Self {
            operation,
            error_format,
            method,
            url,
            authorization: None,
            accept: "application/json",
            body: None,
            secrets: Vec::new(),
            max_response_bytes: MAX_JSON_BYTES,
            range_from: None,
            returns_redirects: false,
        }
    }

    pub fn bearer(mut self, token: &'a str) -> Result<Self> {
        self.authorization = Some(sensitive_header(self.operation, &format!("Bearer {token}"))?);
        self.secrets.push(token);
        Ok(self)
    }
}

/// A header value that is neither printed nor added to a compression table.
pub(crate) fn sensitive_header(operation: &'static str, text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::refused(operation, "a token or secret contains characters that a header cannot contain")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A response with its whole body.
pub(crate) struct Response {
    pub operation: &'static str,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Zeroizing<Vec<u8>>,
    pub rate_limit: Option<RateLimit>,
    pub request_id: Option<String>,
}

impl Response {
    /// Reads the body.
    pub fn json<T: FromFields>(&self) -> Result<T> {
        lenient::read_body(&self.body)
            .map_err(|_| self.unreadable("the JSON does not have the expected form"))
    }

    /// Accepts a response without content: an empty body, or JSON. HTML is the page of a proxy, which says nothing about the
    /// request.
    pub fn no_content(&self) -> Result<()> {
        let is_empty = self.body.trim_ascii().is_empty();
        if is_empty || serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_ok() {
            return Ok(());
        }
        Err(self.unreadable("the body is neither empty nor JSON"))
    }

    pub fn unreadable(&self, reason: &'static str) -> Error {
        self.error(ErrorKind::Unreadable, reason)
    }

    /// The error of a response whose status alone says why it is none.
    pub fn error(&self, kind: ErrorKind, reason: &'static str) -> Error {
        ErrorDetails {
            operation: self.operation,
            kind,
            sent: Sent::Yes,
            retry: Retry::Backoff,
            status: Some(self.status),
            request_id: self.request_id.clone(),
            rate_limit: self.rate_limit.clone(),
            reason: Some(reason),
            ..ErrorDetails::default()
        }
        .into()
    }
}
