//! `POST /v1/apps/{appId}/deliveries/{deliveryId}/replay`: sends a finished delivery again, with the same event id.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::deliveries::DeliveryView;
use shared::{apps, auth, delivery, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, handle)
}

/// 202 with the delivery. A pending delivery does not change.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let app = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let id = delivery::delivery_id(&http::path_parameter(&request, "deliveryId"))?;
    http::no_fields(&request)?;
    let replayed = delivery::replay(gateway, caller.tenant_id(), &app, &id).await?;
    Ok(http::reply(StatusCode::ACCEPTED, &DeliveryView::from(&replayed)))
}
