//! `GET /v1/events`: lists events, oldest first, for clients that poll. The cursor of a response returns the events since then; none
//! is skipped or repeated.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::views::events::Events;
use shared::{auth, polling, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{events, nextCursor}`. The cursor is present even if there are no events.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let cursors = caller.cursors("events");
    let page = http::page(&request, &cursors, &[])?;
    let (events, position) = polling::events_after(gateway, caller.tenant_id(), &page).await?;
    Ok(http::reply(StatusCode::OK, &Events::of(&events, cursors.seal(position))))
}
