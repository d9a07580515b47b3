//! The request body. `infra/contract` compiles this file too, to describe it.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::limits;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateKeyRequest {
    /// Seconds that the old key stays valid. Default: 0.
    #[schemars(range(min = 0, max = limits::OVERLAP_SECONDS_MAX))]
    pub overlap_seconds: Option<i64>,
}
