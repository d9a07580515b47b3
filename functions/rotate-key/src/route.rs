//! The facts of this route.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::limits;
use shared::model::app::Scope;
use shared::views::tenancy::RotatedKey;

pub const ROUTE: Route = Route::new("POST /v1/apps/{appId}/rotate-key", "Rotate an API key")
    .description(
        "Replaces the app's main key. The old key is rejected at once, or after `overlapSeconds`. The new key has the scopes, \
         the allowed addresses and the end of the old one, except what the key of the request does not have.",
    )
    .key_with(&[Scope::AppsManage])
    .optional_request::<RotateKeyRequest>(r#"{ "overlapSeconds": 600 }"#)
    .response::<RotatedKey<'static>>(
        200,
        "The new key, which is shown only once.",
        r#"{
          "allowedIps": [], "apiKey": "sgw_l4gjug7c2ndhmcop…", "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop",
          "expiresAt": null, "scopes": ["sms:send", "sms:read"]
        }"#,
    )
    .errors(&["invalid_id", "invalid_field", "not_found", "too_many_keys"]);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateKeyRequest {
    /// Seconds that the old key stays valid. Default: 0.
    #[serde(default, deserialize_with = "shared::model::whole_number::optional")]
    #[schemars(range(min = 0, max = limits::OVERLAP_SECONDS_MAX))]
    pub overlap_seconds: Option<i64>,
}
