//! `GET /docs`: the contract for people, as it was written when this was built.

use lambda_http::Request;
use shared::gateway::Gateway;
use shared::http::Answer;
use shared::pages;

const PAGE: &str = include_str!("../../../docs/api.html");

/// 200 with the page.
#[expect(clippy::unused_async, reason = "every handler is async")]
pub async fn handle(_gateway: &Gateway, _request: Request) -> Answer {
    pages::embedded(PAGE)
}
