//! `GET /docs`: shows the API reference, embedded at build time.

use shared::gateway::Gateway;
use shared::http::{HandlerResult, Request};
use shared::{pages, run};

const PAGE: &str = include_str!("../../../docs/api.html");

fn main() -> run::ProcessResult {
    run::http(handle)
}

async fn handle(_gateway: &Gateway, _request: Request) -> HandlerResult {
    pages::embedded(PAGE)
}
