//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::tenancy::Keys;

pub const ROUTE: Route = Route::new("GET /v1/apps/{appId}/keys", "List API keys")
    .description("Returns the keys of the app without their secrets.")
    .key_with(&[Scope::AppsManage])
    .response::<Keys>(
        200,
        "The keys that have not expired, oldest first.",
        r#"{
          "keys": [{
            "allowedIps": ["192.0.2.0/24"], "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop",
            "createdAt": "2026-11-21T23:25:21.488Z", "expiresAt": "2030-01-01T00:00:00.000Z",
            "isMain": false, "keyId": "key_91c04be7a3f25d86", "lastUsedAt": null, "scopes": ["sms:read"]
          }]
        }"#,
    )
    .errors(&["invalid_id", "not_found"]);
