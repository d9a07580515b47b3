//! Delivery of events to apps.
//!
//! The stream of the events table starts [`fan_out_change`], which creates one delivery per event and app. [`attempt`] posts a
//! delivery to the app's endpoint: first attempts come from one queue, retries from another, so that failing endpoints do
//! not delay the others. The table holds when a delivery is due; a queue message only wakes a worker, and [`sweep`] recovers
//! lost ones.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::{self, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::clock::{parse_time, saturating_add};
use crate::due_work::{self, ShardOutcome, ShardTask};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::app::{App, AppKind};
use crate::model::delivery::{
    self, Admission, Delivery, DeliveryOutcome, DeliveryStatus, EndpointHealth, EndpointNotice,
    EndpointWarning, NoticeStage,
};
use crate::model::event::{Event, EventKind};
use crate::model::ids::{AppId, DeliveryId, EventId, TenantId};
use crate::model::random;
use crate::model::signature;
use crate::outbound::{Exchange, OutboundError};
use crate::registration;
use crate::span;
use crate::store::{
    AttemptRecord, DueDelivery, Page, SigningSecrets, SlotOutcome, StoreError, WriteOutcome, time_of_position,
};

/// The queue message of a due delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeliveryTask {
    tenant_id: String,
    app_id: String,
    delivery_id: String,
    /// Milliseconds since 1970. If the delivery has another due time by now, the task is outdated.
    due: i64,
}

impl DeliveryTask {
    fn of(delivery: &Delivery, due: Timestamp) -> Self {
        let Delivery { tenant, app, id, .. } = delivery.clone();
        Self::from(&DueDelivery { tenant, app, id, at: due })
    }

    fn due_delivery(&self) -> Option<DueDelivery> {
        Some(DueDelivery {
            tenant: TenantId::from_record(&self.tenant_id)?,
            app: AppId::parse(&self.app_id)?,
            id: DeliveryId::parse(&self.delivery_id)?,
            at: Timestamp::from_millisecond(self.due).ok()?,
        })
    }
}

impl From<&DueDelivery> for DeliveryTask {
    fn from(due: &DueDelivery) -> Self {
        Self {
            tenant_id: due.tenant.to_string(),
            app_id: due.app.to_string(),
            delivery_id: due.id.to_string(),
            due: due.at.as_millisecond(),
        }
    }
}

/// The queue message of an event that could not be fanned out at once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanOutTask {
    /// The event as the image of a stream record.
    image: Value,
}

/// When the fan-out of a batch of the stream that begins now ends.
pub fn fan_out_deadline() -> Instant {
    Instant::now() + Duration::from_millis(limits::FAN_OUT_MS)
}

/// Fans out the event of a stream record. One that fails, or is not done by `until`, goes on through a queue: the stream's next
/// records are those of other tenants.
pub async fn fan_out_change(gateway: &Gateway, image: Value, until: Instant) -> Result<()> {
    // An unreadable event is reported and passed.
    let Some(event) = gateway.store.event_of_image(&image) else { return Ok(()) };
    if Instant::now() < until {
        match timeout_at(until, fan_out(gateway, &event)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(tenant.id = %event.tenant, event.id = %event.id, error = error.chain(),
                    "event fan-out failed; it goes on through the queue");
            }
            Err(_) => {
                tracing::info!(tenant.id = %event.tenant, event.id = %event.id, "event fan-out goes on through the queue");
            }
        }
    }
    let queue = &gateway.config.fan_out_queue;
    Ok(gateway.queues().put(queue, event.tenant.as_str(), &FanOutTask { image }, 0).await?)
}

/// Fans out an event that could not be fanned out at once.
pub async fn fan_out_task(gateway: &Gateway, task: &FanOutTask) -> Result<()> {
    match gateway.store.event_of_image(&task.image) {
        Some(event) => fan_out(gateway, &event).await,
        None => Ok(()),
    }
}

