//! `GET /v1/rc/numbers`: every number that can text, and the account's other numbers with why they can't.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use shared::auth;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::views::Numbers;

/// 200 with `{numbers}`.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage, Scope::SmsRead]).await?;
    let inventory = gateway.store.inventory(caller.tenant_id()).await?;
    Ok(http::reply(StatusCode::OK, &Numbers::of(&inventory)))
}
