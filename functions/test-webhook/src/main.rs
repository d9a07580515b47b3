//! `POST /v1/apps/{appId}/test-webhook`: sends one signed test event to an app's webhook URL and returns the outcome.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::Scope;
use shared::views::deliveries::TestedView;
use shared::{apps, auth, delivery, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with the outcome, successful or not.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    http::no_fields(&request)?;
    let exchange = delivery::test(gateway, caller.tenant_id(), &id).await?;
    Ok(http::reply(StatusCode::OK, &TestedView::from(&exchange)))
}
