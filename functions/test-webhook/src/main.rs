//! `POST /v1/apps/{appId}/test-webhook`: sends one signed test event to an app's webhook URL and returns the outcome.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::AppId;
use shared::views::deliveries::TestedView;
use shared::{auth, delivery, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the outcome, successful or not.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "appId", AppId::parse)?;
    http::no_fields(&request)?;
    let exchange = delivery::test(gateway, caller.tenant_id(), &id).await?;
    Ok(http::reply(StatusCode::OK, &TestedView::from(&exchange)))
}
