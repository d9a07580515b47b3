//! `POST /v1/rc/connect-token`: a link for the admin, good for five minutes, once.

use lambda_http::Request;
use lambda_http::http::StatusCode;

use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::links::{self, LinkOrder};
use shared::model::app::Scope;
use shared::views::NewLink;
use shared::{auth, limits};

/// 200 with the link, relative to this address.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage]).await?;
    http::no_fields(&request)?;
    let order = LinkOrder::living(limits::CONNECT_TOKEN_SECONDS);
    let token = links::mint(gateway, caller.by(), caller.tenant(), order).await?;
    Ok(http::reply(StatusCode::OK, &NewLink { connect_url: token.link() }))
}
