//! `DELETE /v1/quarantine/{recordId}`: deletes a quarantined record. Operator only.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::model::quarantine::QuarantineId;
use shared::{auth, quarantine, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{"ok":true}`.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    auth::operator(gateway, &request).await?;
    let id = http::path_id(&request, "recordId", QuarantineId::parse)?;
    quarantine::delete(gateway, &id).await?;
    Ok(http::ok())
}
