//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateKeyRequest {
    /// What it may do; at least one.
    #[schemars(
        required,
        length(min = 1),
        inner(regex(pattern = "^(sms:send|sms:read|rc:manage|apps:manage)$"))
    )]
    pub scopes: Option<Vec<String>>,
    /// When it ends, in the future. Default: never.
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// Addresses and CIDR ranges that it may be used from, at most 50. Default: any.
    pub allowed_ips: Option<Vec<String>>,
}
