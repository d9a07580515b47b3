//! The request body. `infra/contract` compiles this file too, to describe it.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateKeyRequest {
    /// The scopes of the key; at least one.
    #[schemars(
        required,
        length(min = 1),
        inner(regex(pattern = "^(sms:send|sms:read|rc:manage|apps:manage)$"))
    )]
    pub scopes: Option<Vec<String>>,
    /// Expiry of the key, in the future. Default: none.
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// IP addresses and CIDR ranges that can use the key, at most 50. Default: all.
    pub allowed_ips: Option<Vec<String>>,
}
