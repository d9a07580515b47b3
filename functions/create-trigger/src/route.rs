//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::limits;
use shared::model::phone::E164;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTriggerRequest {
    /// Where the flow is called: an https address with a host name.
    #[schemars(required, length(min = 1, max = limits::URL_CHARS))]
    pub callback_url: Option<String>,
    /// Only of texts to this number, E.164. Default: of all.
    #[schemars(regex(pattern = E164::PATTERN))]
    pub phone_number: Option<String>,
}
