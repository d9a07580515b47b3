//! `GET /v1/rc/extensions`: every connected extension with its numbers, its health, and what is missing of its set-up.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::auth;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::views::Extensions;

/// 200 with `{extensions}`, the earliest connected first.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage, Scope::SmsRead]).await?;
    let inventory = gateway.store.inventory(caller.tenant_id()).await?;
    Ok(http::reply(StatusCode::OK, &Extensions::of(&inventory)))
}
