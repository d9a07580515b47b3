//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayDeliveriesRequest {
    /// Of events since then.
    #[schemars(required, extend("format" = "date-time"))]
    pub from: Option<String>,
    /// Of events until then. Default: until now.
    #[schemars(extend("format" = "date-time"))]
    pub to: Option<String>,
    /// Of deliveries that have this status: `held`, `failed` or `delivered`. Default: `held`.
    pub status: Option<String>,
}
