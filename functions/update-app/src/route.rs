//! The facts of this route.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::limits;
use shared::model::app::Scope;
use shared::model::event::EventKind;
use shared::model::patch::Patch;
use shared::model::phone::E164;
use shared::views::deliveries::UpdatedAppView;

pub const ROUTE: Route = Route::new("PUT /v1/apps/{appId}", "Update an app")
    .description(
        "Absent fields do not change; `null` removes `webhookUrl` or `role`. Setting \
         `webhookUrl`, even to the same URL, enables it again if it was disabled.",
    )
    .key_with(&[Scope::AppsManage])
    .request::<UpdateAppRequest>(r#"{ "webhookUrl": "https://app.example/hooks" }"#)
    .response::<UpdatedAppView<'static>>(
        200,
        "The updated app, with `replay` if its webhook URL was disabled before.",
        r#"{
          "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop", "appId": "app_0b9e3c57d1a24f68",
          "createdAt": "2026-11-21T23:25:21.488Z", "eventTypes": [], "kind": "program",
          "lastUsedAt": null, "name": "Front desk", "numbers": [], "role": null,
          "tenantId": "tenant_5f0c9a1be2d34476", "webhookUrl": "https://app.example/hooks"
        }"#,
    )
    .errors(&["invalid_id", "invalid_name", "invalid_field", "invalid_webhook_url", "not_found"]);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateAppRequest {
    /// The name of the app, 1 to 100 characters.
    #[schemars(length(min = 1, max = limits::NAME_CHARS), regex(pattern = limits::NAME_PATTERN))]
    pub name: Option<String>,
    /// The URL that events are sent to: https, with a host name; `null` removes it.
    #[serde(default)]
    #[schemars(with = "Option<String>", length(max = limits::URL_CHARS), regex(pattern = limits::URL_PATTERN))]
    pub webhook_url: Patch<String>,
    /// Only events of these types are sent. An empty list means all types.
    #[schemars(with = "Option<Vec<EventKind>>")]
    pub event_types: Option<Vec<String>>,
    /// Only events about these numbers of the tenant are sent, at most 100. An empty list means all numbers.
    #[schemars(length(max = limits::APP_NUMBERS), inner(regex(pattern = E164::PATTERN)))]
    pub numbers: Option<Vec<String>>,
    /// A label that the tenant chooses; `null` removes it.
    #[serde(default)]
    #[schemars(with = "Option<String>", length(min = 1, max = limits::NAME_CHARS), regex(pattern = limits::NAME_PATTERN))]
    pub role: Patch<String>,
}
