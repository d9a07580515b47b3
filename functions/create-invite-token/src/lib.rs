//! `POST /v1/rc/invite-token`: a link for a further extension, good for half an hour or as long as is asked for.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::{auth, limits};

use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::links::{self, LinkOrder};
use shared::model::app::Scope;
use shared::registration;
use shared::views::NewLink;

/// The request's body.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// Seconds that the link lives. Default: half an hour.
    #[schemars(range(min = limits::INVITE_TOKEN_MIN_SECONDS, max = limits::INVITE_TOKEN_MAX_SECONDS))]
    expires_in: Option<i64>,
    /// Shown to whoever opens the link.
    #[schemars(length(max = limits::LABEL_CHARS))]
    label: Option<String>,
    /// An https address that the page after success links to.
    #[schemars(length(max = limits::URL_CHARS))]
    return_url: Option<String>,
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
    Ok(http::reply(StatusCode::OK, &NewLink { connect_url: token.link() }))
}
