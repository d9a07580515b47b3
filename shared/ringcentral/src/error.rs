//! What can go wrong in a call, told so that a program can decide: what kind of failure, whether the request
//! may have reached RingCentral, and when (if ever) to try again.
//!
//! An error never holds the bytes of a token, a secret, a code or an assertion, neither in `Display`, nor in
//! `Debug`, nor in its source chain.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::limiter::RateLimit;

/// The result of every call of the client.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call. Cheap to clone, since one failed refresh is the failure of all who waited for it.
#[derive(Clone)]
pub struct Error(Arc<Facts>);

/// All that is known about a failure.
#[derive(Default)]
pub(crate) struct Facts {
    pub operation: &'static str,
    pub kind: Kind,
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

/// The category of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Kind {
    /// The call was refused on this side: an address that may not get a token, a parameter out of bounds.
    /// Nothing was sent.
    #[default]
    Refused,
    /// No connection came about: name resolution, TCP, TLS. Nothing was sent.
    Connect,
    /// No complete answer within the time allowed.
    Timeout,
    /// The connection broke before the answer was complete.
    Interrupted,
    /// An answer came and cannot be understood: broken JSON, a redirect, HTML in the place of JSON.
    Unreadable,
    /// The token endpoint refused **this program**: wrong client id or secret, a grant type that the app may
    /// not use, a redirect URI that is not registered. No user can repair it, and no token is at fault.
    OurConfiguration,
    /// The token endpoint refused what the user's consent rests on: the refresh token, code, assertion or
    /// password.
    Grant(Grant),
    /// 401 on an API call: the access token is expired, replaced or malformed.
    AccessToken,
    /// 403: the app's scope, the user's permission, the plan or the feature of the number is lacking; see
    /// [`Error::codes`].
    Forbidden,
    /// 404, or 400 with `CMN-102`: the thing does not exist (or not for this user).
    NotFound,
    /// Another 4xx: the request is wrong as it stands.
    Invalid,
    /// 429, or the client's own limiter would not wait that long.
    RateLimited,
    /// 408 or 5xx.
    Unavailable,
    /// The token store failed. The tokens in use before stay in use.
    Store,
    /// The session has no tokens (any more): sign in again.
    SignedOut,
}

/// What exactly is wrong with a grant, as far as RingCentral tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Grant {
    /// It is too old: `OAU-210`, `OAU-108`, `expired_token`.
    Expired,
    /// It was revoked: `OAU-211`.
    Revoked,
    /// RingCentral does not know it: `OAU-213`, `OAU-106`. So it is after a rotation, too.
    Unknown,
    /// Another refusal (`invalid_grant`, `access_denied`): wrong password, other redirect URI, account or
    /// extension disabled; see [`Error::codes`].
    Denied,
}

/// Whether the request may have reached RingCentral, and so may have had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Sent {
    /// Surely not: the connection failed, or no byte of the body had been asked for yet.
    #[default]
    No,
    /// Perhaps: the connection broke or the time ran out after the request began to leave.
    Maybe,
    /// Surely: an answer came back, if only its status line.
    Yes,
}

/// When to try again. It speaks of the fault alone: whether a call may be repeated without doing its work
/// twice is told by [`Error::sent`] together with the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Retry {
    /// Not at all in this form.
    #[default]
    Never,
    /// Once, with another access token.
    WithNewToken,
    /// Not before this long from now. During a rate-limit penalty every call restarts the penalty.
    After(Duration),
    /// With increasing pauses: RingCentral suggests 2 s doubling up to 60 s for API calls, 10 s for the token
    /// endpoint (Developer Guide, "Errors").
    Backoff,
}

