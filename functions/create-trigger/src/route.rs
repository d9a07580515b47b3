//! The request body. `infra/contract` compiles this file too, to describe it.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::limits;
use shared::model::phone::E164;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTriggerRequest {
    /// The callback URL of the flow: https, with a host name.
    #[schemars(required, length(min = 1, max = limits::URL_CHARS))]
    pub callback_url: Option<String>,
    /// Only messages to this number, E.164. Default: all numbers.
    #[schemars(regex(pattern = E164::PATTERN))]
    pub phone_number: Option<String>,
}
