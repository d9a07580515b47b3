//! `POST /v1/apps/{appId}/test-webhook`: sends a signed test event to an app's address, once, and tells what came back.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::views::deliveries::TestedView;
use shared::{apps, auth, delivery};

/// 200 with the outcome, whatever it is.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    http::no_fields(&request)?;
    let exchange = delivery::test(gateway, caller.tenant_id(), &id).await?;
    Ok(http::reply(StatusCode::OK, &TestedView::from(&exchange)))
}
