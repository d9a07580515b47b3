//! `POST /v1/apps/{appId}/keys`: creates another key of an app, with its own scopes, expiry and allowed IP addresses.

mod route;

use shared::apps;
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::KeyGrant;
use shared::model::ids::AppId;
use shared::views::tenancy::NewKey;
use shared::{auth, run};

use route::{CreateKeyRequest, ROUTE};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 201 with the key, which is shown only once.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "appId", AppId::parse)?;
    let body: CreateKeyRequest = http::json(&request)?;
    let grant = KeyGrant {
        scopes: apps::scopes(body.scopes)?,
        expires_at: apps::expiry(body.expires_at.as_deref(), gateway.clock.now())?,
        allowed_ips: apps::allowed_ips(body.allowed_ips.as_deref())?,
    };
    let (audit, callers) = (caller.audit(), &caller.key().grant);
    let (key, record) = apps::create_key(gateway, audit, caller.tenant_id(), &id, callers, &grant).await?;
    Ok(http::reply(StatusCode::CREATED, &NewKey::of(&key, &record)))
}
