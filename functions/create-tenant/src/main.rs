//! `POST /v1/tenants`: creates a tenant. Operator only.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::registration::{self, TenantSpec};
use shared::views::tenancy::TenantView;
use shared::{auth, run};

use route::{CreateTenantRequest, ROUTE};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 201 with the tenant, once per idempotency key. It has no API key yet: register an app to get one.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let operator = auth::operator(gateway, &request).await?;
    let body: CreateTenantRequest = http::json(&request)?;
    let name = registration::name(body.name.as_deref())?;
    let limits = body.limits.unwrap_or_default().0.check()?;
    let return_url = body.return_url.map(|url| registration::return_url(&gateway.config, url)).transpose()?;
    let spec = TenantSpec { name, limits: limits.or_default(), return_url };
    let key = http::idempotency_key(&request)?;
    let tenant = registration::create_tenant(gateway, operator.audit(), spec, key.as_deref()).await?;
    Ok(http::reply(StatusCode::CREATED, &TenantView::from(&tenant)))
}
