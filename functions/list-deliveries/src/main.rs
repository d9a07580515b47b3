//! `GET /v1/apps/{appId}/deliveries`: lists the deliveries to an app, newest first, filtered by `status`, `type`, `from` and `to`.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::delivery::DeliveryStatus;
use shared::model::event::EventKind;
use shared::model::ids::AppId;
use shared::views::deliveries::Deliveries;
use shared::{apps, auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{deliveries, endpoint, nextCursor}`.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "appId", AppId::parse)?;
    let cursors = caller.cursors(format!("deliveries of {id}"));
    let page = http::page(&request, &cursors, &["status", "type", "from", "to"])?;
    let status = http::query_word(&request, "status", DeliveryStatus::parse)?;
    let kind = http::query_word(&request, "type", EventKind::parse)?;
    let range = http::query_times(&request)?;
    let app = apps::find(gateway, caller.tenant_id(), &id).await?;
    let (found, next) = gateway.store.deliveries(&app.tenant, &app.id, range, (status, kind), &page).await?;
    let health = gateway.store.endpoint_health(&app.tenant, &app.id).await?;
    Ok(http::reply(StatusCode::OK, &Deliveries::of(&found, &health, cursors.seal(next))))
}
