//! `GET /v1/quarantine/{recordId}`: returns a quarantined record as it came. Operator only.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::quarantine::QuarantineId;
use shared::views::quarantine::QuarantineContent;
use shared::{auth, quarantine, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the record.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    auth::operator(gateway, &request).await?;
    let id = http::path_id(&request, "recordId", QuarantineId::parse)?;
    let (entry, raw) = quarantine::open(gateway, &id).await?;
    Ok(http::reply(StatusCode::OK, &QuarantineContent::of(&entry, &raw)))
}
