//! `GET /v1/quarantine`: lists the records that could not be read, of all tenants. Operator only.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::quarantine::QuarantineKind;
use shared::views::quarantine::QuarantineList;
use shared::{auth, quarantine, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{records, nextCursor}`, newest first.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let operator = auth::operator(gateway, &request).await?;
    let kind = http::query_word(&request, "kind", QuarantineKind::parse)?;
    let cursors = operator.cursors(format!("quarantine {}", kind.map_or("", QuarantineKind::as_str)));
    let page = http::page(&request, &cursors, &["kind"])?;
    let (entries, next) = quarantine::list(gateway, kind, &page).await?;
    Ok(http::reply(StatusCode::OK, &QuarantineList::of(&entries, cursors.seal(next))))
}
