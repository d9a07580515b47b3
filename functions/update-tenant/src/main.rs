//! `PATCH /v1/tenants/{tenantId}`: renames, limits, suspends or resumes a tenant. Operator only.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::store::TenantChange;
use shared::views::tenancy::TenantView;
use shared::{auth, registration, run};

use route::{ROUTE, UpdateTenantRequest};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, handle)
}

/// 200 with the updated tenant.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let operator = auth::operator(gateway, &request).await?;
    let id = registration::tenant_id(&http::path_parameter(&request, "tenantId"))?;
    let order: UpdateTenantRequest = http::json(&request)?;
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
