//! The facts of this route.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use shared::http::route::{Route, one_of_or_null};
use shared::model::patch::Patch;
use shared::views::tenancy::{LimitsRequest, TenantView};
use shared::{http, limits};

pub const ROUTE: Route = Route::new("PATCH /v1/tenants/{tenantId}", "Update a tenant")
    .description(
        "Changes the name, the limits or the status. While a tenant is suspended, its keys are \
         rejected and its queued messages fail. Resuming the tenant does not restore them.",
    )
    .operator_only()
    .request::<UpdateTenantRequest>(r#"{ "status": "suspended" }"#)
    .response::<TenantView<'static>>(
        200,
        "The updated tenant.",
        r#"{
          "createdAt": "2026-11-21T23:25:21.488Z",
          "limits": { "apps": 20, "connectTokensPerHour": 100, "requestsPerMinute": 100, "tenantRequestsPerMinute": 1000 },
          "name": "Acme",
          "status": "suspended", "tenantId": "tenant_5f0c9a1be2d34476"
        }"#,
    )
    .errors(&["invalid_id", "invalid_name", "invalid_field", "not_found", "tenant_deleting"]);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateTenantRequest {
    /// The name of the tenant, 1 to 100 characters.
    #[schemars(length(min = 1, max = limits::NAME_CHARS), regex(pattern = limits::NAME_PATTERN))]
    pub name: Option<String>,
    /// `active` or `suspended`.
    #[serde(default)]
    #[schemars(schema_with = "status")]
    pub status: Option<String>,
    /// The limits to change; absent limits do not change.
    pub limits: Option<http::Object<LimitsRequest>>,
    /// An https URL that the success page links to; `null` removes it.
    #[serde(default)]
    #[schemars(with = "Option<String>", length(max = limits::URL_CHARS), regex(pattern = limits::URL_PATTERN))]
    pub return_url: Patch<String>,
}

fn status(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(&["active", "suspended"])
}
