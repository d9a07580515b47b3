//! Events on their way to tenants' programs.

use jiff::Timestamp;
use serde_json::json;

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::model::ids::{AppId, EventId, TenantId};
use crate::model::secret::Secret;
use crate::model::signature;
use crate::outbound::Exchange;
use crate::registration;

/// True if an event counts as received: the address answered 2xx in time.
pub fn is_received(exchange: &Exchange) -> bool {
    exchange.outcome.as_ref().is_ok_and(|answer| (200..300).contains(&answer.status))
}

/// Sends a test event to an app's address, once. It is in no log and counts for nothing.
pub async fn test(gateway: &Gateway, tenant: &TenantId, id: &AppId) -> Result<Exchange> {
    let (app, sealed) = gateway.store.signing_app(tenant, id).await?.ok_or(Error::NotFound)?;
    let url = app.webhook_url.as_deref().ok_or(Error::NoWebhookUrl)?;
    let mut secrets = Vec::new();
    for sealed in &sealed {
        secrets.push(registration::open_webhook_secret(gateway, tenant, id, sealed).await?);
    }
    let now = gateway.clock.now();
    let event = EventId::generate(now);
    let body = json!({
        "type": "test", "id": event.as_str(), "timestamp": format!("{now:.3}"), "tenantId": tenant.as_str(),
        "appId": id.as_str(),
    });
    post(gateway, url, &secrets, &event, now, body.to_string()).await
}

/// Posts a signed event to an address.
async fn post(
    gateway: &Gateway,
    url: &str,
    secrets: &[Secret],
    event: &EventId,
    now: Timestamp,
    body: String,
) -> Result<Exchange> {
    let signature = signature::sign(secrets, event.as_str(), now, &body)
        .ok_or(Error::Internal { what: "a webhook secret is none", source: None })?;
    let headers = [
        ("webhook-id", event.to_string()),
        ("webhook-timestamp", now.as_second().to_string()),
        ("webhook-signature", signature),
    ];
    Ok(gateway.outbound().post(url, &headers, body).await)
}
