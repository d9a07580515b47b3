//! `POST /v1/apps/{appId}/replay`: tries all deliveries of a time that have a status again, the newest first.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::views::deliveries::Replayed;
use shared::views::iso;
use shared::{apps, auth, delivery};

/// The request's body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Of events since then.
    #[schemars(required, extend("format" = "date-time"))]
    from: Option<String>,
    /// Of events until then. Default: until now.
    #[schemars(extend("format" = "date-time"))]
    to: Option<String>,
    /// Of deliveries that have this status: `held`, `failed` or `delivered`. Default: `held`.
    status: Option<String>,
}

/// 202 with how many; `to` tells where to go on if there are more than one call replays.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let order: Order = http::json(&request)?;
    let status = delivery::replayable(order.status.as_deref())?;
    let between = delivery::between(order.from.as_deref(), order.to.as_deref(), gateway.clock.now())?;
    let app = apps::find(gateway, caller.tenant_id(), &id).await?;
    let (replayed, to) = delivery::replay_between(gateway, &app.tenant, &app.id, between, status).await?;
    Ok(http::reply(StatusCode::ACCEPTED, &Replayed { replayed, to: to.map(iso) }))
}
