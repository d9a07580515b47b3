//! The facts of this route.

use shared::http::route::Route;
use shared::views::tenancy::TenantView;

pub const ROUTE: Route = Route::new("GET /v1/tenants/{tenantId}", "Get a tenant")
    .description("Returns a tenant, also while it is being deleted.")
    .operator_only()
    .response::<TenantView<'static>>(
        200,
        "The tenant, with the progress of its deletion.",
        r#"{
          "createdAt": "2026-11-21T23:25:21.488Z",
          "limits": { "apps": 20, "connectTokensPerHour": 100, "requestsPerMinute": 100, "tenantRequestsPerMinute": 1000 },
          "name": "Acme",
          "status": "active", "tenantId": "tenant_5f0c9a1be2d34476"
        }"#,
    )
    .errors(&["invalid_id", "not_found"]);