/// Creates and enqueues a delivery of the event for every app that wants it. May be repeated for the same event: existing
/// deliveries are kept and enqueued again.
async fn fan_out(gateway: &Gateway, event: &Event) -> Result<()> {
    span::set_tenant(&event.tenant);
    if let Some(message) = event.message() {
        span::set_message(&message);
    }
    let mut page = Page { limit: limits::PAGE_MAX, after: None };
    loop {
        let (apps, next) = gateway.store.apps(&event.tenant, &page).await?;
        let recipients = apps.iter().filter(|app| app.webhook_url.is_some() && app.wants(event));
        stream::iter(recipients.map(Ok))
            .try_for_each_concurrent(limits::FAN_OUT_CONCURRENCY, |app| create(gateway, event, app))
            .await?;
        let Some(after) = next else { return Ok(()) };
        page.after = Some(after);
    }
}

async fn create(gateway: &Gateway, event: &Event, app: &App) -> Result<()> {
    let id = DeliveryId::of(&event.id, app.id.as_str());
    // Derived from the event's time, so that a repeated fan-out enqueues the same task.
    let due = saturating_add(event.at, SignedDuration::from_secs(limits::DELIVERY_GRACE_SECONDS));
    let delivery = Delivery {
        tenant: event.tenant.clone(),
        app: app.id.clone(),
        id,
        event: event.id.clone(),
        kind: event.kind,
        message: event.message(),
        body: app.body_of(event),
        status: DeliveryStatus::Pending,
        attempts: 0,
        busy_count: 0,
        last_status: None,
        last_error: None,
        last_ms: None,
        next_attempt: Some(due),
    };
    gateway.store.create_delivery(&delivery).await?;
    tracing::debug!(
        tenant.id = %delivery.tenant,
        app.id = %delivery.app,
        delivery.id = %delivery.id,
        event.id = %delivery.event,
        message.id = delivery.message.as_ref().map(tracing::field::display),
        "delivery created"
    );
    enqueue_first(gateway, &delivery, due).await
}

async fn enqueue_first(gateway: &Gateway, delivery: &Delivery, due: Timestamp) -> Result<()> {
    let task = DeliveryTask::of(delivery, due);
    let queue = &gateway.config.deliveries_queue;
    Ok(gateway.queues().put(queue, delivery.tenant.as_str(), &task, 0).await?)
}

/// Attempts a delivery if it is still due and its endpoint admits an attempt.
pub async fn attempt(gateway: &Gateway, task: &DeliveryTask) -> Result<()> {
    let due =
        task.due_delivery().ok_or(Error::Internal { what: "a malformed delivery task", source: None })?;
    let now = gateway.clock.now();
    let until = saturating_add(now, SignedDuration::from_secs(limits::DELIVERY_LEASE_SECONDS));
    let Some(delivery) = gateway.store.lease_delivery(&due, until).await? else { return Ok(()) };
    span::set_tenant(&delivery.tenant);
    if let Some(message) = &delivery.message {
        span::set_message(message);
    }
    let ids = delivery.clone();
    attempt_leased(gateway, delivery, until).await.inspect_err(|error| {
        tracing::warn!(
            tenant.id = %ids.tenant,
            app.id = %ids.app,
            delivery.id = %ids.id,
            event.id = %ids.event,
            message.id = ids.message.as_ref().map(tracing::field::display),
            error = error.chain(),
            "delivery attempt interrupted"
        );
    })
}

