//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::limits;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewSmsRequest {
    /// The text, as it would be sent.
    #[schemars(required, length(min = 1, max = limits::TEXT_UNITS))]
    pub body: Option<String>,
}
