//! The first tenant and its key, made over HTTP with the operator's key as any operator would; and connect links.

use crate::client::{Client, text};
use crate::routes::Routes;
use crate::stack::StackInfo;
use anyhow::Result;
use reqwest::Method;
use serde_json::json;

/// An invite to click lives this long.
const INVITE_SECONDS: u64 = 7 * 24 * 3600;
const TENANTS: &str = "/v1/tenants";
const APPS: &str = "/v1/apps/register";

/// Whether the template has the routes that make a tenant and a key.
#[must_use]
pub fn is_possible(routes: &Routes) -> bool {
    [TENANTS, APPS].iter().all(|path| {
        let key = format!("POST {path}");
        routes.find("POST", path).is_some_and(|found| found.route_key == key)
    })
}

/// Makes a tenant and a key.
pub async fn tenant_and_key(info: &StackInfo) -> Result<(String, String)> {
    let operator = Client::new(info, info.operator_key.as_deref())?;
    let tenant = operator.call(Method::POST, TENANTS, Some(&json!({ "name": "Local tenant" }))).await?;
    let tenant_id = text(&tenant, "tenantId")?;
    let order = json!({ "name": "Local app", "tenantId": tenant_id });
    let app = operator.call(Method::POST, APPS, Some(&order)).await?;
    Ok((tenant_id, text(&app, "apiKey")?))
}

/// An absolute link to click: an invite that lives for seven days. Nothing where there is no tenant.
pub async fn connect_link(info: &StackInfo) -> Result<Option<String>> {
    if info.api_key.is_none() {
        return Ok(None);
    }
    let app = Client::new(info, info.api_key.as_deref())?;
    let order = json!({ "expiresIn": INVITE_SECONDS });
    let answer = app.call(Method::POST, "/v1/rc/invite-token", Some(&order)).await?;
    Ok(Some(format!("{}{}", info.gateway(), text(&answer, "connectUrl")?)))
}
