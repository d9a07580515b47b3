//! `POST /v1/apps/{appId}/deliveries/{deliveryId}/replay`: sends a finished delivery again, with the same event id.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::{AppId, DeliveryId};
use shared::views::deliveries::DeliveryView;
use shared::{auth, delivery, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 202 with the delivery. A pending delivery does not change.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let app = http::path_id(&request, "appId", AppId::parse)?;
    let id = http::path_id(&request, "deliveryId", DeliveryId::parse)?;
    http::no_fields(&request)?;
    let replayed = delivery::replay(gateway, caller.tenant_id(), &app, &id).await?;
    Ok(http::reply(StatusCode::ACCEPTED, &DeliveryView::from(&replayed)))
}
