//! The request body. `infra/contract` compiles this file too, to describe it.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayDeliveriesRequest {
    /// Deliveries of events at or after this time.
    #[schemars(required, extend("format" = "date-time"))]
    pub from: Option<String>,
    /// Deliveries of events before this time. Default: now.
    #[schemars(extend("format" = "date-time"))]
    pub to: Option<String>,
    /// Deliveries with this status: `held`, `failed` or `delivered`. Default: `held`.
    pub status: Option<String>,
}
