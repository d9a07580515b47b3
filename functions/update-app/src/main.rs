//! `PUT /v1/apps/{appId}`: updates an app. Absent fields do not change; `null` removes the webhook URL or the role. Setting the webhook
//! URL, even to the same value, enables it again if it was disabled.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::AppId;
use shared::model::patch::Patch;
use shared::store::AppChange;
use shared::views::deliveries::UpdatedAppView;
use shared::views::tenancy::AppView;
use shared::{apps, auth, delivery, registration, run};

use route::{ROUTE, UpdateAppRequest};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the updated app.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "appId", AppId::parse)?;
    let body: UpdateAppRequest = http::json(&request)?;
    let change = AppChange {
        name: body.name.map(|name| registration::name(Some(&name))).transpose()?,
        webhook_url: body.webhook_url.try_map(|url| registration::webhook_url(&gateway.config, url))?,
        event_types: body.event_types.map(|types| registration::event_types(Some(types))).transpose()?,
        numbers: body.numbers.map(|texts| registration::numbers(Some(texts))).transpose()?,
        role: body.role.try_map(registration::role)?,
    };
    let app = apps::update(gateway, caller.audit(), caller.tenant_id(), &id, &change).await?;
    let health_before = match change.webhook_url {
        Patch::Set(_) => Some(delivery::reset_endpoint(gateway, &app).await?),
        Patch::Keep | Patch::Clear => None,
    };
    let uses = gateway.store.last_uses(&[&id]).await?;
    Ok(http::reply(
        StatusCode::OK,
        &UpdatedAppView::of(AppView::of(&app, uses.get(&id)), health_before.as_ref()),
    ))
}
