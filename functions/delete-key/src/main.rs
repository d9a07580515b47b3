//! `DELETE /v1/apps/{appId}/keys/{keyId}`: deletes a key of an app.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::{apps, auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, handle)
}

/// 200 with `{"ok":true}`; 404 if the app has no such key.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let app = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let key = apps::key_id(&http::path_parameter(&request, "keyId"))?;
    apps::revoke_key(gateway, caller.by(), caller.tenant_id(), &app, &key).await?;
    Ok(http::ok())
}
