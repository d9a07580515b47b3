//! `GET /v1/consents`: lists which recipients accept messages from which numbers of the tenant, as JSON or CSV.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::consent::ConsentStatus;
use shared::model::phone::E164;
use shared::store::ConsentFilter;
use shared::views::consents::ConsentList;
use shared::{auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{consents, nextCursor}`, by the other party's number.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let filter = ConsentFilter {
        from: http::query_word(&request, "from", E164::parse)?,
        to: http::query_word(&request, "to", E164::parse)?,
        status: http::query_word(&request, "status", ConsentStatus::parse)?,
    };
    // A position among all consents is none among those of one recipient.
    let cursors =
        caller.cursors(filter.to.as_ref().map_or("consents".to_owned(), |to| format!("consents of {to}")));
    let page = http::page(&request, &cursors, &["from", "to", "status"])?;
    let (found, next) = gateway.store.consents(caller.tenant_id(), &filter, &page).await?;
    let list = ConsentList::of(&found, cursors.seal(next));
    if http::accepts_csv(&request) {
        return http::csv(list.csv(), list.next_cursor());
    }
    Ok(http::reply(StatusCode::OK, &list))
}