async fn attempt_leased(gateway: &Gateway, mut delivery: Delivery, until: Timestamp) -> Result<()> {
    let now = gateway.clock.now();
    match acquire_slot(gateway, &delivery, until).await? {
        (Admission::Attempt(slot) | Admission::Probe(slot), before) => {
            let outcome = post_delivery(gateway, &mut delivery).await?;
            record(gateway, delivery, outcome, &before, slot, until).await
        }
        (Admission::PausedUntil(at), _) => {
            let wait = u64::try_from(at.duration_since(now).as_millis()).unwrap_or_default();
            let most = limits::DELIVERY_SPREAD_MS + wait / limits::DELIVERY_SPREAD_PART;
            let spread = SignedDuration::from_millis(random::below(most).cast_signed());
            delivery.next_attempt = Some(saturating_add(at, spread));
            gateway.store.save_delivery(&delivery, until).await?;
            enqueue_retry(gateway, &delivery).await
        }
        (Admission::Busy, _) => {
            delivery.next_attempt = Some(delivery::retry_when_busy(delivery.busy_count, now, jitter()));
            delivery.busy_count = delivery.busy_count.saturating_add(1);
            gateway.store.save_delivery(&delivery, until).await?;
            enqueue_retry(gateway, &delivery).await
        }
        (Admission::Disabled, _) => {
            delivery.status = DeliveryStatus::Held;
            delivery.next_attempt = None;
            Ok(gateway.store.save_delivery(&delivery, until).await?)
        }
    }
}

/// Acquires a slot of the endpoint. Concurrent workers may acquire the one that was read as free, so every slot is tried.
async fn acquire_slot(
    gateway: &Gateway,
    delivery: &Delivery,
    until: Timestamp,
) -> Result<(Admission, EndpointHealth)> {
    let (tenant, app) = (&delivery.tenant, &delivery.app);
    let first_slot = usize::try_from(random::below(limits::DELIVERIES_AT_ONCE as u64)).unwrap_or_default();
    // The first write assumes a healthy endpoint, which saves a read in nearly all cases. It returns the health.
    let mut admission = Admission::Attempt(first_slot);
    let mut health = EndpointHealth::default();
    for _ in 0..=limits::DELIVERIES_AT_ONCE {
        let (slot, probe_of) = match admission {
            Admission::Attempt(slot) => (slot, None),
            Admission::Probe(slot) => (slot, Some(&health)),
            Admission::PausedUntil(_) | Admission::Busy | Admission::Disabled => {
                return Ok((admission, health));
            }
        };
        match gateway.store.acquire_slot(tenant, app, slot, probe_of, until).await? {
            SlotOutcome::Acquired(health) => return Ok((admission, health)),
            SlotOutcome::Rejected(current) => {
                admission = current.admit(gateway.clock.now(), first_slot);
                health = current;
            }
        }
    }
    Ok((Admission::Busy, health))
}

async fn post_delivery(gateway: &Gateway, delivery: &mut Delivery) -> Result<DeliveryOutcome> {
    let app = match gateway.store.signing_app(&delivery.tenant, &delivery.app).await {
        Ok(app) => app,
        Err(StoreError::Damaged(_)) => {
            delivery.attempts = delivery.attempts.saturating_add(1);
            delivery.last_error = Some("app_unreadable".to_owned());
            return Ok(DeliveryOutcome::Failed(None));
        }
        Err(error) => return Err(error.into()),
    };
    let Some((app, sealed)) = app.filter(|(app, _)| app.webhook_url.is_some()) else {
        delivery.last_error = Some("no_webhook_url".to_owned());
        return Ok(DeliveryOutcome::Gone);
    };
    let now = gateway.clock.now();
    let exchange = post(gateway, &app, &sealed, &delivery.event, now, delivery.body.clone()).await?;
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery.busy_count = 0;
    delivery.last_status = exchange.outcome.as_ref().ok().map(|response| response.status);
    delivery.last_error = exchange.outcome.as_ref().err().map(OutboundError::to_string);
    delivery.last_ms = u64::try_from(exchange.took.as_millis()).ok();
    tracing::info!(
        tenant.id = %delivery.tenant,
        app.id = %delivery.app,
        delivery.id = %delivery.id,
        event.id = %delivery.event,
        message.id = delivery.message.as_ref().map(tracing::field::display),
        attempt = delivery.attempts,
        status = delivery.last_status,
        error = delivery.last_error,
        duration_ms = delivery.last_ms,
        "{}",
        if exchange.is_accepted() { "event delivered" } else { "delivery attempt failed" }
    );
    Ok(match &exchange.outcome {
        _ if exchange.is_accepted() => DeliveryOutcome::Accepted,
        Ok(response) if response.status == 410 => DeliveryOutcome::Gone,
        Ok(response) => DeliveryOutcome::Failed(response.retry_after),
        Err(_) => DeliveryOutcome::Failed(None),
    })
}

