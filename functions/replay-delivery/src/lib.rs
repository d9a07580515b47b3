//! `POST /v1/apps/{appId}/deliveries/{deliveryId}/replay`: tries a delivery again that is done, whatever came of it. The
//! event and its id are the same as before.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::views::deliveries::DeliveryView;
use shared::{apps, auth, delivery};

/// 202 with the delivery as it is now; one that is pending stays as it is.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let app = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let id = delivery::delivery_id(&http::path_parameter(&request, "deliveryId"))?;
    http::no_fields(&request)?;
    let replayed = delivery::replay(gateway, caller.tenant_id(), &app, &id).await?;
    Ok(http::reply(StatusCode::ACCEPTED, &DeliveryView::from(&replayed)))
}
