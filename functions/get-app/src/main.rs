//! `GET /v1/apps/{appId}`: returns an app. A key without `apps:manage` can get its own app only.

mod route;

use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::Scope;
use shared::model::ids::AppId;
use shared::views::tenancy::AppView;
use shared::{apps, auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the app; 404 if the tenant has no such app.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[]).await?;
    let id = http::path_id(&request, "appId", AppId::parse)?;
    if !caller.has_scope(Scope::AppsManage) && caller.key().app != id {
        // Checked before the store is read, so that the response does not reveal whether the app exists.
        return Err(Error::InsufficientScope);
    }
    let app = apps::find(gateway, caller.tenant_id(), &id).await?;
    let uses = gateway.store.last_uses(&[&id]).await?;
    Ok(http::reply(StatusCode::OK, &AppView::of(&app, uses.get(&id))))
}
