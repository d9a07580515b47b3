//! `POST /v1/apps/register`: the operator, or an app that manages apps, registers an app.

use lambda_http::Request;
use lambda_http::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::auth::{self, Principal};
use shared::error::Error;
use shared::gateway::Gateway;
use shared::http::{self, Answer};
use shared::limits;
use shared::model::app::Scope;
use shared::registration::{self, AppOrder};
use shared::views::tenancy::Registered;

/// The request's body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// 1 to 100 characters.
    #[schemars(required, length(min = 1, max = limits::NAME_CHARS))]
    name: Option<String>,
    /// The key's own tenant; the operator may name any.
    #[schemars(required)]
    tenant_id: Option<String>,
    /// Where its events go: an https address with a host name.
    #[schemars(length(max = limits::URL_CHARS))]
    webhook_url: Option<String>,
    /// Only events of these types are told. Default: all.
    event_types: Option<Vec<String>>,
    /// Only events of these numbers of the tenant's are told, at most 100. Default: of all.
    numbers: Option<Vec<String>>,
    /// A word of the tenant's own.
    #[schemars(length(min = 1, max = limits::NAME_CHARS))]
    role: Option<String>,
}

/// 201 with the app, its key and its webhook secret, which are shown this once.
pub async fn handle(gateway: &Gateway, request: Request) -> Answer {
    let principal = auth::principal(gateway, &request, &[Scope::AppsManage]).await?;
    let order: Order = http::json(&request)?;
    let name = registration::name(order.name.as_deref())?;
    let named = order.tenant_id.as_deref().filter(|id| !id.is_empty()).ok_or(Error::MissingField {
        text: "tenantId is required when registering new apps",
        field: "tenantId",
    })?;
    let tenant = match &principal {
        Principal::Operator(_) => registration::tenant_id(named)?,
        // A key opens its own tenant; any other one is as absent as one that does not exist.
        Principal::Caller(caller) if caller.tenant_id().as_str() == named => caller.tenant_id().clone(),
        Principal::Caller(_) => {
            registration::tenant_id(named)?;
            return Err(Error::TenantUnavailable);
        }
    };
    let order = AppOrder {
        tenant,
        name,
        webhook_url: registration::webhook_url(&gateway.config, order.webhook_url)?,
        event_types: registration::event_types(order.event_types)?,
        numbers: registration::numbers(order.numbers)?,
        role: registration::role(order.role)?,
    };
    let registered = registration::register_app(gateway, principal.by(), order).await?;
    Ok(http::reply(StatusCode::CREATED, &Registered::from(&registered)))
}
