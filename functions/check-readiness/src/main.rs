//! `GET /health/ready`: checks every table and the vault's key; 503 if one is unavailable. Anyone can ask, so an outcome is kept for
//! a few seconds.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::run;
use shared::views::Health;

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

async fn handle(gateway: &Gateway, _request: Request) -> HandlerResult {
    gateway.check_readiness().await?;
    Ok(http::reply(StatusCode::OK, &Health { status: "ok" }))
}
