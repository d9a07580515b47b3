//! `DELETE /v1/tenants/{tenantId}`: the operator deletes a tenant. Everything of it stops and its data keys are erased;
//! the rest goes in the background, and `GET /v1/tenants/{tenantId}` tells how far it has come.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::views::StatusOnly;
use shared::{auth, deletion, registration};

/// 202 with `{"status":"deleting"}`.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let operator = auth::operator(gateway, &request).await?;
    let id = registration::tenant_id(&http::path_parameter(&request, "tenantId"))?;
    deletion::order(gateway, operator.by(), &id).await?;
    Ok(http::reply(StatusCode::ACCEPTED, &StatusOnly { status: "deleting" }))
}
