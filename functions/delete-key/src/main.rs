//! `DELETE /v1/apps/{appId}/keys/{keyId}`: deletes a key of an app.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::model::ids::{AppId, KeyId};
use shared::{apps, auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{"ok":true}`; 404 if the app has no such key.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let app = http::path_id(&request, "appId", AppId::parse)?;
    let key = http::path_id(&request, "keyId", KeyId::parse)?;
    apps::revoke_key(gateway, caller.audit(), caller.tenant_id(), &app, &key).await?;
    Ok(http::ok())
}
