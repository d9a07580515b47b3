//! `POST /v1/apps/{appId}/rotate-key`: replaces an app's main key. The old key stays valid for `overlapSeconds`, by default 0. The
//! body is optional.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::AppId;
use shared::views::tenancy::RotatedKey;
use shared::{apps, auth, run};

use route::{ROUTE, RotateKeyRequest};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the new key, which is shown only once.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let id = http::path_id(&request, "appId", AppId::parse)?;
    let body: RotateKeyRequest = http::optional_json(&request)?;
    let overlap = apps::overlap(body.overlap_seconds)?;
    let (audit, callers) = (caller.audit(), &caller.key().grant);
    let (key, record) = apps::rotate_key(gateway, audit, caller.tenant_id(), &id, callers, overlap).await?;
    Ok(http::reply(StatusCode::OK, &RotatedKey::of(&key, &record)))
}
