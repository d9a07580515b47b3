//! `DELETE /v1/apps/{appId}`: deletes an app and all its keys.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::model::app::Scope;
use shared::{apps, auth, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with `{"ok":true}`; 404 if the tenant has no such app.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    apps::delete(gateway, caller.by(), caller.tenant_id(), &id).await?;
    Ok(http::ok())
}
