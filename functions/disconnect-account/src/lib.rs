//! `POST /v1/rc/disconnect`: disconnects every extension of the tenant.

use lambda_http::Request;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::{auth, disconnect};

/// 200 with `{"ok":true}`, also if nothing was connected.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage]).await?;
    http::no_fields(&request)?;
    disconnect::account(gateway, caller.by(), caller.tenant_id()).await?;
    Ok(http::ok())
}
