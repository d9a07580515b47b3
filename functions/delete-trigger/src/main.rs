//! `DELETE /v1/triggers/sms-received/subscribe/{id}`: unsubscribes a Power Automate flow.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::model::ids::AppId;
use shared::{apps, auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{"ok":true}`; 404 if the tenant has no such trigger.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "id", AppId::parse)?;
    apps::delete_trigger(gateway, caller.audit(), caller.tenant_id(), &id).await?;
    Ok(http::ok())
}
