//! `POST /v1/apps/{appId}/keys`: a further key of an app, with fewer scopes, an expiry, or an allow-list of addresses.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::apps::{self, KeyOrder};
use shared::auth;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::model::app::Scope;
use shared::views::tenancy::NewKey;

/// The request's body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// What it may do; at least one.
    #[schemars(
        required,
        length(min = 1),
        inner(regex(pattern = "^(sms:send|sms:read|rc:manage|apps:manage)$"))
    )]
    scopes: Option<Vec<String>>,
    /// When it ends, in the future. Default: never.
    #[schemars(extend("format" = "date-time"))]
    expires_at: Option<String>,
    /// Addresses and CIDR ranges that it may be used from, at most 50. Default: any.
    allowed_ips: Option<Vec<String>>,
}

/// 201 with the key, which is shown this once.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let caller = auth::caller(gateway, &request, &[Scope::AppsManage]).await?;
    let id = apps::app_id(&http::path_parameter(&request, "appId"))?;
    let order: Order = http::json(&request)?;
    let order = KeyOrder {
        scopes: apps::scopes(order.scopes)?,
        expires_at: apps::expiry(order.expires_at.as_deref(), gateway.clock.now())?,
        allowed_ips: apps::allowed_ips(order.allowed_ips.as_deref())?,
    };
    let (key, record) = apps::create_key(gateway, caller.by(), caller.tenant_id(), &id, &order).await?;
    Ok(http::reply(StatusCode::CREATED, &NewKey::of(&key, &record)))
}
