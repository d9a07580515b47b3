//! The catalogue of errors: status, code, text, field, and what the client should do. `docs/errors.md` is generated from it.

use std::collections::{BTreeMap, BTreeSet};

use lambda_http::http::StatusCode;

use crate::connect::FlowRejection;
use crate::error::Error;
use crate::http::route::Access;
use crate::model::failure::{self, FAILURES};

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
        | Error::NoWebhookUrl
        | Error::InvalidPhoneNumber { .. }
        | Error::SenderUnknown { .. }
        | Error::TenantUnavailable => StatusCode::BAD_REQUEST,
        Error::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Error::MissingKey | Error::UnknownKey => StatusCode::UNAUTHORIZED,
        Error::TenantSuspended | Error::InsufficientScope | Error::AddressNotAllowed => StatusCode::FORBIDDEN,
        Error::NotFound => StatusCode::NOT_FOUND,
        Error::NotConnected
        | Error::TenantDeleting
        | Error::TooManyApps
        | Error::TooManyKeys
        | Error::SenderNotConnected
        | Error::IdempotencyInProgress
        | Error::MessageState { .. } => StatusCode::CONFLICT,
        Error::IdempotencyReused => StatusCode::UNPROCESSABLE_ENTITY,
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
        Error::NoWebhookUrl => plain("App has no webhookUrl configured"),
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
        Error::TooManyApps => plain("Tenant has too many apps"),
        Error::TooManyKeys => plain("App has too many keys"),
        Error::InvalidPhoneNumber { field } => at("to and from must be valid E.164 phone numbers", field),
        Error::SenderUnknown { number } => {
            at(&format!("Phone number {number} is not registered in this RingCentral account"), "from")
        }
        Error::SenderNotConnected => at("RingCentral not connected for this sender", "from"),
        Error::IdempotencyInProgress => plain("A request with this Idempotency-Key is in progress"),
        Error::IdempotencyReused => plain("Idempotency-Key was used with another request"),
        Error::MessageState { status } => plain(&format!("Message is {status}")),
        Error::RateLimited { .. } => plain("Too many requests"),
        Error::Unavailable { .. } => plain("Temporarily unavailable"),
        Error::Internal { .. } => plain("Internal error"),
    }
}

