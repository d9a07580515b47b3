//! `GET /docs`: the contract for people, as it was written when this was built.

use shared::gateway::Gateway;
use shared::http::{HandlerResult, Request};
use shared::{pages, run};

const PAGE: &str = include_str!("../../../docs/api.html");

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with the page.
async fn handle(_gateway: &Gateway, _request: Request) -> HandlerResult {
    pages::embedded(PAGE)
}
