//! `POST /v1/apps/{appId}/rotate-webhook-secret`: replaces the secret that signs an app's webhooks. Both secrets sign for 24 hours, so
//! that the receiver can switch over without rejecting an event.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::AppId;
use shared::views::iso;
use shared::views::tenancy::RotatedSecret;
use shared::{apps, auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the new secret, which is shown only once.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "appId", AppId::parse)?;
    let (secret, ends) =
        apps::rotate_webhook_secret(gateway, caller.audit(), caller.tenant_id(), &id).await?;
    let answer = RotatedSecret { webhook_secret: secret.expose(), previous_expires_at: iso(ends) };
    Ok(http::reply(StatusCode::OK, &answer))
}
