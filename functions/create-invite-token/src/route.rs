//! The facts of this route.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::limits;
use shared::model::app::Scope;
use shared::views::NewLink;

pub const ROUTE: Route = Route::new("POST /v1/rc/invite-token", "Create an invite token")
    .description(
        "An invite is a connect link for another RingCentral user. It works once, in one browser, \
         for 30 minutes or for `expiresIn` seconds, at most seven days.",
    )
    .key_with(&[Scope::RcManage])
    .optional_request::<CreateInviteTokenRequest>(
        r#"{
          "expiresIn": 86400, "label": "Front desk", "returnUrl": "https://example.com/done"
        }"#,
    )
    .response::<NewLink>(
        200,
        "The link, relative to the base URL of the API.",
        r#"{ "connectUrl": "/v1/rc/connect?token=NyGku2lEBD-pZKx7" }"#,
    )
    .errors(&["invalid_field"]);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateInviteTokenRequest {
    /// Lifetime of the link in seconds. Default: 1800.
    #[serde(default, deserialize_with = "shared::model::whole_number::optional")]
    #[schemars(range(min = limits::INVITE_TOKEN_MIN_SECONDS, max = limits::INVITE_TOKEN_MAX_SECONDS))]
    pub expires_in: Option<i64>,
    /// A description that the confirmation page shows.
    #[schemars(length(max = limits::LABEL_CHARS), regex(pattern = limits::LINE_PATTERN))]
    pub label: Option<String>,
    /// An https URL that the success page links to.
    #[schemars(length(max = limits::URL_CHARS), regex(pattern = limits::URL_PATTERN))]
    pub return_url: Option<String>,
}
