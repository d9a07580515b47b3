//! `POST /v1/rc/numbers/refresh`: reads the numbers of all connected extensions from RingCentral again.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::Numbers;
use shared::{auth, run, setup};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{numbers}` as they are now; 409 if nothing is connected.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    http::no_fields(&request)?;
    setup::rediscover_all(gateway, caller.tenant_id()).await?;
    let inventory = gateway.store.inventory(caller.tenant_id()).await?;
    Ok(http::reply(StatusCode::OK, &Numbers::of(&inventory)))
}
