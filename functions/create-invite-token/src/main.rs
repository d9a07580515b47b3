//! `POST /v1/rc/invite-token`: creates a link for another user, valid for half an hour or as long as requested.

mod route;

use shared::{auth, registration, run};

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::links::{self, LinkOptions};
use shared::views::NewLink;

use route::{CreateInviteTokenRequest, ROUTE};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the link, relative to the base URL of the API.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let body: CreateInviteTokenRequest = http::optional_json(&request)?;
    let options = LinkOptions {
        lifetime: links::invite_lifetime(body.expires_in)?,
        label: links::invite_label(body.label)?,
        return_url: body.return_url.map(|url| registration::return_url(&gateway.config, url)).transpose()?,
    };
    let token = links::create_link(gateway, caller.audit(), caller.tenant(), options).await?;
    Ok(http::reply(StatusCode::OK, &NewLink { connect_url: token.link() }))
}
