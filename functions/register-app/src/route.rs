//! The request body. `infra/contract` compiles this file too, to describe it.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::limits;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterAppRequest {
    /// The name of the app, 1 to 100 characters.
    #[schemars(required, length(min = 1, max = limits::NAME_CHARS))]
    pub name: Option<String>,
    /// The tenant of the key. The operator can name any tenant.
    #[schemars(required)]
    pub tenant_id: Option<String>,
    /// The URL that events are sent to: https, with a host name.
    #[schemars(length(max = limits::URL_CHARS))]
    pub webhook_url: Option<String>,
    /// Only events of these types are sent. Default: all types.
    pub event_types: Option<Vec<String>>,
    /// Only events about these numbers of the tenant are sent, at most 100. Default: all numbers.
    pub numbers: Option<Vec<String>>,
    /// A label that the tenant chooses.
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    pub role: Option<String>,
}
