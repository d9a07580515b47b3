//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http;
use shared::limits;
use shared::views::tenancy::LimitsOrder;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTenantRequest {
    /// 1 to 100 characters.
    #[schemars(required, length(min = 1, max = limits::NAME_CHARS))]
    pub name: Option<String>,
    /// Other limits than the product's own.
    pub limits: Option<http::Object<LimitsOrder>>,
    /// An https address that the page after success links to.
    #[schemars(length(max = limits::URL_CHARS))]
    pub return_url: Option<String>,
}
