//! `GET /docs`: shows the API reference, embedded at build time.

mod route;

use shared::config::Config;
use shared::http::{HandlerResult, Request};
use shared::{pages, run};

use route::ROUTE;

const PAGE: &str = include_str!("../../../docs/api.html");

fn main() -> run::ProcessResult {
    run::offline_http(ROUTE.key, ROUTE.idempotency_key, handle)
}

async fn handle(_config: &Config, _request: Request) -> HandlerResult {
    pages::embedded(PAGE)
}
