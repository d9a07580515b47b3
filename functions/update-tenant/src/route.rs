//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http;
use shared::limits;
use shared::views::tenancy::LimitsOrder;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateTenantRequest {
    /// 1 to 100 characters.
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    pub name: Option<String>,
    /// `active` or `suspended`.
    #[schemars(extend("enum" = ["active", "suspended", null]))]
    pub status: Option<String>,
    /// Other limits; what is absent stays.
    pub limits: Option<http::Object<LimitsOrder>>,
    /// An https address that the page after success links to; `null` takes it away.
    #[serde(default, deserialize_with = "http::present")]
    #[schemars(length(max = limits::URL_CHARS))]
    pub return_url: Option<Option<String>>,
}
