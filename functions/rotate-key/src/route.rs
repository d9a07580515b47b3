//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::limits;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateKeyRequest {
    /// How long the old key lives on. Default: not at all.
    #[schemars(range(min = 0, max = limits::OVERLAP_SECONDS_MAX))]
    pub overlap_seconds: Option<i64>,
}
