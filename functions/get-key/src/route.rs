//! The facts of this route.

use shared::http::route::Route;
use shared::views::tenancy::CurrentKeyView;

pub const ROUTE: Route = Route::new("GET /v1/key", "Get the current key")
    .description(
        "Returns the key of the request, with its app and tenant, so that a program can check a key and warn before it expires.",
    )
    .any_key()
    .response::<CurrentKeyView<'static>>(
        200,
        "The key.",
        r#"{
          "allowedIps": [], "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop", "appId": "app_0b9e3c57d1a24f68",
          "createdAt": "2026-11-21T23:25:21.488Z", "expiresAt": null, "keyId": "key_5d1c0a7be2f34981",
          "scopes": ["sms:send", "sms:read"], "tenantId": "tenant_5f0c9a1be2d34476", "tenantName": "Acme"
        }"#,
    );
