//! The catalogue of errors: status, code, text, field, and what the client should do. `docs/errors.md` is generated from it.

mod page;

use std::collections::{BTreeMap, BTreeSet};

use lambda_http::http::StatusCode;

use crate::connect::FlowRejection;
use crate::error::Error;
use crate::http::route::Access;
use crate::model::failure;

pub use page::as_markdown;

/// The response to an error.
#[derive(Debug)]
pub struct ErrorEntry {
    pub status: StatusCode,
    /// Stable; clients may depend on it.
    pub code: &'static str,
    /// The compatible text.
    pub text: String,
    /// JSON path of the invalid field, or name of the invalid parameter.
    pub field: Option<String>,
    /// What the caller should do.
    pub advice: &'static str,
}

impl ErrorEntry {
    fn new(status: StatusCode, code: &'static str, text: &str, advice: &'static str) -> Self {
        Self { status, code, text: text.to_owned(), field: None, advice }
    }

    fn at(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }
}

/// The only place that chooses status, code, text and advice of an error.
#[expect(clippy::too_many_lines, reason = "one arm for each error")]
pub fn entry(error: &Error) -> ErrorEntry {
    use StatusCode as S;
    let new = ErrorEntry::new;
    match error {
        Error::MissingField { text, field } => {
            new(S::BAD_REQUEST, "missing_field", text, "Send the field.").at(*field)
        }
        Error::InvalidBody { text, field } => ErrorEntry {
            field: field.clone(),
            ..new(S::BAD_REQUEST, "invalid_body", text, "Send JSON of the documented shape.")
        },
        Error::UnknownField { field, similar } => new(
            S::BAD_REQUEST,
            "unknown_field",
            &match similar {
                None => "Unknown field".to_owned(),
                Some(similar) => format!("Unknown field; did you mean `{similar}`?"),
            },
            "Remove the field; check its name for a typo.",
        )
        .at(field),
        Error::InvalidField { text, field } => {
            new(S::BAD_REQUEST, "invalid_field", text, "Send a value within the documented limits.")
                .at(*field)
        }
        Error::InvalidItem { text, field } => {
            new(S::BAD_REQUEST, "invalid_field", text, "Send a value within the documented limits.").at(field)
        }
        Error::InvalidQuery { field } => new(
            S::BAD_REQUEST,
            "invalid_query",
            "Invalid query parameter",
            "Remove the parameter or send a documented value; use a cursor exactly as the API returned it.",
        )
        .at(field),
        Error::InvalidName => new(
            S::BAD_REQUEST,
            "invalid_name",
            "name must be 1-100 characters",
            "Send a visible name without control characters.",
        )
        .at("name"),
        Error::InvalidId { kind } => new(
            S::BAD_REQUEST,
            "invalid_id",
            &format!("Invalid {kind} format"),
            "Use the id exactly as the API returned it.",
        )
        .at(*kind),
        Error::InvalidWebhookUrl => new(
            S::BAD_REQUEST,
            "invalid_webhook_url",
            "Invalid webhookUrl: must be https:// in production, max 2000 chars",
            "Send an https URL with a host name (no IP address), without user name and password.",
        )
        .at("webhookUrl"),
        Error::NoWebhookUrl => new(
            S::BAD_REQUEST,
            "no_webhook_url",
            "App has no webhookUrl configured",
            "Set the webhookUrl of the app first.",
        ),
        Error::TenantUnavailable => new(
            S::BAD_REQUEST,
            "tenant_unavailable",
            "Tenant not found or not active",
            "Check the tenantId. A suspended tenant can't get apps until it is resumed.",
        )
        .at("tenantId"),
        Error::BodyTooLarge => {
            new(S::PAYLOAD_TOO_LARGE, "body_too_large", "Request body too large", "Send at most 100 KB, to `PUT /v1/consents` at most 512 KB.")
        }
        Error::MissingKey => new(
            S::UNAUTHORIZED,
            "unauthorized",
            "Missing or invalid API key",
            "Send the key as `Authorization: Bearer KEY` or `X-API-Key: KEY`; check that it was copied completely.",
        ),
        Error::MalformedAuthorization { text } => new(
            S::UNAUTHORIZED,
            "unauthorized",
            text,
            "Send the key as `Authorization: Bearer KEY` or `X-API-Key: KEY`; check that it was copied completely.",
        ),
        Error::UnknownKey => new(
            S::UNAUTHORIZED,
            "unauthorized",
            "Invalid API key",
            "The key was revoked, has expired, or never existed. Use another key.",
        ),
        Error::TenantSuspended => new(
            S::FORBIDDEN,
            "tenant_suspended",
            "Tenant suspended or inactive",
            "Ask the operator to resume the tenant.",
        ),
        Error::InsufficientScope => new(
            S::FORBIDDEN,
            "insufficient_scope",
            "Insufficient permissions",
            "Use a key with a scope that this route requires.",
        ),
        Error::GrantExceeded { text, field } => new(
            S::FORBIDDEN,
            "insufficient_scope",
            text,
            "Request no more scopes, addresses and time than your key has, or use a key that has them.",
        )
        .at(*field),
        Error::AddressNotAllowed => new(
            S::FORBIDDEN,
            "address_not_allowed",
            "API key not allowed from this address",
            "Send the request from one of the key's allowedIps, or create a key that allows this address.",
        ),
        Error::NotFound => new(
            S::NOT_FOUND,
            "not_found",
            "Not found",
            "Check the id. Resources of other tenants are reported as not found.",
        ),
        Error::UnknownRoute { text } => {
            new(S::NOT_FOUND, "not_found", text, "Check method and path in the API reference.")
        }
        Error::MethodNotAllowed { .. } => new(
            S::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method not allowed",
            "Use one of the methods in the header `Allow`.",
        ),
        Error::NotConnected => new(
            S::CONFLICT,
            "sender_not_connected",
            "RingCentral not connected for this tenant",
            "Connect RingCentral first, with a connect link.",
        ),
        Error::TenantDeleting => new(
            S::CONFLICT,
            "tenant_deleting",
            "Tenant is being deleted",
            "None: a deletion can't be undone.",
        ),
        Error::TooManyApps => new(
            S::CONFLICT,
            "too_many_apps",
            "Tenant has too many apps",
            "Delete an app, or a Power Automate subscription, that is no longer used, or ask the operator for a higher `limits.apps`.",
        ),
        Error::TooManyKeys => new(
            S::CONFLICT,
            "too_many_keys",
            "App has too many keys",
            "Revoke a key of the app that is no longer used.",
        ),
        Error::WebhookSecretLimit { until } => new(
            S::CONFLICT,
            "webhook_secret_limit",
            &format!("Webhook secret rotated too often; try again after {until:.3}"),
            "Keep using the current secret. A replaced secret signs for 24 hours, and four can do so at a time.",
        ),
        Error::InvalidPhoneNumber { field } => new(
            S::BAD_REQUEST,
            "invalid_phone_number",
            "to and from must be valid E.164 phone numbers",
            "Send the number as `+`, country code and number, without spaces.",
        )
        .at(*field),
        Error::SenderUnknown { number } => new(
            S::BAD_REQUEST,
            "sender_unknown",
            &format!("Phone number {number} is not registered in this RingCentral account"),
            "Send from one of the numbers of `GET /v1/rc/numbers`; refresh them if the number is new.",
        )
        .at("from"),
        Error::SenderNotConnected => new(
            S::CONFLICT,
            "sender_not_connected",
            "RingCentral not connected for this sender",
            "Connect the RingCentral user who has this number, with a connect link.",
        )
        .at("from"),
        Error::RecipientOptedOut => new(
            S::CONFLICT,
            failure::RECIPIENT_OPTED_OUT,
            "Recipient has opted out",
            "Send nothing to this recipient until they opt in again, for example with START.",
        )
        .at("to"),
        Error::SenderCannotMms => new(
            S::CONFLICT,
            "sender_cannot_mms",
            "This number cannot send MMS",
            "Send from a number whose `features.mms` is true in `GET /v1/rc/numbers`, or send without media.",
        )
        .at("from"),
        Error::InvalidMediaUrl => new(
            S::BAD_REQUEST,
            "invalid_media_url",
            "mediaUrls must be 1-10 https URLs",
            "Send https URLs of at most 2,048 characters with a host name (no IP address), without user name and password.",
        )
        .at("mediaUrls"),
        Error::UnknownMedia => new(
            S::BAD_REQUEST,
            "invalid_media_id",
            "Unknown mediaId",
            "Use an id that `POST /v1/media` returned within the last 24 hours.",
        )
        .at("mediaIds"),
        Error::MediaTypeUnsupported => new(
            S::BAD_REQUEST,
            failure::MEDIA_TYPE_UNSUPPORTED,
            "Unsupported media type",
            "Use a media type that RingCentral accepts: docs/media.md lists them.",
        )
        .at("contentType"),
        Error::MediaTooLarge { field } => new(
            S::BAD_REQUEST,
            failure::MEDIA_TOO_LARGE,
            "Media must be at most 1500000 bytes in total",
            "Reduce the files, or send them in several messages.",
        )
        .at(*field),
        Error::MediaPending => new(
            S::CONFLICT,
            "media_pending",
            "Media is not available yet",
            "Upload the file first. A file of a message is copied soon: repeat the request after the seconds of `Retry-After`.",
        ),
        Error::MediaGone => new(
            S::GONE,
            "media_gone",
            "Media is no longer available",
            "The file has expired or could not be copied. It cannot be downloaded any more.",
        ),
        Error::IdempotencyInProgress => new(
            S::CONFLICT,
            "idempotency_in_progress",
            "A request with this Idempotency-Key is in progress",
            "Repeat the request after the seconds of `Retry-After`.",
        ),
        Error::IdempotencyNotSupported => new(
            S::BAD_REQUEST,
            "idempotency_not_supported",
            "Idempotency-Key is not supported here",
            "Send the request without the header. Before repeating it, check whether the first request took effect.",
        )
        .at("Idempotency-Key"),
        Error::IdempotencyReused => new(
            S::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "Idempotency-Key was used with another request",
            "Use a new key for each new message; repeat a request unchanged.",
        ),
        Error::MessageState { status } => new(
            S::CONFLICT,
            "message_state",
            &format!("Message is {status}"),
            "Get the message: only queued and scheduled messages can be canceled, only unknown ones resolved.",
        ),
        Error::StillUnreadable { reason } => new(
            S::CONFLICT,
            "record_unreadable",
            &format!("The record still cannot be read: {reason}"),
            "Deploy a version that can read it and retry, or delete it.",
        ),
        Error::RateLimited { .. } => new(
            S::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many requests",
            "Wait for the seconds of `Retry-After`; watch `RateLimit-Remaining` to avoid this error.",
        ),
        Error::Unavailable { .. } => new(
            S::SERVICE_UNAVAILABLE,
            "unavailable",
            "Temporarily unavailable",
            "Repeat the request after the seconds of `Retry-After`.",
        ),
        Error::Unreadable(_) => new(
            S::INTERNAL_SERVER_ERROR,
            "internal",
            "The stored record cannot be read",
            "Do not repeat the request. An alarm has notified the operator, who can repair the record.",
        ),
        Error::Internal { .. } => new(
            S::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "Report the requestId to the operator. Repeating the request may or may not help.",
        ),
    }
}

