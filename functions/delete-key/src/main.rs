//! `DELETE /v1/apps/{appId}/keys/{keyId}`: deletes a key of an app.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::model::app::Scope;
use shared::{apps, auth, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with `{"ok":true}`; 404 if the app has no such key.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let app = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let key = apps::key_id(&http::path_parameter(&request, "keyId"))?;
    apps::revoke_key(gateway, caller.by(), caller.tenant_id(), &app, &key).await?;
    Ok(http::ok())
}
