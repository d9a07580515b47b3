//! The request body. `infra/contract` compiles this file too, to describe it.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http;
use shared::limits;
use shared::views::tenancy::LimitsOrder;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateTenantRequest {
    /// The name of the tenant, 1 to 100 characters.
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    pub name: Option<String>,
    /// `active` or `suspended`.
    #[schemars(extend("enum" = ["active", "suspended", null]))]
    pub status: Option<String>,
    /// The limits to change; absent limits do not change.
    pub limits: Option<http::Object<LimitsOrder>>,
    /// An https URL that the success page links to; `null` removes it.
    #[serde(default, deserialize_with = "http::present")]
    #[schemars(length(max = limits::URL_CHARS))]
    pub return_url: Option<Option<String>>,
}
