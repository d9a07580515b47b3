//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::limits;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateInviteTokenRequest {
    /// Lifetime of the link in seconds. Default: 1800.
    #[schemars(range(min = limits::INVITE_TOKEN_MIN_SECONDS, max = limits::INVITE_TOKEN_MAX_SECONDS))]
    pub expires_in: Option<i64>,
    /// A description that the confirmation page shows.
    #[schemars(length(max = limits::LABEL_CHARS))]
    pub label: Option<String>,
    /// An https URL that the success page links to.
    #[schemars(length(max = limits::URL_CHARS))]
    pub return_url: Option<String>,
}
