//! `PUT /v1/consents`: records consents, and writes them to RingCentral.

mod route;

use shared::consent_changes::{self, ConsentOrder};
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::consents::ConsentResults;
use shared::{auth, run};

use route::{ConsentRequest, ROUTE, UpdateConsentsRequest};

fn main() -> run::ProcessResult {
    run::http_with_body(ROUTE.key, ROUTE.idempotency_key, ROUTE.body_bytes, handle)
}

/// 200 with `{results}`, in the order of the request.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let body: UpdateConsentsRequest = http::json(&request)?;
    let rows = body.consents.map(|rows| rows.into_iter().map(|http::Object(row)| order(row)).collect());
    let changes = consent_changes::validate(rows)?;
    let results = consent_changes::apply(gateway, caller.tenant_id(), changes).await?;
    Ok(http::reply(StatusCode::OK, &ConsentResults::of(&results)))
}

fn order(row: ConsentRequest) -> ConsentOrder {
    let ConsentRequest { from, to, status, note } = row;
    ConsentOrder { from, to, status, note }
}
