//! `GET /v1/rc/status`: whether the tenant has a usable RingCentral extension.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::ConnectionSummary;
use shared::{auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{connected:true, expiresAt, rcAccountId}` or `{connected:false}`.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let connections = gateway.store.connections(caller.tenant_id()).await?;
    Ok(http::reply(StatusCode::OK, &ConnectionSummary::of(&connections)))
}
