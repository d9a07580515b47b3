//! `PUT /v1/apps/{appId}`: changes an app's name, webhook address or role. An absent field stays as it is, `null` takes
//! address or role away. An address that is given, even the same, is tried again if it was switched off.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::store::AppChange;
use shared::views::deliveries::ChangedApp;
use shared::views::tenancy::AppView;
use shared::{apps, auth, delivery, limits, registration};

/// The request's body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// 1 to 100 characters.
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    name: Option<String>,
    /// Where its events go: an https address with a host name; `null` takes it away.
    #[serde(default, deserialize_with = "http::present")]
    #[schemars(length(max = limits::URL_CHARS))]
    webhook_url: Option<Option<String>>,
    /// Only events of these types are told. An empty list: all.
    event_types: Option<Vec<String>>,
    /// Only events of these numbers of the tenant's are told, at most 100. An empty list: of all.
    numbers: Option<Vec<String>>,
    /// A word of the tenant's own; `null` takes it away.
    #[serde(default, deserialize_with = "http::present")]
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    role: Option<Option<String>>,
}

/// 200 with the app as it is now.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let order: Order = http::json(&request)?;
    let url = |url| registration::webhook_url(&gateway.config, url);
    let change = AppChange {
        name: order.name.map(|name| registration::name(Some(&name))).transpose()?,
        webhook_url: order.webhook_url.map(url).transpose()?,
        event_types: order.event_types.map(|words| registration::event_types(Some(words))).transpose()?,
        numbers: order.numbers.map(|texts| registration::numbers(Some(texts))).transpose()?,
        role: order.role.map(registration::role).transpose()?,
    };
    let has_address = change.webhook_url.as_ref().is_some_and(Option::is_some);
    let app = apps::change(gateway, caller.by(), caller.tenant_id(), &id, &change).await?;
    let forgiven = if has_address { Some(delivery::forgive(gateway, &app).await?) } else { None };
    let uses = gateway.store.last_uses(&[&id]).await?;
    Ok(http::reply(StatusCode::OK, &ChangedApp::of(AppView::of(&app, uses.get(&id)), forgiven.as_ref())))
}
