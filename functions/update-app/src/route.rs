//! The request body. `infra/contract` compiles this file too, to describe it.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http;
use shared::limits;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateAppRequest {
    /// The name of the app, 1 to 100 characters.
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    pub name: Option<String>,
    /// The URL that events are sent to: https, with a host name; `null` removes it.
    #[serde(default, deserialize_with = "http::present")]
    #[schemars(length(max = limits::URL_CHARS))]
    pub webhook_url: Option<Option<String>>,
    /// Only events of these types are sent. An empty list means all types.
    pub event_types: Option<Vec<String>>,
    /// Only events about these numbers of the tenant are sent, at most 100. An empty list means all numbers.
    pub numbers: Option<Vec<String>>,
    /// A label that the tenant chooses; `null` removes it.
    #[serde(default, deserialize_with = "http::present")]
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    pub role: Option<Option<String>>,
}
