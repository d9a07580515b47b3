//! The facts of this route.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::limits;
use shared::model::app::Scope;
use shared::model::event::EventKind;
use shared::model::ids::TenantId;
use shared::model::phone::E164;
use shared::views::tenancy::RegisteredAppView;

pub const ROUTE: Route = Route::new("POST /v1/apps/register", "Register an app")
    .description(
        "The first key of an app that the operator registers has all scopes. One that a tenant's key registers has the scopes, \
         the allowed addresses and the end of that key.",
    )
    .key_with(&[Scope::AppsManage])
    .or_operator()
    .request::<RegisterAppRequest>(
        r#"{
          "name": "Front desk", "tenantId": "tenant_5f0c9a1be2d34476",
          "webhookUrl": "https://app.example/hooks"
        }"#,
    )
    .response::<RegisteredAppView<'static>>(
        201,
        "The app, with its API key and webhook secret, which are shown only once.",
        r#"{
          "apiKey": "sgw_l4gjug7c2ndhmcop…", "apiKeyPrefix": "sgw_l4gjug7c2ndhmcop",
          "appId": "app_0b9e3c57d1a24f68", "name": "Front desk", "role": null,
          "tenantId": "tenant_5f0c9a1be2d34476", "webhookSecret": "whsec_…"
        }"#,
    )
    .errors(&[
        "missing_field",
        "invalid_name",
        "invalid_id",
        "invalid_field",
        "invalid_webhook_url",
        "tenant_unavailable",
        "too_many_apps",
    ]);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterAppRequest {
    /// The name of the app, 1 to 100 characters.
    #[schemars(required, length(min = 1, max = limits::NAME_CHARS), regex(pattern = limits::NAME_PATTERN))]
    pub name: Option<String>,
    /// The tenant of the key. The operator can name any tenant.
    #[schemars(required, regex(pattern = TenantId::PATTERN))]
    pub tenant_id: Option<String>,
    /// The URL that events are sent to: https, with a host name.
    #[schemars(length(max = limits::URL_CHARS), regex(pattern = limits::URL_PATTERN))]
    pub webhook_url: Option<String>,
    /// Only events of these types are sent. Default: all types.
    #[schemars(with = "Option<Vec<EventKind>>")]
    pub event_types: Option<Vec<String>>,
    /// Only events about these numbers of the tenant are sent, at most 100. Default: all numbers.
    #[schemars(length(max = limits::APP_NUMBERS), inner(regex(pattern = E164::PATTERN)))]
    pub numbers: Option<Vec<String>>,
    /// A label that the tenant chooses.
    #[schemars(length(min = 1, max = limits::NAME_CHARS), regex(pattern = limits::NAME_PATTERN))]
    pub role: Option<String>,
}
