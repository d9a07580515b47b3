//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::tenancy::Apps;

pub const ROUTE: Route = Route::new("GET /v1/apps", "List apps")
    .description("Returns the apps of the tenant, Power Automate triggers included.")
    .key_with(&[Scope::AppsManage])
    .list()
    .response::<Apps<'static>>(
        200,
        "The apps, sorted by id.",
        r#"{
          "apps": [{
            "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop", "appId": "app_0b9e3c57d1a24f68",
            "createdAt": "2026-11-21T23:25:21.488Z", "eventTypes": [], "kind": "program",
            "lastUsedAt": null, "name": "Front desk", "numbers": [], "role": null,
            "tenantId": "tenant_5f0c9a1be2d34476", "webhookUrl": "https://app.example/hooks"
          }],
          "nextCursor": null
        }"#,
    )
    .errors(&["invalid_query"]);
