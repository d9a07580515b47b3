//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::limits;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateInviteTokenRequest {
    /// Seconds that the link lives. Default: half an hour.
    #[schemars(range(min = limits::INVITE_TOKEN_MIN_SECONDS, max = limits::INVITE_TOKEN_MAX_SECONDS))]
    pub expires_in: Option<i64>,
    /// Shown to whoever opens the link.
    #[schemars(length(max = limits::LABEL_CHARS))]
    pub label: Option<String>,
    /// An https address that the page after success links to.
    #[schemars(length(max = limits::URL_CHARS))]
    pub return_url: Option<String>,
}