/// The response to a refusal in the OAuth flow, as JSON or as a page.
#[derive(Debug, Clone, Copy)]
pub struct RefusalEntry {
    pub status: StatusCode,
    /// Stable; clients may depend on it.
    pub code: &'static str,
    /// The compatible text.
    pub text: &'static str,
    /// What the person should do.
    pub advice: &'static str,
}

pub fn refusal_entry(refusal: &FlowRejection) -> RefusalEntry {
    let new_link = "Ask for a new link.";
    let again = "Open the link again and press the button.";
    let (status, code, text, advice) = match refusal {
        FlowRejection::LinkMissing => {
            (400, "missing_field", "Missing token parameter", "Open the link exactly as it was sent.")
        }
        FlowRejection::LinkUnknown => (404, "link_unknown", "Unknown connect link", new_link),
        FlowRejection::LinkExpired => (410, "link_expired", "Connect link expired", new_link),
        FlowRejection::LinkUsed => (
            410,
            "link_used",
            "Connect link already used",
            "If it was not you who used it, ask for a new link.",
        ),
        FlowRejection::LinkBoundElsewhere => (
            409,
            "link_used",
            "Connect link already used in another browser",
            "Continue in that browser, or ask for a new link.",
        ),
        FlowRejection::LinkExhausted => (410, "link_exhausted", "Connect link tried too often", new_link),
        FlowRejection::TenantUnavailable => {
            (403, "tenant_suspended", "Tenant suspended or inactive", "Ask the person who sent the link.")
        }
        FlowRejection::CrossSite => (403, "cross_site", "This form was not sent from its own page", again),
        FlowRejection::CallbackIncomplete => (400, "missing_field", "Missing code or state parameter", again),
        FlowRejection::FlowUnknown => (400, "invalid_state", "Unknown or expired state", again),
        FlowRejection::AlreadyHandled => {
            (409, "already_handled", "This sign-in was already handled", "Nothing.")
        }
        FlowRejection::Denied => (
            403,
            "access_denied",
            "Access was denied at RingCentral",
            "Open the link again if it was a mistake.",
        ),
        FlowRejection::ProviderError => (502, "provider_error", "RingCentral reported an error", again),
        FlowRejection::CodeRejected => (400, "code_refused", "RingCentral refused the code", again),
        FlowRejection::ExchangeFailed => {
            (502, "exchange_failed", "RingCentral did not answer properly", again)
        }
        FlowRejection::Busy(_) => {
            (503, "unavailable", "Temporarily unavailable", "Wait a moment, then press the button again.")
        }
        FlowRejection::Misconfigured => (
            502,
            "provider_misconfigured",
            "The RingCentral app is not set up correctly",
            "Only the operator can fix this; an alarm has notified them.",
        ),
        FlowRejection::ConnectedElsewhere => (
            409,
            "connected_elsewhere",
            "This RingCentral extension is connected to another customer",
            "Disconnect it there first.",
        ),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    RefusalEntry { status, code, text, advice }
}

/// The statuses of an error code.
pub fn statuses(code: &str) -> Vec<u16> {
    let errors = examples().into_iter().map(|error| entry(&error));
    errors.filter(|entry| entry.code == code).map(|entry| entry.status.as_u16()).collect()
}

/// The errors of a route: status and code, with the advice.
pub fn errors_of(access: Access, own: &[&'static str]) -> BTreeMap<(u16, &'static str), &'static str> {
    let may = |code: &str| access.codes().iter().chain(own).any(|known| *known == code);
    let errors = examples().into_iter().map(|error| entry(&error));
    let errors = errors.map(|entry| (entry.status.as_u16(), entry.code, entry.advice));
    let refusals = REFUSALS.iter().map(refusal_entry);
    let refusals = refusals.map(|entry| (entry.status.as_u16(), entry.code, entry.advice));
    // A code that both have is described as a refusal for browsers.
    let all: Vec<_> = if access == Access::Browser {
        refusals.chain(errors.filter(|(_, code, _)| access.codes().contains(code))).collect()
    } else {
        errors.collect()
    };
    let mut errors = BTreeMap::new();
    for (status, code, advice) in all.into_iter().filter(|(_, code, _)| may(code)) {
        errors.entry((status, code)).or_insert(advice);
    }
    errors
}

/// One example of each error, for the table.
fn examples() -> Vec<Error> {
    use std::time::Duration;
    let wait = Duration::from_secs(1);
    let mut all = vec![
        Error::MissingField { text: "tenantId is required when registering new apps", field: "tenantId" },
        Error::MissingField { text: "scopes is required", field: "scopes" },
        Error::InvalidBody { text: "The body must be a JSON object".into(), field: None },
        Error::InvalidBody { text: "name must be a string".into(), field: Some("name".into()) },
        Error::UnknownField { field: "limits.requestsPerHour".into(), similar: None },
        Error::InvalidField { text: "expiresIn must be 60-604800 seconds".into(), field: "expiresIn" },
        Error::InvalidItem {
            text: "allowedIps[1] must be an IP address or a CIDR range".into(),
            field: "allowedIps[1]".into(),
        },
        Error::InvalidQuery { field: "limit".into() },
        Error::InvalidName,
        Error::InvalidWebhookUrl,
        Error::NoWebhookUrl,
        Error::TenantUnavailable,
        Error::BodyTooLarge,
        Error::MissingKey,
        Error::MalformedAuthorization { text: "Missing or invalid API key" },
        Error::UnknownKey,
        Error::TenantSuspended,
        Error::InsufficientScope,
        Error::GrantExceeded { text: "Insufficient permissions".into(), field: "scopes" },
        Error::AddressNotAllowed,
        Error::NotFound,
        Error::NotConnected,
        Error::TenantDeleting,
        Error::TooManyApps,
        Error::TooManyKeys,
        Error::WebhookSecretLimit { until: jiff::Timestamp::UNIX_EPOCH },
        Error::UnknownRoute { text: "Not found".into() },
        Error::MethodNotAllowed { allow: "GET".into() },
        Error::MissingField { text: "to, from, and body are required", field: "body" },
        Error::InvalidBody { text: "body must be 1-1600 characters".into(), field: Some("body".into()) },
        Error::InvalidPhoneNumber { field: "to" },
        Error::SenderUnknown { number: "+14155550199".into() },
        Error::SenderNotConnected,
        Error::RecipientOptedOut,
        Error::SenderCannotMms,
        Error::InvalidMediaUrl,
        Error::UnknownMedia,
        Error::MediaTypeUnsupported,
        Error::MediaTooLarge { field: "size" },
        Error::MediaPending,
        Error::MediaGone,
        Error::IdempotencyInProgress,
        Error::IdempotencyReused,
        Error::IdempotencyNotSupported,
        Error::MessageState { status: "sent" },
        Error::StillUnreadable { reason: "the field id cannot be read".to_owned() },
        Error::RateLimited { limit: 100, retry_after: wait },
        Error::Unavailable { what: "", retry_after: wait, source: None },
        Error::Internal { what: "", source: None },
    ];
    for kind in
        ["messageId", "appId", "tenantId", "keyId", "extensionId", "deliveryId", "recordId", "mediaId"]
    {
        all.push(Error::InvalidId { kind });
    }
    all
}

const REFUSALS: [FlowRejection; 18] = [
    FlowRejection::LinkMissing,
    FlowRejection::LinkUnknown,
    FlowRejection::LinkExpired,
    FlowRejection::LinkUsed,
    FlowRejection::LinkBoundElsewhere,
    FlowRejection::LinkExhausted,
    FlowRejection::TenantUnavailable,
    FlowRejection::CrossSite,
    FlowRejection::CallbackIncomplete,
    FlowRejection::FlowUnknown,
    FlowRejection::AlreadyHandled,
    FlowRejection::Denied,
    FlowRejection::ProviderError,
    FlowRejection::CodeRejected,
    FlowRejection::ExchangeFailed,
    FlowRejection::Busy(std::time::Duration::from_secs(10)),
    FlowRejection::Misconfigured,
    FlowRejection::ConnectedElsewhere,
];

/// The codes of all errors.
pub fn codes() -> BTreeSet<&'static str> {
    let errors = examples().into_iter().map(|error| entry(&error).code);
    errors.chain(REFUSALS.iter().map(|refusal| refusal_entry(refusal).code)).collect()
}