/// Records a completed attempt and enqueues the next one, if there is one.
async fn record(
    gateway: &Gateway,
    mut delivery: Delivery,
    outcome: DeliveryOutcome,
    before: &EndpointHealth,
    slot: usize,
    leased_until: Timestamp,
) -> Result<()> {
    let now = gateway.clock.now();
    let mut effect = delivery::effect_of(outcome, delivery.attempts, before, now, jitter());
    let was_not_sent = delivery.attempts == 0;
    if was_not_sent {
        // The app or its webhook URL was deleted. That says nothing about an endpoint.
        effect.health = before.clone();
        effect.notice = None;
        effect.status = DeliveryStatus::Failed;
    }
    delivery.status = effect.status;
    delivery.next_attempt = effect.next_attempt;
    let event = effect.notice.map(|notice| notice_event(&delivery, &effect.health, notice, now));
    let attempt = AttemptRecord {
        delivery: &delivery,
        before,
        health: &effect.health,
        slot,
        leased_until,
        event: event.as_ref(),
    };
    let mut recorded = gateway.store.record_attempt(&attempt).await?;
    if recorded == WriteOutcome::Conflict && event.is_some() {
        // A concurrent attempt may have sent the same notice.
        recorded = gateway.store.record_attempt(&AttemptRecord { event: None, ..attempt }).await?;
    }
    if recorded == WriteOutcome::Conflict {
        if !was_not_sent {
            // The app's webhook URL has changed. The response of the old endpoint does not count for the new one and
            // does not end the delivery.
            let outcome = match outcome {
                DeliveryOutcome::Gone => DeliveryOutcome::Failed(None),
                other => other,
            };
            let unknown = EndpointHealth::default();
            let effect = delivery::effect_of(outcome, delivery.attempts, &unknown, now, jitter());
            delivery.status = effect.status;
            delivery.next_attempt = effect.next_attempt;
        }
        gateway.store.save_delivery(&delivery, leased_until).await?;
    }
    enqueue_retry(gateway, &delivery).await
}

/// The `webhook_disabled` event.
fn notice_event(
    delivery: &Delivery,
    health: &EndpointHealth,
    notice: EndpointNotice,
    now: Timestamp,
) -> Event {
    let (stage, disables_at) = match notice {
        EndpointNotice::Warning(at) => (NoticeStage::Warning, Some(format!("{at:.3}"))),
        EndpointNotice::Disabled => (NoticeStage::Disabled, None),
        EndpointNotice::Gone => (NoticeStage::Gone, None),
    };
    let data = EndpointWarning {
        app_id: delivery.app.as_str(),
        stage,
        failing_since: health.failing_since.map(|since| format!("{since:.3}")),
        disables_at,
        last_status_code: delivery.last_status,
        last_error: delivery.last_error.as_deref(),
    };
    Event::new(&delivery.tenant, EventKind::WebhookDisabled, now, &data)
}

