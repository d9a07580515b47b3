//! `GET /v1/key`: returns the key that the request is sent with.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::tenancy::CurrentKeyView;
use shared::{auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the key, which was read to authenticate the request.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    Ok(http::reply(StatusCode::OK, &CurrentKeyView::of(caller.key(), caller.tenant())))
}
