//! `POST /v1/rc/connect-token`: a link for the admin, good for five minutes, once.

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::links::{self, LinkOrder};
use shared::model::app::Scope;
use shared::views::NewLink;
use shared::{auth, limits, run};

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with the link, relative to this address.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage]).await?;
    http::no_fields(&request)?;
    let order = LinkOrder::living(limits::CONNECT_TOKEN_SECONDS);
    let token = links::mint(gateway, caller.by(), caller.tenant(), order).await?;
    Ok(http::reply(StatusCode::OK, &NewLink { connect_url: token.link() }))
}
