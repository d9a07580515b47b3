//! `GET /openapi.json`: returns the OpenAPI document, embedded at build time.

mod route;

use shared::config::Config;
use shared::http::{self, HandlerResult, Request};
use shared::run;

use route::ROUTE;

const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

fn main() -> run::ProcessResult {
    run::offline_http(ROUTE.key, ROUTE.idempotency_key, handle)
}

async fn handle(_config: &Config, _request: Request) -> HandlerResult {
    Ok(http::reply_written(DOCUMENT))
}
