//! `GET /v1/sms/messages`: lists a tenant's messages, newest first. `cursor` reaches all of them; `page` is for clients that
//! use page numbers, with a total.

mod route;

use shared::error::{Error, Result};
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::store::Page;
use shared::views::messages::MessageList;
use shared::{auth, limits, run, sending};

use route::ROUTE;

const FILTERS: [&str; 8] = ["direction", "status", "kind", "from", "to", "startDate", "endDate", "page"];

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{messages, total, totalIsExact, page, limit, nextCursor}`; without the total and `page` for a cursor.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let cursors = caller.cursors("messages");
    let page = http::page(&request, &cursors, &FILTERS)?;
    let filter = sending::filter(|name| http::query_filter(&request, name))?;
    let number = page_number(&request, &page)?;
    if page.after.is_some() {
        let (messages, next) = gateway.store.messages(caller.tenant_id(), &filter, &page).await?;
        let list = MessageList::of(&messages, page.limit, cursors.seal(next), gateway.store.media_urls());
        return Ok(http::reply(StatusCode::OK, &list));
    }
    let most = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let skip = (number - 1).saturating_mul(most);
    let found = gateway.store.numbered_messages(caller.tenant_id(), &filter, skip, most).await?;
    let next = cursors.seal(found.next.clone());
    let list = MessageList::numbered(&found, number, page.limit, next, gateway.store.media_urls());
    Ok(http::reply(StatusCode::OK, &list))
}

fn page_number(request: &Request, page: &Page) -> Result<usize> {
    let invalid = || Error::InvalidQuery { field: "page".to_owned() };
    let Some(text) = http::query_parameter(request, "page") else { return Ok(1) };
    let most = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let number: usize = text.parse().map_err(|_| invalid())?;
    let is_reachable = number > 0 && (number - 1).saturating_mul(most) < limits::LISTED_MESSAGES;
    if is_reachable && page.after.is_none() { Ok(number) } else { Err(invalid()) }
}
