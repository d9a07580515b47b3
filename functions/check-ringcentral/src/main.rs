//! `POST /v1/checks/ringcentral`: checks the RingCentral app. Operator only.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::app_check::AppCheckView;
use shared::{app_check, auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the findings, whatever they are.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    auth::operator(gateway, &request).await?;
    let check = app_check::run(gateway).await?;
    Ok(http::reply(StatusCode::OK, &AppCheckView::of(check, &gateway.config)))
}
