//! `GET /v1/rc/status`: whether the tenant has a RingCentral extension that can be used.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::auth;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::views::Status;

/// 200 with `{connected:true, expiresAt, rcAccountId}` or `{connected:false}`.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage, Scope::SmsRead]).await?;
    let connections = gateway.store.connections(caller.tenant_id()).await?;
    Ok(http::reply(StatusCode::OK, &Status::of(&connections)))
}
