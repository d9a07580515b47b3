//! Sends the requests of [`crate::api`].

use std::time::Duration;

use jiff::SignedDuration;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use crate::api::{Call, ErrorResponse};
use crate::environment;
use crate::error::{CliError, CliResult, Exit};
use crate::target::{self, Target};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than the 29 seconds of API Gateway.
const TIMEOUT: Duration = Duration::from_secs(35);
/// How long a command retries before it gives up.
const PATIENCE: Duration = Duration::from_secs(70);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<String>,
}

/// A successful response.
#[derive(Debug, Clone)]
pub struct ApiReply<T> {
    pub value: T,
    /// The body as it came.
    pub text: String,
    pub headers: HeaderMap,
}

impl<T> ApiReply<T> {
    /// The body as JSON, for `--json`: with fields that this program does not know.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub fn number(&self, header: &str) -> Option<u64> {
        self.headers.get(header)?.to_str().ok()?.parse().ok()
    }
}

/// Why a request has no successful response.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The request may or may not have been processed, if it was sent at all.
    NoResponse(String),
    Rejected {
        status: StatusCode,
        error: ErrorResponse,
        retry_after: Option<Duration>,
    },
}

impl Failure {
    pub fn status(&self) -> u16 {
        match self {
            Self::NoResponse(_) => 0,
            Self::Rejected { status, .. } => status.as_u16(),
        }
    }

    pub fn code(&self) -> &str {
        match self {
            Self::NoResponse(_) => "",
            Self::Rejected { error, .. } => &error.code,
        }
    }

    /// Whether the same request can succeed later.
    pub fn is_temporary(&self) -> bool {
        self.status() == 0
            || self.status() == 429
            || self.status() >= 500
            || self.code() == "idempotency_in_progress"
    }

    /// The request was not processed.
    fn was_not_processed(&self) -> bool {
        self.status() == 429
    }

    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected { retry_after, .. } => *retry_after,
            Self::NoResponse(_) => None,
        }
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let (status, error) = match failure {
            Failure::NoResponse(reason) => {
                return Self::new(Exit::Unavailable, format!("the gateway did not respond: {reason}"))
                    .advice("Check the URL and the network, then run: ringbridge doctor");
            }
            Failure::Rejected { status, error, .. } => (status, error),
        };
        let exit = match status.as_u16() {
            401 | 403 => Exit::Unauthorized,
            404 => Exit::NotFound,
            429 | 500.. => Exit::Unavailable,
            _ => Exit::Failed,
        };
        let field = error.field.map(|field| format!(" ({field})")).unwrap_or_default();
        let text =
            if error.error.is_empty() { format!("the gateway returned {status}") } else { error.error };
        let code = Some(error.code).filter(|code| !code.is_empty());
        let advice = code.as_ref().map(|code| format!("{code}: see docs/errors.md"));
        let request_id = Some(error.request_id).filter(|id| !id.is_empty());
        Self { exit, text: format!("{text}{field}"), advice, code, request_id }
    }
}

/// Builds the HTTP client of this program. It never uses a proxy to this machine.
pub fn http(url: &Url) -> CliResult<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("ringbridge-cli/", env!("CARGO_PKG_VERSION")));
    let builder = if target::is_loopback(url) { builder.no_proxy() } else { builder };
    builder
        .build()
        .map_err(|error| CliError::new(Exit::Failed, format!("the HTTP client cannot be created: {error}")))
}

impl Client {
    pub fn new(url: &Url, key: Option<&str>) -> CliResult<Self> {
        Ok(Self { http: http(url)?, base: url.clone(), key: key.map(str::to_owned) })
    }

    /// The client of a tenant's app.
    pub fn of_app(target: &Target) -> CliResult<Self> {
        let key = target.key.as_deref().ok_or_else(|| no_key("RINGBRIDGE_KEY"))?;
        Self::new(&target.url, Some(key))
    }

    /// The client of the operator.
    pub fn of_operator(target: &Target) -> CliResult<Self> {
        let key = target.operator_key.as_deref().or(target.key.as_deref());
        Self::new(&target.url, Some(key.ok_or_else(|| no_key("RINGBRIDGE_KEY"))?))
    }

    /// The same client with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    pub fn has_key(&self, key: &str) -> bool {
        self.key.as_deref() == Some(key)
    }

    /// Sends a request once.
    pub async fn send<T: DeserializeOwned>(&self, call: &Call<T>) -> Result<ApiReply<T>, Failure> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), call.path));
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let method = Method::from_bytes(call.method.as_bytes()).unwrap_or_default();
        let mut request = self.http.request(method, url);
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = request.send().await.map_err(|error| Failure::NoResponse(reason(&error)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.map_err(|error| Failure::NoResponse(reason(&error)))?;
        if !status.is_success() {
            let error = serde_json::from_str(&text).unwrap_or_default();
            return Err(Failure::Rejected { status, error, retry_after: retry_after(&headers) });
        }
        let value = serde_json::from_str(if text.is_empty() { "null" } else { &text }).map_err(|_| {
            Failure::NoResponse(format!(
                "its response to {} {} is not that of a gateway",
                call.method, call.path
            ))
        })?;
        Ok(ApiReply { value, text, headers })
    }

    /// Sends a request, and again where that is safe and may help, for about a minute.
    pub async fn call<T: DeserializeOwned>(&self, call: &Call<T>) -> CliResult<ApiReply<T>> {
        let mut pauses = Pauses::default();
        let mut left = PATIENCE;
        loop {
            let failure = match self.send(call).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let is_safe = call.is_repeatable() || failure.was_not_processed();
            let pause = pauses.next(failure.retry_after());
            if !failure.is_temporary() || !is_safe || pause > left {
                return Err(failure.into());
            }
            left -= pause;
            tokio::time::sleep(pause).await;
        }
    }
}

pub fn no_key(variable: &str) -> CliError {
    CliError::new(Exit::Unauthorized, "there is no key for this gateway")
        .advice(format!("Run `ringbridge login`, or set {variable}."))
}

/// The pauses between attempts: they double.
#[derive(Debug)]
pub struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pauses {
    /// The next pause, at least as long as the gateway asks for.
    pub fn next(&mut self, requested: Option<Duration>) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        requested.map_or(pause, |requested| requested.max(Duration::from_millis(100)))
    }
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait: SignedDuration = date.duration_since(environment::now());
    Some(wait.try_into().unwrap_or_default())
}

/// The innermost reason of a failed request, which says more than the outermost.
pub fn reason(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    if error.is_timeout() { "no response in time".to_owned() } else { deepest.to_string() }
}