fn code_and_advice(error: &Error) -> (&'static str, &'static str) {
    match error {
        Error::MissingField { .. } => ("missing_field", "Send the field that `field` names."),
        Error::InvalidBody { .. } => (
            "invalid_body",
            "Send JSON of the documented shape; `field` is the path of the first value that is not.",
        ),
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
        Error::InvalidName => {
            ("invalid_name", "Send a name of 1 to 100 characters without control characters.")
        }
        Error::InvalidId { .. } => {
            ("invalid_id", "The id in the path has not the form of one; take it as it was given.")
        }
        Error::InvalidWebhookUrl => {
            ("invalid_webhook_url", "Send an https address with a host name, without user and password.")
        }
        Error::NoWebhookUrl => ("no_webhook_url", "Give the app a webhookUrl first."),
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
        Error::AddressNotAllowed => (
            "address_not_allowed",
            "Call from one of the key's allowedIps, or make a key that allows this address.",
        ),
        Error::NotFound => {
            ("not_found", "Check the id; what belongs to another tenant is as absent as what never was.")
        }
        Error::NotConnected => ("sender_not_connected", "Connect RingCentral first, with a connect link."),
        Error::TenantDeleting => ("tenant_deleting", "Nothing; a deletion can't be taken back."),
        Error::TooManyApps => {
            ("too_many_apps", "Delete an app, or end a flow's subscription, that is no longer used.")
        }
        Error::TooManyKeys => ("too_many_keys", "Revoke a key of the app that is no longer used."),
        Error::InvalidPhoneNumber { .. } => {
            ("invalid_phone_number", "Send the number as `+`, country code and number, without spaces.")
        }
        Error::SenderUnknown { .. } => (
            "sender_unknown",
            "Send from one of the numbers of `GET /v1/rc/numbers`; refresh them if the number is new.",
        ),
        Error::SenderNotConnected => {
            ("sender_not_connected", "Connect the RingCentral user who has this number, with a connect link.")
        }
        Error::IdempotencyInProgress => {
            ("idempotency_in_progress", "Repeat the request after the seconds of `Retry-After`.")
        }
        Error::IdempotencyReused => {
            ("idempotency_key_reused", "Use a new key for each new message; repeat a request unchanged.")
        }
        Error::MessageState { .. } => (
            "message_state",
            "Look at the message: only what is queued or scheduled can be canceled, only what is unknown resolved.",
        ),
        Error::RateLimited { .. } => (
            "rate_limited",
            "Wait for the seconds of `Retry-After`; `RateLimit-Remaining` tells before it happens.",
        ),
        Error::Unavailable { .. } => {
            ("unavailable", "Repeat the request after the seconds of `Retry-After`.")
        }
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
pub fn describe_refusal(refusal: &FlowRejection) -> DescribedRefusal {
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
            "Nothing, if you used it; else ask for a new one.",
        ),
        FlowRejection::LinkBoundElsewhere => (
            409,
            "link_used",
            "Connect link already used in another browser",
            "Go on in that browser, or ask for a new link.",
        ),
        FlowRejection::TenantUnavailable => {
            (403, "tenant_suspended", "Tenant suspended or inactive", "Ask whoever sent the link.")
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
            (503, "unavailable", "Temporarily unavailable", "Wait a little, then press the button again.")
        }
        FlowRejection::Misconfigured => (
            502,
            "provider_misconfigured",
            "The RingCentral app is not set up correctly",
            "Only the operator can mend it; an alarm has told them.",
        ),
        FlowRejection::ConnectedElsewhere => (
            409,
            "connected_elsewhere",
            "This RingCentral extension is connected to another customer",
            "Disconnect it there first.",
        ),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    DescribedRefusal { status, code, text, advice }
}

/// The statuses that a code comes with.
pub fn statuses(code: &str) -> Vec<u16> {
    let errors = examples().into_iter().map(|error| describe(&error));
    errors.filter(|told| told.code == code).map(|told| told.status.as_u16()).collect()
}

/// Everything that a route may answer instead of success: status, code, and what the caller should do.
pub fn told_by(access: Access, own: &[&'static str]) -> BTreeMap<(u16, &'static str), &'static str> {
    let may = |code: &str| access.codes().iter().chain(own).any(|known| *known == code);
    let errors = examples().into_iter().map(|error| describe(&error));
    let errors = errors.map(|told| (told.status.as_u16(), told.code, told.advice));
    let refusals = REFUSALS.iter().map(describe_refusal);
    let refusals = refusals.map(|told| (told.status.as_u16(), told.code, told.advice));
    // What both know by the same code, a browser is told as a refusal.
    let all: Vec<_> = if access == Access::Browser {
        refusals.chain(errors.filter(|(_, code, _)| access.codes().contains(code))).collect()
    } else {
        errors.collect()
    };
    let mut told = BTreeMap::new();
    for (status, code, advice) in all.into_iter().filter(|(_, code, _)| may(code)) {
        told.entry((status, code)).or_insert(advice);
    }
    told
}

/// One of each error, for the table.
fn examples() -> Vec<Error> {
    use std::time::Duration;
    let wait = Duration::from_secs(1);
    let mut all = vec![
        Error::MissingField { text: "tenantId is required when registering new apps", field: "tenantId" },
        Error::MissingField { text: "scopes is required", field: "scopes" },
        Error::InvalidBody { text: "The body must be a JSON object".into(), field: None },
        Error::InvalidBody { text: "name must be a string".into(), field: Some("name".into()) },
        Error::UnknownField { field: "limits.requestsPerHour".into() },
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
        Error::UnknownKey,
        Error::TenantSuspended,
        Error::InsufficientScope,
        Error::AddressNotAllowed,
        Error::NotFound,
        Error::NotConnected,
        Error::TenantDeleting,
        Error::TooManyApps,
        Error::TooManyKeys,
        Error::MissingField { text: "to, from, and body are required", field: "body" },
        Error::InvalidBody { text: "body must be 1-1600 characters".into(), field: Some("body".into()) },
        Error::InvalidPhoneNumber { field: "to" },
        Error::SenderUnknown { number: "+14155550199".into() },
        Error::SenderNotConnected,
        Error::IdempotencyInProgress,
        Error::IdempotencyReused,
        Error::MessageState { status: "sent" },
        Error::RateLimited { limit: 100, retry_after: wait },
        Error::Unavailable { what: "", retry_after: wait, source: None },
        Error::Internal { what: "", source: None },
    ];
    for kind in ["messageId", "appId", "tenantId", "keyId", "extensionId", "deliveryId"] {
        all.push(Error::InvalidId { kind });
    }
    all
}

const REFUSALS: [FlowRejection; 17] = [
    FlowRejection::LinkMissing,
    FlowRejection::LinkUnknown,
    FlowRejection::LinkExpired,
    FlowRejection::LinkUsed,
    FlowRejection::LinkBoundElsewhere,
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
    let errors = examples().into_iter().map(|error| describe(&error).code);
    errors.chain(REFUSALS.iter().map(|refusal| describe_refusal(refusal).code)).collect()
}

/// `docs/errors.md`, given each route with its codes.
pub fn as_markdown(routes: impl Iterator<Item = (&'static str, Vec<&'static str>)>) -> String {
    let mut rows: Vec<(u16, &str, String)> = Vec::new();
    for error in examples() {
        let told = describe(&error);
        let field = told.field.map_or(String::new(), |field| format!("`{field}`"));
        let status = told.status.as_u16();
        rows.push((
            status,
            told.code,
            format!("| {status} | `{}` | {} | {field} | {} |\n", told.code, told.text, told.advice),
        ));
    }
    rows.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    let errors: String = rows.into_iter().map(|(_, _, row)| row).collect();
    let refusals: String = REFUSALS
        .iter()
        .map(|refusal| {
            let told = describe_refusal(refusal);
            format!("| {} | `{}` | {} | {} |\n", told.status.as_u16(), told.code, told.text, told.advice)
        })
        .collect();
    let routes: String = routes
        .map(|(route, codes)| {
            let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
            format!(
                "| `{route}` | {} |
",
                codes.join(", ")
            )
        })
        .collect();
    let failures: String = FAILURES
        .iter()
        .map(|failure| {
            let again = if failure.is_retryable { "yes" } else { "no" };
            format!(
                "| `{}` | {} | {again} | {} |\n",
                failure.code,
                failure.meaning,
                failure.responsible.as_str()
            )
        })
        .collect();
    let not_taken: String =
        failure::REJECTIONS.iter().map(|(code, meaning)| format!("| `{code}` | {meaning} |\n")).collect();
    format!(
        "{INTRODUCTION}\n| status | code | text | field, for example | what to do |\n| --- | --- | --- | --- | --- |\n{errors}\n\
         {BROWSERS}\n| status | code | text | what to do |\n| --- | --- | --- | --- |\n{refusals}\n\
         {MESSAGES}\n| code | what it means | may be delivered later | who can act |\n| --- | --- | --- | --- |\n{failures}\n\
         {NOT_TAKEN}\n| code | what it means |\n| --- | --- |\n{not_taken}\n\
         {ROUTES}\n| route | codes |\n| --- | --- |\n{routes}"
    )
}

const MESSAGES: &str = "## In a message

A message that RingCentral accepted can still fail. Its `errorCode`, in its status and in the `sms_status` event, is then
RingCentral's `deliveryErrorCode`, and `error` explains it.
";

const NOT_TAKEN: &str = "A message that RingCentral rejected has the code of the rejection:
";

const INTRODUCTION: &str = "# Errors

<!-- Generated from shared/src/http/catalogue.rs. To update: UPDATE_DOCS=1 cargo test --package tests --test it contract:: -->

An error is JSON: `{\"error\":\"<text>\",\"code\":\"<code>\",\"field\":\"<JSON path>\",\"requestId\":\"…\"}`, without `field`
if no single field caused it. Programs use the status and `code`. The text is for people; it can name the limits of a value, but
never the value. 429, 503 and the 409 `idempotency_in_progress` have `Retry-After` in seconds. Every response to a request with a
key has `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (seconds until the oldest counted request leaves the window).

Two kinds of errors look different. API Gateway itself responds with `{\"message\":\"…\"}` to unknown routes (404), throttled requests
(429), and functions that fail or time out (500, 503). The route for RingCentral's events responds with a status and no body.

A malformed id is 400 `invalid_id`. A well-formed id of another tenant, of a deleted resource, or of one that never existed gets the
same 404, identical except for the request id.

## API responses
";
const BROWSERS: &str = "## In the browser

Shown on an error page, or returned as JSON with `format=json`.
";
const ROUTES: &str = "## By route

A route for the operator key responds to a tenant's key with 403 `insufficient_scope`.
";
