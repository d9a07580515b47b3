//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::tenancy::AppView;

pub const ROUTE: Route = Route::new("GET /v1/apps/{appId}", "Get an app")
    .description("A key without `apps:manage` can get its own app only.")
    .key_with(&[Scope::AppsManage])
    .response::<AppView<'static>>(
        200,
        "The app.",
        r#"{
          "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop", "appId": "app_0b9e3c57d1a24f68",
          "createdAt": "2026-11-21T23:25:21.488Z", "eventTypes": [], "kind": "program",
          "lastUsedAt": null, "name": "Front desk", "numbers": [], "role": null,
          "tenantId": "tenant_5f0c9a1be2d34476", "webhookUrl": "https://app.example/hooks"
        }"#,
    )
    .errors(&["invalid_id", "not_found"]);
