//! The facts of this route.

use shared::http::route::Route;
use shared::views::tenancy::Tenants;

pub const ROUTE: Route = Route::new("GET /v1/tenants", "List tenants")
    .description("Returns all tenants, those that are being deleted included.")
    .operator_only()
    .list()
    .response::<Tenants<'static>>(
        200,
        "The entries, newest first.",
        r#"{
          "nextCursor": null,
          "tenants": [{
            "createdAt": "2026-11-21T23:25:21.488Z",
            "limits": { "apps": 20, "connectTokensPerHour": 100, "requestsPerMinute": 100, "tenantRequestsPerMinute": 1000 },
          "name": "Acme",
            "status": "active", "tenantId": "tenant_5f0c9a1be2d34476"
          }]
        }"#,
    )
    .errors(&["invalid_query"]);
