//! `POST /v1/tenants`: the operator creates a tenant.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::registration;
use shared::views::tenancy::{LimitsOrder, TenantView};
use shared::{auth, limits};

/// The request's body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// 1 to 100 characters.
    #[schemars(required, length(min = 1, max = limits::NAME_CHARS))]
    name: Option<String>,
    /// Other limits than the product's own.
    limits: Option<http::Object<LimitsOrder>>,
    /// An https address that the page after success links to.
    #[schemars(length(max = limits::URL_CHARS))]
    return_url: Option<String>,
}

/// 201 with the tenant. It has no key yet: register an app for one.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let operator = auth::operator(gateway, &request).await?;
    let order: Order = http::json(&request)?;
    let name = registration::name(order.name.as_deref())?;
    let limits = order.limits.unwrap_or_default().0.check()?;
    let return_url = registration::return_url(&gateway.config, order.return_url)?;
    let tenant =
        registration::create_tenant(gateway, operator.by(), name, limits.or_default(), return_url).await?;
    Ok(http::reply(StatusCode::CREATED, &TenantView::from(&tenant)))
}
