//! What can go wrong, named by what the caller should do about it.
//!
//! `http.rs` alone turns these into statuses, codes and texts; nothing here knows HTTP. Adapter errors (store, vault,
//! RingCentral) become one of these where they leave their module, by name and never by a blanket conversion.

use std::time::Duration;

/// The cause behind an error, for the log.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A required field is absent or empty. `text` names what is required.
    #[error("a required field is missing")]
    MissingField {
        /// The compatible sentence of the contract.
        text: &'static str,
        /// JSON path of the first missing field.
        field: &'static str,
    },
    /// The body is not JSON, or not of the documented shape.
    #[error("the body does not have the documented shape: {text}")]
    InvalidBody {
        /// What is wrong, in a sentence that may be shown.
        text: String,
        /// JSON path, if one is to blame.
        field: Option<String>,
    },
    /// The body has a field that does not exist.
    #[error("unknown field")]
    UnknownField {
        /// Its JSON path.
        field: String,
    },
    /// A field has a value out of its bounds.
    #[error("invalid value: {text}")]
    InvalidField {
        /// What is wrong, in a sentence that may be shown.
        text: String,
        /// JSON path of the field.
        field: &'static str,
    },
    /// An element of a list has a value out of its bounds.
    #[error("invalid value: {text}")]
    InvalidItem {
        /// What is wrong, in a sentence that may be shown.
        text: String,
        /// JSON path of the element.
        field: String,
    },
    /// A query parameter is unknown or out of its bounds.
    #[error("invalid query parameter")]
    InvalidQuery {
        /// Name of the parameter.
        field: String,
    },
    /// A name is empty or longer than 100 characters.
    #[error("invalid name")]
    InvalidName,
    /// An id in the path is not of its documented form.
    #[error("invalid {kind}")]
    InvalidId {
        /// `appId`, `tenantId`, `extensionId`, `messageId`.
        kind: &'static str,
    },
    /// A webhook address that may not be used.
    #[error("invalid webhook address")]
    InvalidWebhookUrl,
    /// The app has no address for its events.
    #[error("no webhook address")]
    NoWebhookUrl,
    /// An app cannot be registered for a tenant that is absent or not active.
    #[error("tenant not found or not active")]
    TenantUnavailable,
    /// The body is too large.
    #[error("request body too large")]
    BodyTooLarge,
    /// No API key, or one that can't be one: wrong form or wrong checksum.
    #[error("missing or malformed API key")]
    MissingKey,
    /// A well-formed key that nobody has, or that was revoked or has expired.
    #[error("unknown API key")]
    UnknownKey,
    /// The key's tenant may not use the product at present.
    #[error("tenant suspended or inactive")]
    TenantSuspended,
    /// The key is good, but may not do this.
    #[error("insufficient permissions")]
    InsufficientScope,
    /// The key is good, but not from this address.
    #[error("address not allowed")]
    AddressNotAllowed,
    /// The tenant is being deleted and can't be changed any more.
    #[error("the tenant is being deleted")]
    TenantDeleting,
    /// The tenant has as many apps as one may have.
    #[error("too many apps")]
    TooManyApps,
    /// The app has as many keys as one may have.
    #[error("too many keys")]
    TooManyKeys,
    /// Absent, or another tenant's: the same answer.
    #[error("not found")]
    NotFound,
    /// Nothing is connected that could be used for this.
    #[error("RingCentral is not connected")]
    NotConnected,
    /// A number that is not in E.164 form.
    #[error("invalid phone number")]
    InvalidPhoneNumber {
        /// JSON path of the field.
        field: &'static str,
    },
    /// The sender's number is none of the tenant's RingCentral accounts.
    #[error("unknown sender")]
    SenderUnknown {
        /// The number, in E.164 form.
        number: String,
    },
    /// The extension of the sender's number is not connected.
    #[error("the sender is not connected")]
    SenderNotConnected,
    /// A request with this idempotency key is being carried out.
    #[error("a request with this key is in progress")]
    IdempotencyInProgress,
    /// The idempotency key was used with another request.
    #[error("the key was used with another request")]
    IdempotencyReused,
    /// The message has come too far, or not far enough, for this.
    #[error("the message is {status}")]
    MessageState {
        /// How far it has come.
        status: &'static str,
    },
    /// Too many requests of this kind.
    #[error("too many requests")]
    RateLimited {
        /// How many are allowed in the window.
        limit: u32,
        /// When the next one is allowed.
        retry_after: Duration,
    },
    /// Something that we need does not answer at present; nothing was changed, or what was begun will be finished.
    #[error("temporarily unavailable: {what}")]
    Unavailable {
        /// Which part, for the log.
        what: &'static str,
        /// When it makes sense to try again.
        retry_after: Duration,
        /// The cause.
        source: Option<Source>,
    },
    /// A mistake of ours or in our data. The answer has a fixed text; the log has the chain.
    #[error("internal error: {what}")]
    Internal {
        /// Where, for the log.
        what: &'static str,
        /// The cause.
        source: Option<Source>,
    },
}

impl Error {
    /// A part that does not answer at present; worth another try after a few seconds.
    pub fn unavailable(what: &'static str, source: impl Into<Source>) -> Self {
        Self::Unavailable { what, retry_after: Duration::from_secs(5), source: Some(source.into()) }
    }

    /// A mistake of ours or in our data.
    pub fn internal(what: &'static str, source: impl Into<Source>) -> Self {
        Self::Internal { what, source: Some(source.into()) }
    }

    /// True for a refusal of a send that could have been accepted at another time.
    pub fn is_of_the_moment(&self) -> bool {
        matches!(self, Self::InvalidField { .. } | Self::SenderUnknown { .. } | Self::SenderNotConnected)
    }

    /// The whole chain of causes in one line, for the log. Never contains secrets: no adapter puts one in an error.
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
