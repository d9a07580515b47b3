//! The facts of this route.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::limits;
use shared::model::app::Scope;
use shared::views::tenancy::NewKey;

pub const ROUTE: Route = Route::new("POST /v1/apps/{appId}/keys", "Create an API key")
    .description(
        "Creates a further key of the app, beside its main key. A key can create only keys that can do no more than it can: \
         `scopes` and `allowedIps` are within its own, and `expiresAt` is not later.",
    )
    .key_with(&[Scope::AppsManage])
    .request::<CreateKeyRequest>(
        r#"{
          "allowedIps": ["192.0.2.0/24"], "expiresAt": "2030-01-01T00:00:00Z", "scopes": ["sms:read"]
        }"#,
    )
    .response::<NewKey<'static>>(
        201,
        "The key, which is shown only once.",
        r#"{
          "allowedIps": ["192.0.2.0/24"], "apiKey": "sgw_l4gjug7c2ndhmcop…",
          "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop", "createdAt": "2026-11-21T23:25:21.488Z",
          "expiresAt": "2030-01-01T00:00:00.000Z", "keyId": "key_91c04be7a3f25d86",
          "scopes": ["sms:read"]
        }"#,
    )
    .errors(&["missing_field", "invalid_id", "invalid_field", "not_found", "too_many_keys"]);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateKeyRequest {
    /// The scopes of the key; at least one.
    #[schemars(required, with = "Vec<Scope>", length(min = 1))]
    pub scopes: Option<Vec<String>>,
    /// Expiry of the key, in the future. Default: none.
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// IP addresses and CIDR ranges that can use the key, at most 50. Default: all.
    #[schemars(length(max = limits::ALLOWED_IPS), inner(regex(pattern = limits::ADDRESS_PATTERN)))]
    pub allowed_ips: Option<Vec<String>>,
}
