//! `docs/errors.md`.

use super::{REFUSALS, entry, examples, refusal_entry};
use crate::model::failure::{self, FAILURES};

/// `docs/errors.md`, given each route with its codes.
pub fn as_markdown(routes: impl Iterator<Item = (&'static str, Vec<&'static str>)>) -> String {
    let mut rows: Vec<(u16, &str, String)> = Vec::new();
    for error in examples() {
        let entry = entry(&error);
        let field = entry.field.map_or(String::new(), |field| format!("`{field}`"));
        let status = entry.status.as_u16();
        rows.push((
            status,
            entry.code,
            format!("| {status} | `{}` | {} | {field} | {} |\n", entry.code, entry.text, entry.advice),
        ));
    }
    rows.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    let errors: String = rows.into_iter().map(|(_, _, row)| row).collect();
    let refusals: String = REFUSALS
        .iter()
        .map(|refusal| {
            let entry = refusal_entry(refusal);
            format!("| {} | `{}` | {} | {} |\n", entry.status.as_u16(), entry.code, entry.text, entry.advice)
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
            let retryable = if failure.is_retryable { "yes" } else { "no" };
            format!(
                "| `{}` | {} | {retryable} | {} |\n",
                failure.code,
                failure.meaning,
                failure.responsible.as_str()
            )
        })
        .collect();
    let rejections: String =
        failure::REJECTIONS.iter().map(|(code, meaning)| format!("| `{code}` | {meaning} |\n")).collect();
    format!(
        "{INTRODUCTION}\n| status | code | text | field, for example | what to do |\n| --- | --- | --- | --- | --- |\n{errors}\n\
         {BROWSERS}\n| status | code | text | what to do |\n| --- | --- | --- | --- |\n{refusals}\n\
         {MESSAGES}\n| code | meaning | may succeed later | who can fix it |\n| --- | --- | --- | --- |\n{failures}\n\
         {REJECTIONS}\n| code | meaning |\n| --- | --- |\n{rejections}\n\
         {ROUTES}\n| route | codes |\n| --- | --- |\n{routes}"
    )
}

const MESSAGES: &str = "## In a message

A message that RingCentral accepted can still fail. Its `errorCode`, in its status and in the `sms_status` event, is then
RingCentral's `deliveryErrorCode`, and `error` explains it.

A message with the code `ringcentral_unreachable` could not be sent for three days, or until its `expiresAt`. A message whose files
could not be downloaded, are of a type that RingCentral does not accept, or are too large has the code `media_unreachable`,
`media_type_unsupported` or `media_too_large`: `error` names the file and the reason.
";

const REJECTIONS: &str = "A message that RingCentral rejected has the code of the rejection:
";

const INTRODUCTION: &str = "# Errors

<!-- Generated from shared/src/http/catalogue/page.rs. To update: UPDATE_DOCS=1 cargo test --package tests --test it contract:: -->

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
