//! `GET /v1/tenants`: the operator lists the tenants, the newest first.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::auth;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::views::tenancy::Tenants;

/// 200 with `{tenants, nextCursor}`.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let operator = auth::operator(gateway, &request).await?;
    let cursors = operator.cursors("tenants");
    let page = http::page(&request, &cursors, &[])?;
    let (tenants, next) = gateway.store.all_tenants(&page).await?;
    Ok(http::reply(StatusCode::OK, &Tenants::of(&tenants, cursors.seal(next))))
}
