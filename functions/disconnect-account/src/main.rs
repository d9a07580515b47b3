//! `POST /v1/rc/disconnect`: disconnects every extension of the tenant.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::{auth, disconnect, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{"ok":true}`, even if nothing was connected.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    http::no_fields(&request)?;
    disconnect::disconnect_account(gateway, caller.audit(), caller.tenant_id()).await?;
    Ok(http::ok())
}
