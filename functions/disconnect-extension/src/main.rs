//! `DELETE /v1/rc/extensions/{extensionId}`: disconnects one extension.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::model::ids::ExtensionId;
use shared::{auth, disconnect, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{"ok":true}`; 404 if the tenant has not connected the extension.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    http::no_fields(&request)?;
    let extension = http::path_id(&request, "extensionId", ExtensionId::parse)?;
    disconnect::disconnect_extension(gateway, caller.audit(), caller.tenant_id(), &extension).await?;
    Ok(http::ok())
}
