//! The first tenant and its key, made over HTTP with the operator's key as any operator would; and connect links.

use crate::stack::StackInfo;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::time::Duration;

/// An invite to click lives this long.
const INVITE_SECONDS: u64 = 7 * 24 * 3600;

/// Makes a tenant and a key; `None` where the template has no routes for it.
pub async fn tenant_and_key(info: &StackInfo) -> Result<Option<(String, String)>> {
    let client = client()?;
    let operator = info.operator_key.as_deref().unwrap_or_default();
    let url = format!("{}/v1/tenants", info.gateway());
    let Some(tenant) = post(&client, &url, operator, &json!({ "name": "Local tenant" })).await? else {
        return Ok(None);
    };
    let tenant_id = text(&tenant, "tenantId")?;
    let url = format!("{}/v1/apps/register", info.gateway());
    let body = json!({ "name": "Local app", "tenantId": tenant_id });
    let Some(app) = post(&client, &url, operator, &body).await? else { return Ok(None) };
    Ok(Some((tenant_id, text(&app, "apiKey")?)))
}

/// An absolute link to click: an invite that lives for seven days.
pub async fn connect_link(info: &StackInfo) -> Result<Option<String>> {
    let Some(key) = &info.api_key else { return Ok(None) };
    let url = format!("{}/v1/rc/invite-token", info.gateway());
    let Some(answer) = post(&client()?, &url, key, &json!({ "expiresIn": INVITE_SECONDS })).await? else {
        return Ok(None);
    };
    Ok(Some(format!("{}{}", info.gateway(), text(&answer, "connectUrl")?)))
}

fn client() -> Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().context("no HTTP client")
}

/// Posts JSON; `None` if there is no such route.
async fn post(client: &reqwest::Client, url: &str, key: &str, body: &Value) -> Result<Option<Value>> {
    let response = client
        .post(url)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await?;
    let status = response.status();
    let text = response.text().await?;
    if status == reqwest::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    if !status.is_success() {
        bail!("{url} answered {status}: {}", text.chars().take(200).collect::<String>());
    }
    serde_json::from_str(&text).map(Some).with_context(|| format!("{url} did not answer JSON"))
}

fn text(value: &Value, key: &str) -> Result<String> {
    value[key].as_str().map(str::to_owned).with_context(|| format!("the answer has no {key}"))
}
