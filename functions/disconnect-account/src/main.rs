//! `POST /v1/rc/disconnect`: disconnects every extension of the tenant.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::model::app::Scope;
use shared::{auth, disconnect, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with `{"ok":true}`, even if nothing was connected.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage]).await?;
    http::no_fields(&request)?;
    disconnect::disconnect_account(gateway, caller.by(), caller.tenant_id()).await?;
    Ok(http::ok())
}
