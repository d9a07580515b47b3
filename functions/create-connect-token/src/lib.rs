//! `POST /v1/rc/connect-token`: a link for the admin, good for five minutes, once.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use serde::{Deserialize, Serialize};

use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::links::{self, LinkOrder};
use shared::model::app::Scope;
use shared::{auth, limits};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Minted {
    connect_url: String,
}

/// 200 with the link, relative to this address.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage]).await?;
    let Order {} = http::optional_json(&request)?;
    let order = LinkOrder::living(limits::CONNECT_TOKEN_SECONDS);
    let token = links::mint(gateway, caller.by(), caller.tenant(), order).await?;
    Ok(http::reply(StatusCode::OK, &Minted { connect_url: token.link() }))
}
