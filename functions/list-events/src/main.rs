//! `GET /v1/events`: what happened, for programs that ask instead of being told, the oldest first. The cursor of an
//! answer, given with the next call, shows what has happened since; no event is skipped and none comes twice.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::Scope;
use shared::views::deliveries::Events;
use shared::{auth, polling, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with `{events, nextCursor}`. The cursor is there even if nothing has happened.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::SmsRead]).await?;
    let cursors = caller.cursors("events");
    let page = http::page(&request, &cursors, &[])?;
    let (events, place) = polling::since(gateway, caller.tenant_id(), &page).await?;
    Ok(http::reply(StatusCode::OK, &Events::of(&events, cursors.seal(place))))
}
