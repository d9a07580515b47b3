//! `GET /v1/rc/status`: whether the tenant has a usable RingCentral extension.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::Scope;
use shared::views::ConnectionSummary;
use shared::{auth, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with `{connected:true, expiresAt, rcAccountId}` or `{connected:false}`.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage, Scope::SmsRead]).await?;
    let connections = gateway.store.connections(caller.tenant_id()).await?;
    Ok(http::reply(StatusCode::OK, &ConnectionSummary::of(&connections)))
}
