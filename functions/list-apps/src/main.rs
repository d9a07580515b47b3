//! `GET /v1/apps`: lists the apps of a tenant.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::tenancy::{AppView, Apps};
use shared::{auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{apps, nextCursor}`, sorted by id.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let cursors = caller.cursors("apps");
    let page = http::page(&request, &cursors, &[])?;
    let (apps, next) = gateway.store.apps(caller.tenant_id(), &page).await?;
    let uses = gateway.store.last_uses(&apps.iter().map(|app| &app.id).collect::<Vec<_>>()).await?;
    let views = apps.iter().map(|app| AppView::of(app, uses.get(&app.id))).collect();
    Ok(http::reply(StatusCode::OK, &Apps::of(views, cursors.seal(next))))
}
