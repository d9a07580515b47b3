//! `POST /v1/apps/{appId}/deliveries/{deliveryId}/replay`: tries a delivery again that is done, whatever came of it. The
//! event and its id are the same as before.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::Scope;
use shared::views::deliveries::DeliveryView;
use shared::{apps, auth, delivery, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 202 with the delivery as it is now; one that is pending stays as it is.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let app = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let id = delivery::delivery_id(&http::path_parameter(&request, "deliveryId"))?;
    http::no_fields(&request)?;
    let replayed = delivery::replay(gateway, caller.tenant_id(), &app, &id).await?;
    Ok(http::reply(StatusCode::ACCEPTED, &DeliveryView::from(&replayed)))
}
