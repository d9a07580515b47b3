//! `GET /health`: shows that the function runs. Reads no table; `check-readiness` does.

mod route;

use shared::config::Config;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::run;
use shared::views::Health;

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::offline_http(ROUTE.key, ROUTE.idempotency_key, handle)
}

async fn handle(_config: &Config, _request: Request) -> HandlerResult {
    Ok(http::reply(StatusCode::OK, &Health { status: "ok" }))
}
