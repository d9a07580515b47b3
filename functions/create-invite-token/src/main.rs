//! `POST /v1/rc/invite-token`: a link for a further extension, good for half an hour or as long as is asked for.

mod route;

use shared::{auth, registration, run};

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::links::{self, LinkOrder};
use shared::model::app::Scope;
use shared::views::NewLink;

use route::CreateInviteTokenRequest;

fn main() -> run::ProcessResult {
    run::http(handle)
}

/// 200 with the link, relative to this address.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage]).await?;
    let order: CreateInviteTokenRequest = http::optional_json(&request)?;
    let order = LinkOrder {
        lifetime: links::lifetime(order.expires_in)?,
        label: links::label(order.label)?,
        return_url: registration::return_url(&gateway.config, order.return_url)?,
    };
    let token = links::mint(gateway, caller.by(), caller.tenant(), order).await?;
    Ok(http::reply(StatusCode::OK, &NewLink { connect_url: token.link() }))
}
