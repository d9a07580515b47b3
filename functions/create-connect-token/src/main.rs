//! `POST /v1/rc/connect-token`: creates a link that is valid for five minutes and connects one extension.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::links::{self, LinkOptions};
use shared::views::NewLink;
use shared::{auth, limits, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the link, relative to the base URL of the API.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    http::no_fields(&request)?;
    let options = LinkOptions::with_lifetime_seconds(limits::CONNECT_TOKEN_SECONDS);
    let token = links::create_link(gateway, caller.audit(), caller.tenant(), options).await?;
    Ok(http::reply(StatusCode::OK, &NewLink { connect_url: token.link() }))
}
