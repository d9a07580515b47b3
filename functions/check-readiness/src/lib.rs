//! `GET /health/ready`: every table and the vault's key answer; else 503.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::views::StatusOnly;

/// Asks all of them at once.
pub async fn handle(gateway: &Gateway, _request: Request) -> Answer {
    let store = async { gateway.store.check().await.map_err(Error::from) };
    let vault = async { gateway.vault().check().await.map_err(Error::from) };
    tokio::try_join!(store, vault)?;
    Ok(http::reply(StatusCode::OK, &StatusOnly { status: "ok" }))
}