/// Enqueues the next attempt if the queue can delay a message for that long. Otherwise the sweep enqueues it when it is due.
async fn enqueue_retry(gateway: &Gateway, delivery: &Delivery) -> Result<()> {
    let Some(at) = delivery.next_attempt else { return Ok(()) };
    let wait = at.duration_since(gateway.clock.now());
    let seconds = wait.as_secs().saturating_add(i64::from(wait.subsec_nanos() > 0)).max(0);
    let Some(delay) = i32::try_from(seconds).ok().filter(|delay| *delay <= crate::queue::MAX_DELAY_SECONDS)
    else {
        return Ok(());
    };
    let task = DeliveryTask::of(delivery, at);
    Ok(gateway.queues().put(&gateway.config.retries_queue, delivery.tenant.as_str(), &task, delay).await?)
}

/// Enqueues the overdue deliveries of a shard: those with delays longer than a queue supports, and those whose queue message was
/// lost.
///
/// A pass reads the whole shard, in several runs if it must. Of one app, a run enqueues at most [`limits::DELIVERY_SWEEP_PER_APP`]
/// and skips the others, so that they do not delay other apps. The pass of the next minute finds them again.
pub async fn sweep(gateway: &Gateway, task: &ShardTask) -> Result<ShardOutcome> {
    let within = SignedDuration::from_millis(limits::DELIVERY_SWEEP_MS);
    let mut per_app = HashMap::new();
    due_work::pass(gateway, task, within, async |after| {
        let (mut overdue, next) = gateway.store.overdue_deliveries_of_all_tenants(task.shard, after).await?;
        overdue.retain(|due| {
            let count = per_app.entry((due.tenant.clone(), due.app.clone())).or_insert(0);
            *count += 1;
            *count <= limits::DELIVERY_SWEEP_PER_APP
        });
        stream::iter(overdue.into_iter().map(Ok))
            .try_for_each_concurrent(limits::DELIVERY_SWEEP_AT_ONCE, |due: DueDelivery| async move {
                let task = DeliveryTask::from(&due);
                let queue = &gateway.config.retries_queue;
                gateway.queues().put(queue, due.tenant.as_str(), &task, 0).await.map_err(Error::from)
            })
            .await?;
        Ok(next)
    })
    .await
}

/// Resets the health of an app's endpoint, which enables a disabled one, and returns what it was.
pub async fn reset_endpoint(gateway: &Gateway, app: &App) -> Result<EndpointHealth> {
    Ok(gateway.store.reset_endpoint(&app.tenant, &app.id).await?)
}

/// The `status` parameter of a replay: any status but `pending`. Default: `held`.
pub fn replayable(status: Option<&str>) -> Result<DeliveryStatus> {
    let Some(text) = status else { return Ok(DeliveryStatus::Held) };
    let status = DeliveryStatus::parse(text).filter(|status| *status != DeliveryStatus::Pending);
    status.ok_or_else(|| Error::InvalidField {
        text: "status must be delivered, failed or held".to_owned(),
        field: "status",
    })
}

/// The time range of a replay. `from` is required; `to` defaults to now.
pub fn time_range(from: Option<&str>, to: Option<&str>, now: Timestamp) -> Result<(Timestamp, Timestamp)> {
    let time = |text: &str, field| {
        let invalid = || Error::InvalidField {
            text: format!("{field} must be an ISO 8601 time with its offset"),
            field,
        };
        parse_time(text).ok_or_else(invalid)
    };
    let from = from.ok_or(Error::MissingField { text: "from is required", field: "from" })?;
    let (from, to) = (time(from, "from")?, to.map(|text| time(text, "to")).transpose()?.unwrap_or(now));
    if from > to {
        return Err(Error::InvalidField { text: "to must not be before from".to_owned(), field: "to" });
    }
    Ok((from, to))
}

