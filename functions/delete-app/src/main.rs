//! `DELETE /v1/apps/{appId}`: deletes an app and all its keys.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::{apps, auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, handle)
}

/// 200 with `{"ok":true}`; 404 if the tenant has no such app.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    apps::delete(gateway, caller.by(), caller.tenant_id(), &id).await?;
    Ok(http::ok())
}
