//! `GET /v1/tenants/{tenantId}`: returns a tenant and the progress of its deletion. Operator only.

mod route;

use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::ids::TenantId;
use shared::views::tenancy::TenantView;
use shared::{auth, deletion, run};

use route::ROUTE;

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the tenant; 404 if it does not exist or is completely deleted.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    auth::operator(gateway, &request).await?;
    let id = http::path_id(&request, "tenantId", TenantId::from_record)?;
    let tenant = gateway.store.tenant(&id).await?.ok_or(Error::NotFound)?;
    let view = match tenant.deletion {
        None => TenantView::from(&tenant),
        Some(_) => TenantView::from(&tenant).with_remaining(deletion::remaining(gateway, &id).await?),
    };
    Ok(http::reply(StatusCode::OK, &view))
}
