//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http;
use shared::limits;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateAppRequest {
    /// 1 to 100 characters.
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    pub name: Option<String>,
    /// Where its events go: an https address with a host name; `null` takes it away.
    #[serde(default, deserialize_with = "http::present")]
    #[schemars(length(max = limits::URL_CHARS))]
    pub webhook_url: Option<Option<String>>,
    /// Only events of these types are told. An empty list: all.
    pub event_types: Option<Vec<String>>,
    /// Only events of these numbers of the tenant's are told, at most 100. An empty list: of all.
    pub numbers: Option<Vec<String>>,
    /// A word of the tenant's own; `null` takes it away.
    #[serde(default, deserialize_with = "http::present")]
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    pub role: Option<Option<String>>,
}
