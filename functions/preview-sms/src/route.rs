//! The request body. `infra/contract` compiles this file too, to describe it.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::limits;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewSmsRequest {
    /// The text of the message.
    #[schemars(required, length(min = 1, max = limits::TEXT_UNITS))]
    pub body: Option<String>,
}
