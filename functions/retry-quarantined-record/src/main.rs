//! `POST /v1/quarantine/{recordId}/retry`: processes a quarantined record again. Operator only.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request};
use shared::model::quarantine::QuarantineId;
use shared::{auth, reprocessing, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{"ok":true}` if the record was processed; 409 if it still cannot be read.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    auth::operator(gateway, &request).await?;
    let id = http::path_id(&request, "recordId", QuarantineId::parse)?;
    reprocessing::retry(gateway, &id).await?;
    Ok(http::ok())
}
