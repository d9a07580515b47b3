//! `GET /v1/apps/{appId}/keys`: lists the keys of an app, without their secrets.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::AppId;
use shared::views::tenancy::{KeyView, Keys};
use shared::{apps, auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{keys}`, oldest first, without expired keys.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "appId", AppId::parse)?;
    let app = apps::find(gateway, caller.tenant_id(), &id).await?;
    let ids = [&id];
    let (keys, uses) = tokio::try_join!(gateway.store.keys(&app), gateway.store.last_uses(&ids))?;
    let now = gateway.clock.now();
    let alive = keys.iter().filter(|key| !key.grant.is_expired(now));
    let keys = alive.map(|key| KeyView::of(key, &app, uses.get(&id))).collect();
    Ok(http::reply(StatusCode::OK, &Keys { keys }))
}
