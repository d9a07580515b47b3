//! The request body of this endpoint.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::limits;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterAppRequest {
    /// 1 to 100 characters.
    #[schemars(required, length(min = 1, max = limits::NAME_CHARS))]
    pub name: Option<String>,
    /// The key's own tenant; the operator may name any.
    #[schemars(required)]
    pub tenant_id: Option<String>,
    /// Where its events go: an https address with a host name.
    #[schemars(length(max = limits::URL_CHARS))]
    pub webhook_url: Option<String>,
    /// Only events of these types are told. Default: all.
    pub event_types: Option<Vec<String>>,
    /// Only events of these numbers of the tenant's are told, at most 100. Default: of all.
    pub numbers: Option<Vec<String>>,
    /// A word of the tenant's own.
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    pub role: Option<String>,
}
