//! `DELETE /v1/apps/{appId}`: deletes an app and all its keys.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::model::ids::AppId;
use shared::{apps, auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{"ok":true}`; 404 if the tenant has no such app.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "appId", AppId::parse)?;
    apps::delete(gateway, caller.audit(), caller.tenant_id(), &id).await?;
    Ok(http::ok())
}
