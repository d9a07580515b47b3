//! The error type of the services, with one variant for each way a caller can react.
//!
//! Only `http/catalogue.rs` maps variants to statuses, codes and texts. The errors of adapters (store, vault, RingCentral)
//! are converted variant by variant where they leave their module.

use std::time::Duration;

use jiff::Timestamp;

/// The underlying error, for the log.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A required field is absent or empty.
    #[error("a required field is missing")]
    MissingField {
        /// The compatible text of the API.
        text: &'static str,
        /// JSON path of the first missing field.
        field: &'static str,
    },
    /// The body is not JSON, or not of the documented shape.
    #[error("the body does not have the documented shape: {text}")]
    InvalidBody {
        /// The text of the response.
        text: String,
        /// JSON path of the invalid value, if any.
        field: Option<String>,
    },
    #[error("unknown field")]
    UnknownField {
        /// JSON path.
        field: String,
        /// JSON path of a known field with a similar name.
        similar: Option<String>,
    },
    #[error("invalid value: {text}")]
    InvalidField {
        /// The text of the response.
        text: String,
        /// JSON path of the field.
        field: &'static str,
    },
    /// An element of a list is invalid.
    #[error("invalid value: {text}")]
    InvalidItem {
        /// The text of the response.
        text: String,
        /// JSON path of the element.
        field: String,
    },
    /// A query parameter is unknown or invalid.
    #[error("invalid query parameter")]
    InvalidQuery {
        /// Name of the parameter.
        field: String,
    },
    #[error("invalid name")]
    InvalidName,
    /// An id is malformed.
    #[error("invalid {kind}")]
    InvalidId {
        /// `appId`, `tenantId`, `extensionId`, `messageId`.
        kind: &'static str,
    },
    #[error("invalid webhook URL")]
    InvalidWebhookUrl,
    #[error("no webhook URL")]
    NoWebhookUrl,
    /// An app can't be registered for this tenant.
    #[error("tenant not found or not active")]
    TenantUnavailable,
    #[error("request body too large")]
    BodyTooLarge,
    /// No API key, or one of a wrong form or with a wrong checksum.
    #[error("missing or malformed API key")]
    MissingKey,
    /// An `Authorization` header of another form than `Bearer KEY`.
    #[error("malformed Authorization header")]
    MalformedAuthorization {
        /// The text of the response.
        text: &'static str,
    },
    /// A well-formed key that does not exist, was revoked or has expired.
    #[error("unknown API key")]
    UnknownKey,
    #[error("tenant suspended or inactive")]
    TenantSuspended,
    /// The key is valid but lacks the scope.
    #[error("insufficient permissions")]
    InsufficientScope,
    /// The key is valid, and a key was requested that can do more.
    #[error("more permissions requested than the key has")]
    GrantExceeded {
        /// The text of the response.
        text: String,
        /// JSON path of the field.
        field: &'static str,
    },
    /// The key is valid but not allowed from this source address.
    #[error("address not allowed")]
    AddressNotAllowed,
    #[error("the tenant is being deleted")]
    TenantDeleting,
    #[error("too many apps")]
    TooManyApps,
    #[error("too many keys")]
    TooManyKeys,
    #[error("too many replaced webhook secrets still sign")]
    WebhookSecretLimit {
        /// When one of them ends.
        until: Timestamp,
    },
    /// The object does not exist or belongs to another tenant; callers can't distinguish the two.
    #[error("not found")]
    NotFound,
    #[error("no route has this path")]
    UnknownRoute {
        /// The text of the response.
        text: String,
    },
    #[error("the route does not have this method")]
    MethodNotAllowed {
        /// The methods of the route, for the header `Allow`.
        allow: String,
    },
    /// The tenant has no connection.
    #[error("RingCentral is not connected")]
    NotConnected,
    #[error("invalid phone number")]
    InvalidPhoneNumber {
        /// JSON path of the field.
        field: &'static str,
    },
    /// The number belongs to none of the tenant's RingCentral accounts.
    #[error("unknown sender")]
    SenderUnknown {
        /// In E.164 form.
        number: String,
    },
    #[error("the sender is not connected")]
    SenderNotConnected,
    #[error("the recipient has opted out")]
    RecipientOptedOut,
    #[error("the sender cannot send MMS")]
    SenderCannotMms,
    #[error("invalid media URL")]
    InvalidMediaUrl,
    /// The id of an upload is malformed or unknown, has expired, or belongs to another tenant.
    #[error("unknown media id")]
    UnknownMedia,
    #[error("unsupported media type")]
    MediaTypeUnsupported,
    #[error("too many bytes of media")]
    MediaTooLarge {
        /// JSON path of the field.
        field: &'static str,
    },
    /// The file is not uploaded or copied yet.
    #[error("media is not available yet")]
    MediaPending,
    #[error("media is no longer available")]
    MediaGone,
    #[error("a request with this key is in progress")]
    IdempotencyInProgress,
    #[error("the key was used with another request")]
    IdempotencyReused,
    /// The route does not support idempotency keys.
    #[error("idempotency keys are not supported")]
    IdempotencyNotSupported,
    /// The status of the message does not allow the operation.
    #[error("the message is {status}")]
    MessageState { status: &'static str },
    /// A quarantined record that was processed again and still cannot be read.
    #[error("still unreadable: {reason}")]
    StillUnreadable { reason: String },
    #[error("too many requests")]
    RateLimited {
        /// Requests allowed in the window.
        limit: u32,
        /// Until the next request is allowed.
        retry_after: Duration,
    },
    /// A dependency is unavailable. Nothing was changed, or the started work will be completed.
    #[error("temporarily unavailable: {what}")]
    Unavailable {
        /// The dependency, for the log.
        what: &'static str,
        retry_after: Duration,
        source: Option<Source>,
    },
    /// A record of this stack cannot be read. Only this record is affected.
    #[error("an unreadable record")]
    Unreadable(#[source] Source),
    /// A bug. Only the log shows the details.
    #[error("internal error: {what}")]
    Internal {
        /// What failed, for the log.
        what: &'static str,
        source: Option<Source>,
    },
}

impl Error {
    /// To be retried after a few seconds.
    pub fn unavailable(what: &'static str, source: impl Into<Source>) -> Self {
        Self::Unavailable { what, retry_after: Duration::from_secs(5), source: Some(source.into()) }
    }

    pub fn internal(what: &'static str, source: impl Into<Source>) -> Self {
        Self::Internal { what, source: Some(source.into()) }
    }

    /// True for a rejected send request that may be accepted later.
    pub fn may_succeed_later(&self) -> bool {
        matches!(
            self,
            Self::InvalidField { .. }
                | Self::SenderUnknown { .. }
                | Self::SenderNotConnected
                | Self::SenderCannotMms
                | Self::UnknownMedia
                | Self::MediaPending
        )
    }

    /// The error and its sources in one line, for the log. It contains no secrets, because no adapter puts one in an error.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}
