//! The first tenant with its API key, created through the API as an operator does it, and connect links.

use crate::client::{ApiClient, text};
use crate::routes::RouteTable;
use crate::stack_info::StackInfo;
use anyhow::Result;
use reqwest::Method;
use serde_json::json;

const INVITE_SECONDS: u64 = 7 * 24 * 3600;
const TENANTS: &str = "/v1/tenants";
const APPS: &str = "/v1/apps/register";

/// Whether the template has the routes that create a tenant and an app.
#[must_use]
pub fn is_possible(routes: &RouteTable) -> bool {
    [TENANTS, APPS].iter().all(|path| {
        let key = format!("POST {path}");
        routes.find("POST", path).is_some_and(|route| route.route_key == key)
    })
}

/// Creates a tenant and an app, and returns the tenant's id and the app's API key.
pub async fn create_tenant(functions_url: &str, operator_key: Option<&str>) -> Result<(String, String)> {
    let operator = ApiClient::new(functions_url, operator_key)?;
    let tenant = operator.call(Method::POST, TENANTS, Some(&json!({ "name": "Local tenant" }))).await?;
    let tenant_id = text(&tenant, "tenantId")?;
    let body = json!({ "name": "Local app", "tenantId": tenant_id });
    let app = operator.call(Method::POST, APPS, Some(&body)).await?;
    Ok((tenant_id, text(&app, "apiKey")?))
}

/// An absolute connect link, which is an invite that is valid for seven days. `None` if the stack has no tenant.
pub async fn connect_link(info: &StackInfo) -> Result<Option<String>> {
    if info.api_key.is_none() {
        return Ok(None);
    }
    let app = ApiClient::new(info.gateway(), info.api_key.as_deref())?;
    let body = json!({ "expiresIn": INVITE_SECONDS });
    let invite = app.call(Method::POST, "/v1/rc/invite-token", Some(&body)).await?;
    Ok(Some(format!("{}{}", info.gateway(), text(&invite, "connectUrl")?)))
}
