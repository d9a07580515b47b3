//! `DELETE /v1/tenants/{tenantId}`: the operator deletes a tenant. Everything of it stops and its data keys are erased;
//! the rest goes in the background, and `GET /v1/tenants/{tenantId}` tells how far it has come.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::StatusOnly;
use shared::{auth, deletion, registration, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 202 with `{"status":"deleting"}`.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let operator = auth::operator(gateway, &request).await?;
    let id = registration::tenant_id(&http::path_parameter(&request, "tenantId"))?;
    deletion::order(gateway, operator.by(), &id).await?;
    Ok(http::reply(StatusCode::ACCEPTED, &StatusOnly { status: "deleting" }))
}
