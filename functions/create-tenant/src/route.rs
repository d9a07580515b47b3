//! The request body. `infra/contract` compiles this file too, to describe it.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http;
use shared::limits;
use shared::views::tenancy::LimitsOrder;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTenantRequest {
    /// The name of the tenant, 1 to 100 characters.
    #[schemars(required, length(min = 1, max = limits::NAME_CHARS))]
    pub name: Option<String>,
    /// Overrides the default limits.
    pub limits: Option<http::Object<LimitsOrder>>,
    /// An https URL that the success page links to.
    #[schemars(length(max = limits::URL_CHARS))]
    pub return_url: Option<String>,
}
