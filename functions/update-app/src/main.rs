//! `PUT /v1/apps/{appId}`: updates an app. Absent fields do not change; `null` removes the webhook URL or the role. Setting the webhook
//! URL, even to the same value, enables it again if it was disabled.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::store::AppChange;
use shared::views::deliveries::ChangedApp;
use shared::views::tenancy::AppView;
use shared::{apps, auth, delivery, registration, run};

use route::{ROUTE, UpdateAppRequest};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, handle)
}

/// 200 with the updated app.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let order: UpdateAppRequest = http::json(&request)?;
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
