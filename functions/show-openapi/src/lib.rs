//! `GET /openapi.json`: the contract for programs, as it was written when this was built.

use lambda_http::Request;
use shared::gateway::Gateway;
use shared::http::{self, Answer};

const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

/// 200 with the document.
#[expect(clippy::unused_async, reason = "every handler is async")]
pub async fn handle(_gateway: &Gateway, _request: Request) -> Answer {
    Ok(http::reply_written(DOCUMENT))
}
