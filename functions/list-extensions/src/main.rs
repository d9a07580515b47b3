//! `GET /v1/rc/extensions`: all connected extensions, with their numbers, status and incomplete set-up steps.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::Extensions;
use shared::{auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{extensions}`, the earliest connected first.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let inventory = gateway.store.inventory(caller.tenant_id()).await?;
    Ok(http::reply(StatusCode::OK, &Extensions::of(&inventory, gateway.clock.now())))
}
