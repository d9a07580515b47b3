//! The facts of this route.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::views::tenancy::{LimitsRequest, TenantView};
use shared::{http, limits};

pub const ROUTE: Route = Route::new("POST /v1/tenants", "Create a tenant")
    .description("A new tenant has no API key. Register an app to get one.")
    .operator_only()
    .idempotent()
    .request::<CreateTenantRequest>(r#"{ "limits": {"requestsPerMinute": 100}, "name": "Acme" }"#)
    .response::<TenantView<'static>>(
        201,
        "The tenant.",
        r#"{
          "createdAt": "2026-11-21T23:25:21.488Z",
          "limits": { "apps": 20, "connectTokensPerHour": 100, "requestsPerMinute": 100, "tenantRequestsPerMinute": 1000 },
          "name": "Acme",
          "status": "active", "tenantId": "tenant_5f0c9a1be2d34476"
        }"#,
    )
    .errors(&["invalid_name", "invalid_field"]);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTenantRequest {
    /// The name of the tenant, 1 to 100 characters.
    #[schemars(required, length(min = 1, max = limits::NAME_CHARS), regex(pattern = limits::NAME_PATTERN))]
    pub name: Option<String>,
    /// Overrides the default limits.
    pub limits: Option<http::Object<LimitsRequest>>,
    /// An https URL that the success page links to.
    #[schemars(length(max = limits::URL_CHARS), regex(pattern = limits::URL_PATTERN))]
    pub return_url: Option<String>,
}
