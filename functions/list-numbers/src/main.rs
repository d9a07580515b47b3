//! `GET /v1/rc/numbers`: all numbers that can send messages, and the other numbers of the account.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::Scope;
use shared::views::Numbers;
use shared::{auth, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with `{numbers}`.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage, Scope::SmsRead]).await?;
    let inventory = gateway.store.inventory(caller.tenant_id()).await?;
    Ok(http::reply(StatusCode::OK, &Numbers::of(&inventory)))
}
