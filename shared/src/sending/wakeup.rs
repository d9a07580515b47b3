//! Waking the worker of a sender.

use futures_util::StreamExt;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::cache::RecentWakeup;
use crate::clock::saturating_add;
use crate::error::Result;
use crate::gateway::Gateway;
use crate::limits;
use crate::model::ids::{ExtensionId, TenantId};
use crate::store::DueSender;

/// An SQS message that wakes a sender's worker. Delivery is best effort; the table is authoritative.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wakeup {
    pub tenant_id: String,
    pub extension_id: String,
}

/// Wakes the worker of a sender. A failure is only logged: the sweep wakes every sender with pending work once a minute.
pub(crate) async fn wake(gateway: &Gateway, tenant: &TenantId, extension: &ExtensionId, delay_seconds: i32) {
    let wakeup =
        Wakeup { tenant_id: tenant.as_str().to_owned(), extension_id: extension.as_str().to_owned() };
    let queue = &gateway.config.deliver_sms_queue;
    if let Err(error) = gateway.queues().put(queue, tenant, &wakeup, delay_seconds).await {
        tracing::warn!(tenant.id = %tenant, extension.id = %extension, error = %error, "sender wake-up failed");
    }
}

/// Wakes the worker of a sender for a message that was accepted just now. The first of many wakes it at once, the second
/// one after the debounce time, for all messages accepted until then.
pub(super) async fn wake_debounced(gateway: &Gateway, tenant: &TenantId, extension: &ExtensionId) {
    let (recent, now) = (&gateway.cache.recent_wakeups, gateway.clock.now());
    let name = format!("{tenant} {extension}");
    let until = saturating_add(now, SignedDuration::from_secs(limits::WAKE_DEBOUNCE_SECONDS.into()));
    match recent.get(&name, now) {
        Some(RecentWakeup::Delayed) => {}
        Some(RecentWakeup::Sent) => {
            recent.insert(&name, RecentWakeup::Delayed, until);
            // One second more than SQS counts, so that every message accepted until then is stored.
            wake(gateway, tenant, extension, limits::WAKE_DEBOUNCE_SECONDS + 1).await;
        }
        None => {
            recent.insert(&name, RecentWakeup::Sent, until);
            wake(gateway, tenant, extension, 0).await;
        }
    }
}

/// Wakes every sender with pending work, across all tenants. Returns how many.
///
/// # Errors
/// If the index cannot be read.
pub async fn wake_due_senders(gateway: &Gateway) -> Result<usize> {
    let senders = gateway.store.due_senders_of_all_tenants().await?;
    let wakeups = senders.into_iter().map(|sender| wake_if_pending(gateway, sender));
    let woken = futures_util::stream::iter(wakeups).buffer_unordered(limits::WAKEUPS_AT_ONCE);
    Ok(woken.fold(0, async |sum, count| sum + count).await)
}

/// Wakes a sender, unless an active marker is all that it has: an old marker is deleted. A sender whose outbox cannot be read
/// is woken. Returns how many were woken.
async fn wake_if_pending(gateway: &Gateway, sender: DueSender) -> usize {
    let DueSender { tenant, extension, active_since } = sender;
    let Some(since) = active_since else {
        wake(gateway, &tenant, &extension, 0).await;
        return 1;
    };
    if !matches!(gateway.store.outbox_head(&tenant, &extension).await, Ok(None)) {
        wake(gateway, &tenant, &extension, 0).await;
        return 1;
    }
    let kept_until = saturating_add(since, SignedDuration::from_secs(limits::ACTIVE_MARKER_KEPT_SECONDS));
    if kept_until <= gateway.clock.now()
        && let Err(error) = gateway.store.clear_active(&tenant, &extension, since).await
    {
        tracing::warn!(tenant.id = %tenant, extension.id = %extension, error = %error,
            "active marker was not deleted");
    }
    0
}
