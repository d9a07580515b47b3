//! `GET /health/ready`: checks every table and the vault's key; 503 if one is unavailable.

mod route;

use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::run;
use shared::views::Health;

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

async fn handle(gateway: &Gateway, _request: Request) -> HandlerResult {
    let store = async { gateway.store.check().await.map_err(Error::from) };
    let vault = async { gateway.vault().check().await.map_err(Error::from) };
    tokio::try_join!(store, vault)?;
    Ok(http::reply(StatusCode::OK, &Health { status: "ok" }))
}
