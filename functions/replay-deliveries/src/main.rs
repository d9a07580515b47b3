//! `POST /v1/apps/{appId}/replay`: sends the deliveries of a time range again that have a given status, newest first.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::deliveries::Replayed;
use shared::views::iso;
use shared::{apps, auth, delivery, run};

use route::{ROUTE, ReplayDeliveriesRequest};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, handle)
}

/// 202 with their number; `to` is the end of the remaining range if one request could not replay all.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let order: ReplayDeliveriesRequest = http::json(&request)?;
    let status = delivery::replayable(order.status.as_deref())?;
    let between = delivery::between(order.from.as_deref(), order.to.as_deref(), gateway.clock.now())?;
    let app = apps::find(gateway, caller.tenant_id(), &id).await?;
    let (replayed, to) = delivery::replay_between(gateway, &app.tenant, &app.id, between, status).await?;
    Ok(http::reply(StatusCode::ACCEPTED, &Replayed { replayed, to: to.map(iso) }))
}
