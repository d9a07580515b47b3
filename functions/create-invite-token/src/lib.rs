//! `POST /v1/rc/invite-token`: a link for a further extension, good for half an hour or as long as is asked for.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::auth;

use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::links::{self, LinkOrder};
use shared::model::app::Scope;
use shared::registration;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Order {
    expires_in: Option<i64>,
    label: Option<String>,
    return_url: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Minted {
    connect_url: String,
}

/// 200 with the link, relative to this address.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::RcManage]).await?;
    let order: Order = http::optional_json(&request)?;
    let order = LinkOrder {
        lifetime: links::lifetime(order.expires_in)?,
        label: links::label(order.label)?,
        return_url: registration::return_url(&gateway.config, order.return_url)?,
    };
    let token = links::mint(gateway, caller.by(), caller.tenant(), order).await?;
    Ok(http::reply(StatusCode::OK, &Minted { connect_url: token.link() }))
}
