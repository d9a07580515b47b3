//! `GET /v1/tenants`: lists the tenants, newest first. Operator only.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::tenancy::Tenants;
use shared::{auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{tenants, nextCursor}`.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let operator = auth::operator(gateway, &request).await?;
    let cursors = operator.cursors("tenants");
    let page = http::page(&request, &cursors, &[])?;
    let (tenants, next) = gateway.store.all_tenants(&page).await?;
    Ok(http::reply(StatusCode::OK, &Tenants::of(&tenants, cursors.seal(next))))
}
