//! `GET /v1/rc/extensions`: all connected extensions, with their numbers, status and incomplete set-up steps.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::Scope;
use shared::views::Extensions;
use shared::{auth, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with `{extensions}`, the earliest connected first.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage, Scope::SmsRead]).await?;
    let inventory = gateway.store.inventory(caller.tenant_id()).await?;
    Ok(http::reply(StatusCode::OK, &Extensions::of(&inventory)))
}
