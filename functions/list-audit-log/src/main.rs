//! `GET /v1/audit`: lists audit log entries. A tenant reads its own; the operator reads those of all tenants, or of `tenantId`.

mod route;

use shared::auth::{self, Operator, Principal};
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::cursor::Cursors;
use shared::model::ids::TenantId;
use shared::views::tenancy::AuditLog;
use shared::{registration, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with `{entries, nextCursor}`, newest first.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    match auth::principal(gateway, &request, ROUTE.scopes).await? {
        Principal::Operator(operator) => for_operator(gateway, &request, &operator).await,
        Principal::Caller(caller) => {
            let tenant = caller.tenant_id();
            of_tenant(gateway, &request, tenant, &caller.cursors(list_of(tenant)), &[]).await
        }
    }
}

async fn for_operator(gateway: &Gateway, request: &Request, operator: &Operator) -> HandlerResult {
    let also = ["tenantId"];
    if let Some(tenant) = http::query_parameter(request, "tenantId") {
        let tenant = registration::tenant_id(&tenant)?;
        return of_tenant(gateway, request, &tenant, &operator.cursors(list_of(&tenant)), &also).await;
    }
    let cursors = operator.cursors("audit");
    let page = http::page(request, &cursors, &also)?;
    let (entries, next) = gateway.store.audit_log_of_all_tenants(&page).await?;
    Ok(http::reply(StatusCode::OK, &AuditLog::of(&entries, cursors.seal(next))))
}

fn list_of(tenant: &TenantId) -> String {
    format!("audit of {tenant}")
}

async fn of_tenant(
    gateway: &Gateway,
    request: &Request,
    tenant: &TenantId,
    cursors: &Cursors,
    also: &[&str],
) -> HandlerResult {
    let page = http::page(request, cursors, also)?;
    let (entries, next) = gateway.store.audit_log(tenant, &page).await?;
    Ok(http::reply(StatusCode::OK, &AuditLog::of(&entries, cursors.seal(next))))
}
