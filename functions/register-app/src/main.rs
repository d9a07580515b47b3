//! `POST /v1/apps/register`: registers an app. Open to the operator and to keys that manage apps.

mod route;

use shared::auth::{self, Principal};
use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::app::KeyGrant;
use shared::registration::{self, AppSpec};
use shared::run;
use shared::views::tenancy::RegisteredAppView;

use route::{ROUTE, RegisterAppRequest};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 201 with the app, its key and its webhook secret, which are shown only once.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let principal = auth::principal(gateway, &request, ROUTE.scopes).await?;
    let body: RegisterAppRequest = http::json(&request)?;
    let name = registration::name(body.name.as_deref())?;
    let named = body.tenant_id.as_deref().filter(|id| !id.is_empty()).ok_or(Error::MissingField {
        text: "tenantId is required when registering new apps",
        field: "tenantId",
    })?;
    let tenant = match &principal {
        Principal::Operator(_) => registration::tenant_id(named)?,
        // A key can use its own tenant only; other tenants are reported like tenants that do not exist.
        Principal::Caller(caller) if caller.tenant_id().as_str() == named => caller.tenant_id().clone(),
        Principal::Caller(_) => {
            registration::tenant_id(named)?;
            return Err(Error::TenantUnavailable);
        }
    };
    let spec = AppSpec {
        tenant,
        name,
        webhook_url: body
            .webhook_url
            .map(|url| registration::webhook_url(&gateway.config, url))
            .transpose()?,
        event_types: registration::event_types(body.event_types)?,
        numbers: registration::numbers(body.numbers)?,
        role: body.role.map(registration::role).transpose()?,
    };
    let grant = match &principal {
        Principal::Operator(_) => KeyGrant::full(),
        Principal::Caller(caller) => caller.key().grant.clone(),
    };
    let registered = registration::register_app(gateway, principal.audit(), spec, grant).await?;
    Ok(http::reply(StatusCode::CREATED, &RegisteredAppView::from(&registered)))
}
