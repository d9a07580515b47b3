//! Errors of the client: the kind of failure, whether the request may have reached RingCentral, and when to retry.
//!
//! No error contains a token, secret, authorization code or assertion: not in `Display`, not in `Debug`, and not in its
//! sources.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::rate_limit::RateLimit;

/// The result of every call of the client.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call. Cheap to clone, because all callers that wait for one refresh share its failure.
#[derive(Clone)]
pub struct Error(Arc<ErrorDetails>);

#[derive(Default)]
pub(crate) struct ErrorDetails {
    pub operation: &'static str,
    pub kind: ErrorKind,
    pub sent: Sent,
    pub retry: Retry,
    pub status: Option<u16>,
    pub codes: Vec<ErrorCode>,
    pub oauth_error: Option<String>,
    pub request_id: Option<String>,
    pub rate_limit: Option<RateLimit>,
    pub reason: Option<&'static str>,
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client refused to make the call: a parameter is out of range, or the URL may not receive a token. Nothing
    /// was sent.
    #[default]
    Refused,
    /// No connection could be established (name resolution, TCP, TLS). Nothing was sent.
    Connect,
    /// No complete response arrived within the timeout.
    Timeout,
    /// The connection broke before the response was complete.
    Interrupted,
    /// A successful response cannot be understood: malformed JSON, HTML instead of JSON.
    Unreadable,
    /// A 3xx, or a 4xx without an error code of RingCentral: the page of a proxy, firewall or gateway in between.
    /// RingCentral has not judged the request and has not processed it, so the same call may succeed later. Their codes
    /// are letters and a number, such as `CMN-101`, and a few words, such as `InvalidParameter`; any other word is that of
    /// another server. At the token endpoint, an error response is RingCentral's only if its JSON has an `error` of OAuth, or one
    /// of their codes that concern the app.
    Intermediary,
    /// The token endpoint rejected **the app**: wrong client id or secret, a grant type that the app may not use, a
    /// redirect URI that is not registered. A new sign-in does not help, and no token is at fault.
    AppConfiguration,
    /// The token endpoint rejected the grant: the refresh token, code, assertion or password.
    Grant(Grant),
    /// An API call returned 401: the access token has expired, was replaced, or is malformed.
    AccessToken,
    /// 403: the app scope, the user's permission, the plan or the number's feature is missing; see [`Error::codes`].
    Forbidden,
    /// 404, or 400 with `CMN-102`: the resource does not exist, or not for this user.
    NotFound,
    /// Another 4xx: the request is invalid and fails again unless it is changed.
    Invalid,
    /// 429, or the limiter would have to delay the call for too long.
    RateLimited,
    /// 5xx, or 408 with an error code of RingCentral.
    Unavailable,
    /// The token store failed. The session keeps using its previous tokens.
    Store,
    /// The session has no tokens, or none that can be refreshed: sign in again.
    SignedOut,
}

/// Why a grant was rejected, as far as RingCentral reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Grant {
    /// `OAU-210`, `OAU-108`, `expired_token`.
    Expired,
    /// `OAU-211`.
    Revoked,
    /// `OAU-213`, `OAU-106`. A refresh token becomes unknown when it is replaced, too.
    Unknown,
    /// Any other rejection (`invalid_grant`, `access_denied`): wrong password or redirect URI, account or extension
    /// disabled; see [`Error::codes`].
    Denied,
}

/// Whether the request may have reached RingCentral, and may have had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Sent {
    /// It did not: the connection failed, or no byte of the body was read for sending yet.
    #[default]
    No,
    /// The connection broke or the timeout passed after sending had started.
    Maybe,
    /// It did: at least the status line of a response arrived.
    Yes,
}

/// When to retry.
///
/// It describes the failure alone. Whether a retry could repeat the effect of the call depends on [`Error::sent`] and on
/// the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Retry {
    /// Do not retry the same call.
    #[default]
    Never,
    /// Retry once with another access token.
    WithNewToken,
    /// Retry after this time at the earliest. During a rate-limit penalty, every call restarts the penalty.
    After(Duration),
    /// Retry with increasing delays. RingCentral recommends 2 s, doubling up to 60 s, for API calls, and 10 s for the
    /// token endpoint (Developer Guide, "Errors").
    Backoff,
}

