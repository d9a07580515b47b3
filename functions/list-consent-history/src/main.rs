//! `GET /v1/consents/history`: lists everything that was ever recorded about the consents of a recipient, as JSON or CSV.

mod route;

use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::phone::E164;
use shared::views::consents::ConsentHistory;
use shared::{auth, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{entries, nextCursor}`, oldest first.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let to = http::query_word(&request, "to", E164::parse)?;
    let to = to.ok_or_else(|| Error::InvalidQuery { field: "to".to_owned() })?;
    let cursors = caller.cursors(format!("consent history of {to}"));
    let page = http::page(&request, &cursors, &["to"])?;
    let (found, next) = gateway.store.consent_history(caller.tenant_id(), &to, &page).await?;
    let history = ConsentHistory::of(&found, cursors.seal(next));
    if http::accepts_csv(&request) {
        return http::csv(history.csv(), history.next_cursor());
    }
    Ok(http::reply(StatusCode::OK, &history))
}
