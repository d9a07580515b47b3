//! `GET /v1/events`: lists events, oldest first, for clients that poll. The cursor of a response returns the events since then; none
//! is skipped or repeated.

mod route;

use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::EventId;
use shared::views::events::Events;
use shared::{auth, clock, polling, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{events, nextCursor}`. The cursor is present even if there are no events.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let cursors = caller.cursors("events");
    let mut page = http::page(&request, &cursors, &["from"])?;
    if let Some(from) = http::query_parameter(&request, "from") {
        let from =
            clock::parse_time(&from).ok_or_else(|| Error::InvalidQuery { field: "from".to_owned() })?;
        page.after = page.after.or_else(|| Some(EventId::first_of(from)));
    }
    let (events, position) = polling::events_after(gateway, caller.tenant_id(), &page).await?;
    Ok(http::reply(StatusCode::OK, &Events::of(&events, cursors.seal(position))))
}