/// An error code of RingCentral. An error response can contain codes on two levels; both are collected.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ErrorCode {
    /// The code, such as `CMN-101` or `OAU-213`, or a category such as `InvalidParameter`.
    pub code: String,
    /// RingCentral's message for people, in the user's language. Secrets of the call are replaced by `…`. It may
    /// contain phone numbers, so `Debug` and `Display` omit it. Decide by `code`, never by this text.
    pub message: String,
    /// The name of the invalid parameter.
    pub parameter: Option<String>,
    /// The missing app scope (`CMN-401`) or user permission (`CMN-408`).
    pub permission: Option<String>,
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        match self.parameter.as_ref().or(self.permission.as_ref()) {
            Some(name) => write!(f, "({name})"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// The call that failed, such as `refresh` or `send_sms`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the request may have reached RingCentral.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.0.sent
    }

    /// Whether the outcome is unknown: the request may have had its effect, and no response reports it.
    ///
    /// Do not repeat a send at once. Repeat a refresh with the **same** refresh token. Lost and unreadable responses,
    /// 408 and 5xx are ambiguous. Not ambiguous are 501, and a 503 with one of RingCentral's codes (such as `MSG-290`)
    /// or with `Retry-After`: RingCentral did not process the request then. Neither did it if an intermediary responded
    /// ([`ErrorKind::Intermediary`]).
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        match self.0.sent {
            Sent::No => false,
            Sent::Maybe => true,
            Sent::Yes if self.0.kind == ErrorKind::Intermediary => false,
            Sent::Yes => match self.0.status {
                Some(501) => false,
                Some(503) => self.0.codes.is_empty() && !matches!(self.0.retry, Retry::After(_)),
                Some(status) => matches!(status, 200..=299 | 408 | 500..),
                None => true,
            },
        }
    }

    /// When to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The HTTP status, if a response arrived.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// RingCentral's codes of both levels, most specific first, without duplicates.
    #[must_use]
    pub fn codes(&self) -> &[ErrorCode] {
        &self.0.codes
    }

    /// Whether `code` is among the codes.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        self.0.codes.iter().any(|known| known.code == code)
    }

    /// The most specific code: the first one of `errors[]`, otherwise that of the top level.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.codes.first().map(|code| code.code.as_str())
    }

    /// The `error` value of an OAuth response (RFC 6749 section 5.2), such as `invalid_grant`.
    #[must_use]
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.oauth_error.as_deref()
    }

    /// RingCentral's id of the request (header `RCRequestId`), for their support.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The rate-limit headers of the response. A 429 without them reports a limit other than that of the call's group.
    #[must_use]
    pub fn rate_limit(&self) -> Option<&RateLimit> {
        self.0.rate_limit.as_ref()
    }

    /// The client refused to make the call.
    pub(crate) fn refused(operation: &'static str, reason: &'static str) -> Self {
        ErrorDetails { operation, reason: Some(reason), ..ErrorDetails::default() }.into()
    }

    /// The session has no tokens.
    pub(crate) fn signed_out(operation: &'static str) -> Self {
        ErrorDetails { operation, kind: ErrorKind::SignedOut, ..ErrorDetails::default() }.into()
    }

    /// The token store failed.
    pub(crate) fn store(operation: &'static str, source: Box<dyn StdError + Send + Sync>) -> Self {
        ErrorDetails {
            operation,
            kind: ErrorKind::Store,
            retry: Retry::Backoff,
            source: Some(source),
            ..ErrorDetails::default()
        }
        .into()
    }

    /// The call was not made, because no access token could be obtained for it. Even if the refresh is ambiguous, the
    /// call itself did not reach RingCentral.
    pub(crate) fn without_token(operation: &'static str, cause: Self) -> Self {
        ErrorDetails {
            operation,
            kind: cause.kind(),
            sent: Sent::No,
            retry: cause.retry(),
            codes: cause.codes().to_vec(),
            oauth_error: cause.oauth_error().map(str::to_owned),
            reason: Some("no access token could be obtained"),
            source: Some(Box::new(cause)),
            ..ErrorDetails::default()
        }
        .into()
    }

    /// The error of a call that was not made, because a rate limit or a penalty applies for `wait`. It is public for
    /// programs that track penalties across processes themselves.
    #[must_use]
    pub fn rate_limited(operation: &'static str, wait: Duration) -> Self {
        ErrorDetails {
            operation,
            kind: ErrorKind::RateLimited,
            retry: Retry::After(wait),
            ..ErrorDetails::default()
        }
        .into()
    }
}

impl From<ErrorDetails> for Error {
    fn from(details: ErrorDetails) -> Self {
        Self(Arc::new(details))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = &self.0;
        let what = match details.kind {
            ErrorKind::Refused => "the call was refused before it was sent",
            ErrorKind::Connect => "no connection",
            ErrorKind::Timeout => "no response within the timeout",
            ErrorKind::Interrupted => "the connection was lost",
            ErrorKind::Unreadable => "the response cannot be read",
            ErrorKind::Intermediary => "the response is not RingCentral's",
            ErrorKind::AppConfiguration => "the app's configuration was rejected",
            ErrorKind::Grant(Grant::Expired) => "the grant has expired",
            ErrorKind::Grant(Grant::Revoked) => "the grant was revoked",
            ErrorKind::Grant(Grant::Unknown) => "the grant is unknown",
            ErrorKind::Grant(Grant::Denied) => "the grant was denied",
            ErrorKind::AccessToken => "the access token is not valid",
            ErrorKind::Forbidden => "permission denied",
            ErrorKind::NotFound => "not found",
            ErrorKind::Invalid => "the request is invalid",
            ErrorKind::RateLimited => "rate limit reached",
            ErrorKind::Unavailable => "RingCentral is unavailable",
            ErrorKind::Store => "the token store failed",
            ErrorKind::SignedOut => "sign-in required",
        };
        write!(f, "RingCentral {} failed: {what}", details.operation)?;
        if let Some(reason) = details.reason {
            write!(f, ", {reason}")?;
        }
        let mut separator = " (";
        if let Some(status) = details.status {
            write!(f, "{separator}HTTP {status}")?;
            separator = ", ";
        }
        if let Some(word) = &details.oauth_error {
            write!(f, "{separator}{word}")?;
            separator = ", ";
        }
        for code in &details.codes {
            write!(f, "{separator}{code:?}")?;
            separator = ", ";
        }
        if let Some(id) = &details.request_id {
            write!(f, "{separator}request {id}")?;
            separator = ", ";
        }
        if separator == ", " { f.write_str(")") } else { Ok(()) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = &self.0;
        f.debug_struct("Error")
            .field("operation", &details.operation)
            .field("kind", &details.kind)
            .field("sent", &details.sent)
            .field("retry", &details.retry)
            .field("status", &details.status)
            .field("codes", &details.codes)
            .field("oauth_error", &details.oauth_error)
            .field("request_id", &details.request_id)
            .field("reason", &details.reason)
            .field("source", &details.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
