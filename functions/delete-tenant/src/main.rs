//! `DELETE /v1/tenants/{tenantId}`: deletes a tenant. Operator only. Stops all its activity and erases its data keys; the rest is
//! deleted in the background. `GET /v1/tenants/{tenantId}` shows the progress.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::TenantId;
use shared::model::tenant::TenantStatus;
use shared::views::tenancy::DeletionStarted;
use shared::{auth, deletion, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 202 with `{"status":"deleting"}`.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let operator = auth::operator(gateway, &request).await?;
    let id = http::path_id(&request, "tenantId", TenantId::from_record)?;
    deletion::request(gateway, operator.audit(), &id).await?;
    Ok(http::reply(StatusCode::ACCEPTED, &DeletionStarted { status: TenantStatus::Deleting }))
}