/// Replays a delivery and returns its new state. A pending one is left unchanged.
pub async fn replay(gateway: &Gateway, tenant: &TenantId, app: &AppId, id: &DeliveryId) -> Result<Delivery> {
    let delivery = gateway.store.delivery(tenant, app, id).await?.ok_or(Error::NotFound)?;
    // The outcome does not matter: either way the caller gets the current state.
    let _ = replay_one(gateway, &delivery).await?;
    gateway.store.delivery(tenant, app, id).await?.ok_or(Error::NotFound)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayProgress {
    /// How many deliveries were replayed.
    pub replayed: usize,
    /// If there may be more: the end of the time range that was not read yet.
    pub continue_to: Option<Timestamp>,
}

/// Replays the deliveries of a time range that have this status, newest first, up to the limits of one call.
pub async fn replay_range(
    gateway: &Gateway,
    tenant: &TenantId,
    app: &AppId,
    range: (Timestamp, Timestamp),
    status: DeliveryStatus,
) -> Result<ReplayProgress> {
    let mut page = Page { limit: limits::PAGE_MAX, after: None };
    let mut replayed = 0;
    for pages in 1.. {
        let filter = (Some(status), None);
        let (found, next) = gateway.store.deliveries(tenant, app, range, filter, &page).await?;
        for delivery in &found {
            if replay_one(gateway, delivery).await? == WriteOutcome::Applied {
                replayed += 1;
            }
        }
        let Some(after) = next else { break };
        if replayed >= limits::REPLAYED_AT_ONCE || pages == limits::REPLAY_PAGES {
            return Ok(ReplayProgress { replayed, continue_to: time_of_position(&after) });
        }
        page.after = Some(after);
    }
    Ok(ReplayProgress { replayed, continue_to: None })
}

/// Makes a delivery pending again and puts it into the queue of first attempts, because a caller waits for it.
async fn replay_one(gateway: &Gateway, delivery: &Delivery) -> Result<WriteOutcome> {
    if delivery.status == DeliveryStatus::Pending {
        return Ok(WriteOutcome::Conflict);
    }
    let due = saturating_add(gateway.clock.now(), SignedDuration::from_secs(limits::DELIVERY_GRACE_SECONDS));
    let written = gateway.store.replay_delivery(delivery, due).await?;
    if written == WriteOutcome::Applied {
        enqueue_first(gateway, delivery, due).await?;
    }
    Ok(written)
}

/// Posts a test event to an app's endpoint, once. It is not stored and does not affect the endpoint's health.
pub async fn test(gateway: &Gateway, tenant: &TenantId, id: &AppId) -> Result<Exchange> {
    let (app, sealed) = gateway.store.signing_app(tenant, id).await?.ok_or(Error::NotFound)?;
    let now = gateway.clock.now();
    let event = EventId::generate(now);
    let body = json!({
        "type": "test", "version": 1, "id": event.as_str(), "timestamp": format!("{now:.3}"),
        "tenantId": tenant.as_str(), "appId": id.as_str(),
    });
    post(gateway, &app, &sealed, &event, now, body.to_string()).await
}

/// Posts an event to an app's endpoint, signed. A Power Automate flow has its URL instead of a secret.
async fn post(
    gateway: &Gateway,
    app: &App,
    sealed: &SigningSecrets,
    event: &EventId,
    now: Timestamp,
    body: String,
) -> Result<Exchange> {
    let url = app.webhook_url.as_deref().ok_or(Error::NoWebhookUrl)?;
    let secrets = registration::open_webhook_secrets(gateway, app, sealed).await?;
    let mut headers =
        vec![("webhook-id", event.to_string()), ("webhook-timestamp", now.as_second().to_string())];
    let url = match (app.kind, secrets.as_slice()) {
        (AppKind::Trigger, [callback_url, ..]) => callback_url.expose(),
        _ => {
            let signature = signature::sign(&secrets, event.as_str(), now, &body)
                .ok_or(Error::Internal { what: "a malformed webhook secret", source: None })?;
            headers.push(("webhook-signature", signature));
            url
        }
    };
    Ok(gateway.outbound().post(url, &headers, body, now).await)
}

/// Uniformly distributed between 0 and 1.
fn jitter() -> f64 {
    f64::from(u16::try_from(random::below(1 << 16)).unwrap_or_default()) / 65_536.0
}
