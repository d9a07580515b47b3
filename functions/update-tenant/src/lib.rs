//! `PATCH /v1/tenants/{tenantId}`: the operator renames, limits, suspends or resumes a tenant.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::registration;
use shared::store::TenantChange;
use shared::views::tenancy::{LimitsOrder, TenantView};
use shared::{auth, limits};

/// The request's body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// 1 to 100 characters.
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    name: Option<String>,
    /// `active` or `suspended`.
    #[schemars(extend("enum" = ["active", "suspended", null]))]
    status: Option<String>,
    /// Other limits; what is absent stays.
    limits: Option<http::Object<LimitsOrder>>,
    /// An https address that the page after success links to; `null` takes it away.
    #[serde(default, deserialize_with = "http::present")]
    #[schemars(length(max = limits::URL_CHARS))]
    return_url: Option<Option<String>>,
}

/// 200 with the tenant as it is now.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let operator = auth::operator(gateway, &request).await?;
    let id = registration::tenant_id(&http::path_parameter(&request, "tenantId"))?;
    let order: Order = http::json(&request)?;
    let limits = order.limits.unwrap_or_default().0.check()?;
    let change = TenantChange {
        name: order.name.map(|name| registration::name(Some(&name))).transpose()?,
        status: order.status.map(|status| registration::status(&status)).transpose()?,
        requests_per_minute: limits.requests_per_minute,
        connect_tokens_per_hour: limits.connect_tokens_per_hour,
        return_url: order.return_url.map(|url| registration::return_url(&gateway.config, url)).transpose()?,
    };
    let tenant = registration::change_tenant(gateway, operator.by(), &id, &change).await?;
    Ok(http::reply(StatusCode::OK, &TenantView::from(&tenant)))
}
