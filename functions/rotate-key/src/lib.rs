//! `POST /v1/apps/{appId}/rotate-key`: replaces an app's main key. With `overlapSeconds` the old one lives on for so
//! long; without, it is dead at once. The body is optional.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::views::tenancy::RotatedKey;
use shared::{apps, auth, limits};

/// The request's body.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// How long the old key lives on. Default: not at all.
    #[schemars(range(min = 0, max = limits::OVERLAP_SECONDS_MAX))]
    overlap_seconds: Option<i64>,
}

/// 200 with the new key, which is shown this once.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let order: Order = http::optional_json(&request)?;
    let overlap = apps::overlap(order.overlap_seconds)?;
    let key = apps::rotate_key(gateway, caller.by(), caller.tenant_id(), &id, overlap).await?;
    Ok(http::reply(StatusCode::OK, &RotatedKey::from(&key)))
}
