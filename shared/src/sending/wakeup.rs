//! Waking the worker of a sender.

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::cache::RecentWakeup;
use crate::clock::saturating_add;
use crate::due_work::{self, ShardOutcome, ShardTask};
use crate::error::Result;
use crate::gateway::Gateway;
use crate::limits;
use crate::media;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::store::{DueSend, DueSender, PendingIn};

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
    if let Err(error) = gateway.queues().put(queue, tenant.as_str(), &wakeup, delay_seconds).await {
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

/// Wakes the senders of a shard that have something to do, and requests the copies of files that are overdue. A pass looks at each sender once, however many messages it has.
///
/// # Errors
/// If the index cannot be read.
pub async fn wake_due_senders(gateway: &Gateway, task: &ShardTask) -> Result<ShardOutcome> {
    let within = SignedDuration::from_millis(limits::WAKE_MS);
    due_work::pass(gateway, task, within, async |after| {
        let (due, next) = gateway.store.due_sends_of_all_tenants(task.shard, after).await?;
        let looks = stream::iter(due).map(async |due| match due {
            DueSend::Sender(sender) => wake_if_pending(gateway, sender).await,
            DueSend::Media(due) => {
                media::request_overdue_copy(gateway, &due).await;
                None
            }
        });
        let waiting: Vec<Option<WaitingMessage>> =
            looks.buffer_unordered(limits::WAKEUPS_AT_ONCE).collect().await;
        report_waiting(waiting.into_iter().flatten());
        Ok(next)
    })
    .await
}

/// Wakes a sender, unless nothing that it has is due: then an old marker is deferred. A sender whose messages cannot be listed is
/// woken.
async fn wake_if_pending(gateway: &Gateway, sender: DueSender) -> Option<WaitingMessage> {
    let (tenant, extension, now) = (&sender.tenant, &sender.extension, gateway.clock.now());
    let next = match gateway.store.first_pending(tenant, extension).await {
        Ok(None) => None,
        Ok(Some((PendingIn::Scheduled(at), _))) if at > now => Some(at),
        Ok(Some((pending_in, message))) => {
            wake(gateway, tenant, extension, 0).await;
            return match pending_in {
                PendingIn::Outbox => waiting_message(gateway, tenant, extension, message).await,
                PendingIn::Reconciling | PendingIn::Scheduled(_) | PendingIn::Media(_) => None,
            };
        }
        Err(_) => {
            wake(gateway, tenant, extension, 0).await;
            return None;
        }
    };
    let kept = SignedDuration::from_secs(limits::ACTIVE_MARKER_KEPT_SECONDS);
    if saturating_add(sender.active_since, kept) <= now
        && let Err(error) = gateway.store.defer_active(&sender, next).await
    {
        tracing::warn!(tenant.id = %tenant, extension.id = %extension, error = %error,
            "active marker was not deferred");
    }
    None
}

/// The head of an outbox that has waited for longer than [`limits::WAITING_ALARM_SECONDS`] while its sender sent nothing.
struct WaitingMessage {
    tenant: TenantId,
    extension: ExtensionId,
    message: MessageId,
    seconds: i64,
}

/// A sender with many messages is not reported as long as it sends. What cannot be read is not reported either: it fails elsewhere.
async fn waiting_message(
    gateway: &Gateway,
    tenant: &TenantId,
    extension: &ExtensionId,
    id: MessageId,
) -> Option<WaitingMessage> {
    let now = gateway.clock.now();
    let long_ago = saturating_add(now, SignedDuration::from_secs(-limits::WAITING_ALARM_SECONDS));
    if id.at()? > long_ago {
        return None;
    }
    let sender = gateway.store.sender_state(tenant, extension).await.ok()?;
    if !sender.is_some_and(|sender| sender.is_stalled_since(long_ago)) {
        return None;
    }
    let message = gateway.store.message(tenant, &id).await.ok()??;
    // A scheduled message waits from its time on.
    let since = message.send_at.unwrap_or(message.created_at).max(message.created_at);
    let (tenant, extension) = (tenant.clone(), extension.clone());
    let seconds = now.duration_since(since).as_secs();
    (since <= long_ago).then_some(WaitingMessage { tenant, extension, message: id, seconds })
}

fn report_waiting(waiting: impl Iterator<Item = WaitingMessage>) {
    let waiting: Vec<WaitingMessage> = waiting.collect();
    if let Some(oldest) = waiting.iter().max_by_key(|message| message.seconds) {
        tracing::warn!(alarm = "sending", tenant.id = %oldest.tenant, extension.id = %oldest.extension,
            message.id = %oldest.message, seconds = oldest.seconds, senders = waiting.len(),
            "messages wait and are not sent");
    }
}
