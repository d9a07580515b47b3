//! `PATCH /v1/tenants/{tenantId}`: renames, limits, suspends or resumes a tenant. Operator only.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::TenantId;
use shared::store::TenantChange;
use shared::views::tenancy::TenantView;
use shared::{auth, registration, run};

use route::{ROUTE, UpdateTenantRequest};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the updated tenant.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let operator = auth::operator(gateway, &request).await?;
    let id = http::path_id(&request, "tenantId", TenantId::from_record)?;
    let body: UpdateTenantRequest = http::json(&request)?;
    let limits = body.limits.unwrap_or_default().0.check()?;
    let change = TenantChange {
        name: body.name.map(|name| registration::name(Some(&name))).transpose()?,
        status: body.status.map(|status| registration::status(&status)).transpose()?,
        requests_per_minute: limits.requests_per_minute,
        tenant_requests_per_minute: limits.tenant_requests_per_minute,
        connect_tokens_per_hour: limits.connect_tokens_per_hour,
        apps: limits.apps,
        return_url: body.return_url.try_map(|url| registration::return_url(&gateway.config, url))?,
    };
    let tenant = registration::change_tenant(gateway, operator.audit(), &id, &change).await?;
    Ok(http::reply(StatusCode::OK, &TenantView::from(&tenant)))
}
