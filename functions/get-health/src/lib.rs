//! `GET /health`: the process answers. It touches no store, so it tells nothing about them; `check-readiness` does.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::views::StatusOnly;

/// Answers `{"status":"ok"}`.
#[expect(clippy::unused_async, reason = "every handler is async")]
pub async fn handle(_gateway: &Gateway, _request: Request) -> Answer {
    Ok(http::reply(StatusCode::OK, &StatusOnly { status: "ok" }))
}
