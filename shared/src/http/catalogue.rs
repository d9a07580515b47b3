//! The catalogue of errors: every one with its status, code, text, field, and what to do about it.
//!
//! `docs/errors.md` is written from here, and a test compares the two.

use lambda_http::http::StatusCode;

use crate::connect::Refusal;
use crate::error::Error;

/// An error as it is answered.
#[derive(Debug)]
pub struct Described {
    /// The status.
    pub status: StatusCode,
    /// The stable code, for programs.
    pub code: &'static str,
    /// The compatible text.
    pub text: String,
    /// JSON path, or name of the parameter, that is to blame.
    pub field: Option<String>,
    /// What the caller should do.
    pub advice: &'static str,
}

/// Everything that may be answered instead of success.
pub fn describe(error: &Error) -> Described {
    let (code, advice) = code_and_advice(error);
    let (text, field) = text_and_field(error);
    Described { status: status(error), code, text, field, advice }
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::MissingField { .. }
        | Error::InvalidBody { .. }
        | Error::UnknownField { .. }
        | Error::InvalidField { .. }
        | Error::InvalidItem { .. }
        | Error::InvalidQuery { .. }
        | Error::InvalidName
        | Error::InvalidId { .. }
        | Error::InvalidWebhookUrl
        | Error::TenantUnavailable => StatusCode::BAD_REQUEST,
        Error::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Error::MissingKey | Error::UnknownKey => StatusCode::UNAUTHORIZED,
        Error::TenantSuspended | Error::InsufficientScope | Error::AddressNotAllowed => StatusCode::FORBIDDEN,
        Error::NotFound => StatusCode::NOT_FOUND,
        Error::NotConnected | Error::TenantDeleting | Error::TooManyKeys => StatusCode::CONFLICT,
        Error::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn text_and_field(error: &Error) -> (String, Option<String>) {
    let at = |text: &str, field: &str| (text.to_owned(), Some(field.to_owned()));
    let plain = |text: &str| (text.to_owned(), None);
    match error {
        Error::MissingField { text, field } => at(text, field),
        Error::InvalidBody { text, field } => (text.clone(), field.clone()),
        Error::UnknownField { field } => at("Unknown field", field),
        Error::InvalidField { text, field } => at(text, field),
        Error::InvalidItem { text, field } => at(text, field),
        Error::InvalidQuery { field } => at("Invalid query parameter", field),
        Error::InvalidName => at("name must be 1-100 characters", "name"),
        Error::InvalidId { kind } => at(&format!("Invalid {kind} format"), kind),
        Error::InvalidWebhookUrl => {
            at("Invalid webhookUrl: must be https:// in production, max 2000 chars", "webhookUrl")
        }
        Error::TenantUnavailable => at("Tenant not found or not active", "tenantId"),
        Error::BodyTooLarge => plain("Request body too large"),
        Error::MissingKey => plain("Missing or invalid API key"),
        Error::UnknownKey => plain("Invalid API key"),
        Error::TenantSuspended => plain("Tenant suspended or inactive"),
        Error::InsufficientScope => plain("Insufficient permissions"),
        Error::AddressNotAllowed => plain("API key not allowed from this address"),
        Error::NotFound => plain("Not found"),
        Error::NotConnected => plain("RingCentral not connected for this tenant"),
        Error::TenantDeleting => plain("Tenant is being deleted"),
        Error::TooManyKeys => plain("App has too many keys"),
        Error::RateLimited { .. } => plain("Too many requests"),
        Error::Unavailable { .. } => plain("Temporarily unavailable"),
        Error::Internal { .. } => plain("Internal error"),
    }
}

fn code_and_advice(error: &Error) -> (&'static str, &'static str) {
    match error {
        Error::MissingField { .. } => ("missing_field", "Send the field that `field` names."),
        Error::InvalidBody { .. } => {
            ("invalid_body", "Send JSON of the documented shape; `field` is the path of the first value that is not.")
        }
        Error::UnknownField { .. } => {
            ("unknown_field", "Leave out the field that `field` names, or correct its spelling.")
        }
        Error::InvalidField { .. } | Error::InvalidItem { .. } => {
            ("invalid_field", "Send a value within the bounds that the text tells.")
        }
        Error::InvalidQuery { .. } => (
            "invalid_query",
            "Correct or leave out the parameter that `field` names. Take a cursor as it was given, for the same list.",
        ),
        Error::InvalidName => ("invalid_name", "Send a name of 1 to 100 characters without control characters."),
        Error::InvalidId { .. } => {
            ("invalid_id", "The id in the path has not the form of one; take it as it was given.")
        }
        Error::InvalidWebhookUrl => {
            ("invalid_webhook_url", "Send an https address with a host name, without user and password.")
        }
        Error::TenantUnavailable => {
            ("tenant_unavailable", "Check the tenantId; a suspended tenant gets no apps until it is resumed.")
        }
        Error::BodyTooLarge => ("body_too_large", "Send at most 100 KB."),
        Error::MissingKey => (
            "unauthorized",
            "Send the key as `Authorization: Bearer KEY` or `X-API-Key: KEY`; check that it was copied whole.",
        ),
        Error::UnknownKey => {
            ("unauthorized", "The key was revoked, has expired, or never existed; get another one.")
        }
        Error::TenantSuspended => ("tenant_suspended", "Ask the operator to resume the tenant."),
        Error::InsufficientScope => ("insufficient_scope", "Use a key with the scope that this route needs."),
        Error::AddressNotAllowed => {
            ("address_not_allowed", "Call from one of the key's allowedIps, or make a key that allows this address.")
        }
        Error::NotFound => ("not_found", "Check the id; what belongs to another tenant is as absent as what never was."),
        Error::NotConnected => ("sender_not_connected", "Connect RingCentral first, with a connect link."),
        Error::TenantDeleting => ("tenant_deleting", "Nothing; a deletion can't be taken back."),
        Error::TooManyKeys => ("too_many_keys", "Revoke a key of the app that is no longer used."),
        Error::RateLimited { .. } => {
            ("rate_limited", "Wait for the seconds of `Retry-After`; `RateLimit-Remaining` tells before it happens.")
        }
        Error::Unavailable { .. } => ("unavailable", "Repeat the request after the seconds of `Retry-After`."),
        Error::Internal { .. } => {
            ("internal", "A mistake of ours: tell the operator the requestId. Repeating may or may not help.")
        }
    }
}

/// A refusal of a browser on its way, as it is told to a program or on a page.
#[derive(Debug, Clone, Copy)]
pub struct DescribedRefusal {
    /// The status.
    pub status: StatusCode,
    /// The stable code.
    pub code: &'static str,
    /// The compatible text.
    pub text: &'static str,
    /// What the person should do.
    pub advice: &'static str,
}

/// Everything that may be answered to a browser instead of success.
pub fn describe_refusal(refusal: &Refusal) -> DescribedRefusal {
    let new_link = "Ask for a new link.";
    let again = "Open the link again and press the button.";
    let (status, code, text, advice) = match refusal {
        Refusal::LinkMissing => {
            (400, "missing_field", "Missing token parameter", "Open the link exactly as it was sent.")
        }
        Refusal::LinkUnknown => (404, "link_unknown", "Unknown connect link", new_link),
        Refusal::LinkExpired => (410, "link_expired", "Connect link expired", new_link),
        Refusal::LinkUsed => (410, "link_used", "Connect link already used", "Nothing, if you used it; else ask for a new one."),
        Refusal::LinkTaken => {
            (409, "link_used", "Connect link already used in another browser", "Go on in that browser, or ask for a new link.")
        }
        Refusal::TenantUnavailable => {
            (403, "tenant_suspended", "Tenant suspended or inactive", "Ask whoever sent the link.")
        }
        Refusal::CrossSite => (403, "cross_site", "This form was not sent from its own page", again),
        Refusal::CallbackIncomplete => (400, "missing_field", "Missing code or state parameter", again),
        Refusal::FlowUnknown => (400, "invalid_state", "Unknown or expired state", again),
        Refusal::AlreadyHandled => (409, "already_handled", "This sign-in was already handled", "Nothing."),
        Refusal::Denied => {
            (403, "access_denied", "Access was denied at RingCentral", "Open the link again if it was a mistake.")
        }
        Refusal::ProviderError => (502, "provider_error", "RingCentral reported an error", again),
        Refusal::CodeRefused => (400, "code_refused", "RingCentral refused the code", again),
        Refusal::ExchangeFailed => (502, "exchange_failed", "RingCentral did not answer properly", again),
        Refusal::Busy(_) => (503, "unavailable", "Temporarily unavailable", "Wait a little, then press the button again."),
        Refusal::Misconfigured => (
            502,
            "provider_misconfigured",
            "The RingCentral app is not set up correctly",
            "Only the operator can mend it; an alarm has told them.",
        ),
        Refusal::ConnectedElsewhere => (
            409,
            "connected_elsewhere",
            "This RingCentral extension is connected to another customer",
            "Disconnect it there first.",
        ),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    DescribedRefusal { status, code, text, advice }
}
