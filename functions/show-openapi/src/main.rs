//! `GET /openapi.json`: the contract for programs, as it was written when this was built.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::run;

const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with the document.
async fn handle(_gateway: &Gateway, _request: Request) -> HandlerResult {
    Ok(http::reply_written(DOCUMENT))
}
