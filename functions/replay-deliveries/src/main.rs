//! `POST /v1/apps/{appId}/replay`: sends the deliveries of a time range again that have a given status, newest first.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::AppId;
use shared::views::deliveries::ReplayView;
use shared::views::iso;
use shared::{apps, auth, delivery, run};

use route::{ROUTE, ReplayDeliveriesRequest};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 202 with their number; `to` is the end of the remaining range if one request could not replay all.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "appId", AppId::parse)?;
    let body: ReplayDeliveriesRequest = http::json(&request)?;
    let status = delivery::replayable(body.status.as_deref())?;
    let range = delivery::time_range(body.from.as_deref(), body.to.as_deref(), gateway.clock.now())?;
    let app = apps::find(gateway, caller.tenant_id(), &id).await?;
    let progress = delivery::replay_range(gateway, &app.tenant, &app.id, range, status).await?;
    let view = ReplayView { replayed: progress.replayed, to: progress.continue_to.map(iso) };
    Ok(http::reply(StatusCode::ACCEPTED, &view))
}
