//! `DELETE /v1/triggers/sms-received/subscribe/{id}`: unsubscribes a Power Automate flow, by the token of its URL or with a key.

mod route;

use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::model::audit::Actor;
use shared::model::ids::AppId;
use shared::model::trigger_token::TriggerToken;
use shared::{apps, auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{"ok":true}`; 404 if there is no such trigger.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let token = http::query_parameter(&request, "token").and_then(|token| TriggerToken::parse(&token));
    let Some(token) = token else { return delete_by_key(gateway, &request).await };
    let id = http::path_id(&request, "id", AppId::parse)?;
    let audit = auth::audit_context(&request, Actor::Trigger);
    match apps::end_trigger(gateway, &audit, &id, &token).await {
        // A key may still allow it.
        Err(Error::NotFound) if auth::presents_key(&request) => delete_by_key(gateway, &request).await,
        outcome => outcome.map(|()| http::ok()),
    }
}

async fn delete_by_key(gateway: &Gateway, request: &Request) -> HandlerResult {
    let caller = auth::caller(gateway, request, ROUTE.scopes).await?;
    let id = http::path_id(request, "id", AppId::parse)?;
    apps::delete_trigger(gateway, caller.audit(), caller.tenant_id(), &id).await?;
    Ok(http::ok())
}