/// One error code of RingCentral's answer. The envelope has codes on two levels; both are collected.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ErrorCode {
    /// The code, such as `CMN-101`, `OAU-213`, or a category word such as `InvalidParameter`.
    pub code: String,
    /// RingCentral's text, in the user's language, for people. It may repeat phone numbers, so `Debug` and
    /// `Display` leave it out; secrets of the call are replaced by `…`. Decide by `code`, never by the text.
    pub message: String,
    /// The parameter at fault.
    pub parameter: Option<String>,
    /// The scope (`CMN-401`) or user permission (`CMN-408`) that is missing.
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
    /// What was being done, such as `refresh` or `send_sms`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The category.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether the request may have reached RingCentral.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.0.sent
    }

    /// True when the outcome is open: the request may have had its effect, and no answer tells. A send must
    /// not be repeated at once; a refresh is repeated with the **same** refresh token. It is so for lost and
    /// unreadable answers, for 408, and for 5xx; but not for 501, nor for a 503 that is RingCentral's own
    /// (with a code such as `MSG-290`, or with `Retry-After`), which means that nothing was done.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        match self.0.sent {
            Sent::No => false,
            Sent::Maybe => true,
            Sent::Yes => match self.0.status {
                Some(501) => false,
                Some(503) => self.0.codes.is_empty() && !matches!(self.0.retry, Retry::After(_)),
                Some(status) => matches!(status, 200..=399 | 408 | 500..),
                None => true,
            },
        }
    }

    /// When to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The HTTP status, if an answer came.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// RingCentral's codes of both levels of the envelope, most specific first, without repeats.
    #[must_use]
    pub fn codes(&self) -> &[ErrorCode] {
        &self.0.codes
    }

    /// True if one of the codes is `code`.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        self.0.codes.iter().any(|known| known.code == code)
    }

    /// The most specific code: the first of `errors[]`, else the top level's.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.codes.first().map(|code| code.code.as_str())
    }

    /// The `error` word of an OAuth answer (RFC 6749 section 5.2), such as `invalid_grant`.
    #[must_use]
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.oauth_error.as_deref()
    }

    /// RingCentral's id of the request (header `RCRequestId`): give it to their support.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The rate-limit headers of the answer. A 429 without them is another kind of limit than that of the
    /// call's group.
    #[must_use]
    pub fn rate_limit(&self) -> Option<&RateLimit> {
        self.0.rate_limit.as_ref()
    }

    /// A failure on this side, before anything was sent.
    pub(crate) fn refused(operation: &'static str, reason: &'static str) -> Self {
        Facts { operation, reason: Some(reason), ..Facts::default() }.into()
    }

    /// The session holds no tokens.
    pub(crate) fn signed_out(operation: &'static str) -> Self {
        Facts { operation, kind: Kind::SignedOut, ..Facts::default() }.into()
    }

    /// The token store failed.
    pub(crate) fn store(operation: &'static str, source: Box<dyn StdError + Send + Sync>) -> Self {
        Facts {
            operation,
            kind: Kind::Store,
            retry: Retry::Backoff,
            source: Some(source),
            ..Facts::default()
        }
        .into()
    }

    /// A call that was not made, because what had to come before it (a refresh) failed. Whatever became of
    /// that, the call itself surely did not reach RingCentral.
    pub(crate) fn before(operation: &'static str, cause: Self) -> Self {
        Facts {
            operation,
            kind: cause.kind(),
            sent: Sent::No,
            retry: cause.retry(),
            codes: cause.codes().to_vec(),
            oauth_error: cause.oauth_error().map(str::to_owned),
            reason: Some("no access token could be had for it"),
            source: Some(Box::new(cause)),
            ..Facts::default()
        }
        .into()
    }

    /// A call that was not made, because a rate limit or a penalty ends only after `wait`.
    #[must_use]
    pub fn limited(operation: &'static str, wait: Duration) -> Self {
        Facts { operation, kind: Kind::RateLimited, retry: Retry::After(wait), ..Facts::default() }.into()
    }
}

impl From<Facts> for Error {
    fn from(facts: Facts) -> Self {
        Self(Arc::new(facts))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.0;
        let what = match facts.kind {
            Kind::Refused => "was refused before it was sent",
            Kind::Connect => "could not connect",
            Kind::Timeout => "got no answer in time",
            Kind::Interrupted => "lost the connection",
            Kind::Unreadable => "got an answer that cannot be read",
            Kind::OurConfiguration => "was refused because of this app's configuration",
            Kind::Grant(Grant::Expired) => "was refused: the grant is expired",
            Kind::Grant(Grant::Revoked) => "was refused: the grant is revoked",
            Kind::Grant(Grant::Unknown) => "was refused: the grant is unknown",
            Kind::Grant(Grant::Denied) => "was refused: the grant is denied",
            Kind::AccessToken => "was refused: the access token is not valid",
            Kind::Forbidden => "is forbidden",
            Kind::NotFound => "found nothing",
            Kind::Invalid => "was refused as invalid",
            Kind::RateLimited => "is held back by a rate limit",
            Kind::Unavailable => "found RingCentral unavailable",
            Kind::Store => "failed in the token store",
            Kind::SignedOut => "needs a sign-in",
        };
        write!(f, "RingCentral {} {what}", facts.operation)?;
        if let Some(reason) = facts.reason {
            write!(f, ": {reason}")?;
        }
        let mut separator = " (";
        if let Some(status) = facts.status {
            write!(f, "{separator}HTTP {status}")?;
            separator = ", ";
        }
        if let Some(word) = &facts.oauth_error {
            write!(f, "{separator}{word}")?;
            separator = ", ";
        }
        for code in &facts.codes {
            write!(f, "{separator}{code:?}")?;
            separator = ", ";
        }
        if let Some(id) = &facts.request_id {
            write!(f, "{separator}request {id}")?;
            separator = ", ";
        }
        if separator == ", " { f.write_str(")") } else { Ok(()) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.0;
        f.debug_struct("Error")
            .field("operation", &facts.operation)
            .field("kind", &facts.kind)
            .field("sent", &facts.sent)
            .field("retry", &facts.retry)
            .field("status", &facts.status)
            .field("codes", &facts.codes)
            .field("oauth_error", &facts.oauth_error)
            .field("request_id", &facts.request_id)
            .field("reason", &facts.reason)
            .field("source", &facts.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
