//! Events on their way to tenants' programs.
//!
//! The stream of the events' table starts [`fan_out`], which writes one delivery for each event and app. A delivery is
//! tried by [`attempt`], for the first time from a queue of its own, later from another, so that addresses that fail do
//! not hold up the others. When it is tried next stands in its row; queues only say that it may be time, and the sweep
//! finds what they have lost.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::{self, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::app::App;
use crate::model::delivery::{self, Admission, Delivery, DeliveryStatus, Ended, Health, Notice};
use crate::model::event::{Event, EventKind};
use crate::model::ids::{AppId, DeliveryId, EventId, TenantId};
use crate::model::random;
use crate::model::signature;
use crate::outbound::{Exchange, NoAnswer};
use crate::registration;
use crate::span;
use crate::store::{DueDelivery, Entered, Outcome, Page, SigningSecrets, moment_of};

/// A delivery that may be due, as its queues carry it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Work {
    tenant_id: String,
    app_id: String,
    delivery_id: String,
    /// When, in milliseconds since 1970; a delivery that was moved on since is not this work any more.
    due: i64,
}

impl Work {
    fn of(delivery: &Delivery, due: Timestamp) -> Self {
        let Delivery { tenant, app, id, .. } = delivery.clone();
        Self::from(&DueDelivery { tenant, app, id, at: due })
    }

    fn due(&self) -> Option<DueDelivery> {
        Some(DueDelivery {
            tenant: TenantId::from_record(&self.tenant_id)?,
            app: AppId::parse(&self.app_id)?,
            id: DeliveryId::parse(&self.delivery_id)?,
            at: Timestamp::from_millisecond(self.due).ok()?,
        })
    }
}

impl From<&DueDelivery> for Work {
    fn from(due: &DueDelivery) -> Self {
        Self {
            tenant_id: due.tenant.to_string(),
            app_id: due.app.to_string(),
            delivery_id: due.id.to_string(),
            due: due.at.as_millisecond(),
        }
    }
}

/// Writes a delivery of an event for each app that is to be told, and has them tried. What was written before is only
/// handed on again.
pub async fn fan_out(gateway: &Gateway, event: &Event) -> Result<()> {
    span::set_tenant(&event.tenant);
    if let Some(message) = event.data.get("messageId").and_then(Value::as_str) {
        span::set_message(message);
    }
    let mut page = Page { limit: limits::PAGE_MAX, after: None };
    loop {
        let (apps, next) = gateway.store.apps(&event.tenant, &page).await?;
        let told = apps.iter().filter(|app| app.webhook_url.is_some() && app.wants(event));
        stream::iter(told.map(Ok))
            .try_for_each_concurrent(limits::TOLD_AT_ONCE, |app| tell(gateway, event, app))
            .await?;
        let Some(after) = next else { return Ok(()) };
        page.after = Some(after);
    }
}

async fn tell(gateway: &Gateway, event: &Event, app: &App) -> Result<()> {
    let id = DeliveryId::of(&event.id, app.id.as_str());
    // Not the present moment: whoever hands the same event on again means the same work.
    let due = saturating_add(event.at, SignedDuration::from_secs(limits::DELIVERY_GRACE_SECONDS));
    let delivery = Delivery {
        tenant: event.tenant.clone(),
        app: app.id.clone(),
        id,
        event: event.id.clone(),
        kind: event.kind,
        body: app.body_of(event),
        status: DeliveryStatus::Pending,
        attempts: 0,
        crowded: 0,
        last_status: None,
        last_error: None,
        last_ms: None,
        next_attempt: Some(due),
    };
    gateway.store.add_delivery(&delivery).await?;
    gateway
        .queues()
        .put(&gateway.config.deliveries_queue, &delivery.tenant, &Work::of(&delivery, due), 0)
        .await?;
    Ok(())
}

/// Tries a delivery, if it is still due and its address may be tried now.
pub async fn attempt(gateway: &Gateway, work: &Work) -> Result<()> {
    let due = work.due().ok_or(Error::Internal { what: "a delivery of an unknown form", source: None })?;
    let now = gateway.clock.now();
    let until = saturating_add(now, SignedDuration::from_secs(limits::DELIVERY_TAKEN_SECONDS));
    let Some(mut delivery) = gateway.store.take_delivery(&due, until).await? else { return Ok(()) };
    span::set_tenant(&delivery.tenant);
    if let Some(message) = delivery.message_id() {
        span::set_message(message);
    }
    match enter(gateway, &delivery, until).await? {
        (Admission::Go(place) | Admission::Probe(place), seen) => {
            let ended = send(gateway, &mut delivery).await?;
            conclude(gateway, delivery, ended, &seen, place, until).await
        }
        (Admission::NotBefore(at), _) => {
            let wait = u64::try_from(at.duration_since(now).as_millis()).unwrap_or_default();
            let most = limits::DELIVERY_SPREAD_MS + wait / limits::DELIVERY_SPREAD_PART;
            let spread = SignedDuration::from_millis(random::below(most).cast_signed());
            delivery.next_attempt = Some(saturating_add(at, spread));
            gateway.store.write_delivery(&delivery, until).await?;
            again(gateway, &delivery).await
        }
        (Admission::Crowded, _) => {
            delivery.next_attempt = Some(delivery::after_crowd(delivery.crowded, now, jitter()));
            delivery.crowded = delivery.crowded.saturating_add(1);
            gateway.store.write_delivery(&delivery, until).await?;
            again(gateway, &delivery).await
        }
        (Admission::Held, _) => {
            delivery.status = DeliveryStatus::Held;
            delivery.next_attempt = None;
            Ok(gateway.store.write_delivery(&delivery, until).await?)
        }
    }
}

/// Takes a place among the attempts at the address; others that do the same at this moment are made way for.
async fn enter(gateway: &Gateway, delivery: &Delivery, until: Timestamp) -> Result<(Admission, Health)> {
    let (tenant, app) = (&delivery.tenant, &delivery.app);
    let start = usize::try_from(random::below(limits::DELIVERIES_AT_ONCE as u64)).unwrap_or_default();
    // What is known of the address is told by the first try, which nearly always is the last.
    let mut admission = Admission::Go(start);
    let mut seen = Health::default();
    for _ in 0..=limits::DELIVERIES_AT_ONCE {
        let (place, probe_of) = match admission {
            Admission::Go(place) => (place, None),
            Admission::Probe(place) => (place, Some(&seen)),
            Admission::NotBefore(_) | Admission::Crowded | Admission::Held => return Ok((admission, seen)),
        };
        match gateway.store.enter_endpoint(tenant, app, place, probe_of, until).await? {
            Entered::Yes(health) => return Ok((admission, health)),
            Entered::No(health) => {
                admission = health.admit(gateway.clock.now(), start);
                seen = health;
            }
        }
    }
    Ok((Admission::Crowded, seen))
}

/// Sends a delivery, and notes what came back.
async fn send(gateway: &Gateway, delivery: &mut Delivery) -> Result<Ended> {
    let app = gateway.store.signing_app(&delivery.tenant, &delivery.app).await?;
    let Some((app, sealed)) = app.filter(|(app, _)| app.webhook_url.is_some()) else {
        delivery.last_error = Some("no_webhook_url".to_owned());
        return Ok(Ended::Gone);
    };
    let now = gateway.clock.now();
    let exchange = post(gateway, &app, &sealed, &delivery.event, now, delivery.body.clone()).await?;
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery.crowded = 0;
    delivery.last_status = exchange.outcome.as_ref().ok().map(|answer| answer.status);
    delivery.last_error = exchange.outcome.as_ref().err().map(NoAnswer::to_string);
    delivery.last_ms = u64::try_from(exchange.took.as_millis()).ok();
    tracing::info!(
        tenant.id = %delivery.tenant,
        delivery.id = %delivery.id,
        attempt = delivery.attempts,
        status = delivery.last_status,
        error = delivery.last_error,
        duration_ms = delivery.last_ms,
        "a delivery was tried"
    );
    Ok(match &exchange.outcome {
        _ if exchange.is_received() => Ended::Received,
        Ok(answer) if answer.status == 410 => Ended::Gone,
        Ok(answer) => Ended::Refused(answer.retry_after_seconds.map(Duration::from_secs)),
        Err(_) => Ended::Refused(None),
    })
}

/// Writes down what an attempt has brought, and has the delivery tried again if it must be.
async fn conclude(
    gateway: &Gateway,
    mut delivery: Delivery,
    ended: Ended,
    seen: &Health,
    place: usize,
    taken: Timestamp,
) -> Result<()> {
    let now = gateway.clock.now();
    let mut verdict = delivery::judge(ended, delivery.attempts, seen, now, jitter());
    let had_no_address = delivery.attempts == 0;
    if had_no_address {
        // The app is gone or has no address any more: that says nothing of an address.
        verdict.health = seen.clone();
        verdict.notice = None;
        verdict.status = DeliveryStatus::Failed;
    }
    delivery.status = verdict.status;
    delivery.next_attempt = verdict.next_attempt;
    let event = verdict.notice.map(|notice| told(&delivery, &verdict.health, notice, now));
    let outcome =
        Outcome { delivery: &delivery, seen, health: &verdict.health, place, taken, event: event.as_ref() };
    let mut is_recorded = gateway.store.record_attempt(&outcome).await?;
    if !is_recorded && event.is_some() {
        // Somebody else has given the same notice at the same moment; what this attempt has brought is written without.
        is_recorded = gateway.store.record_attempt(&Outcome { event: None, ..outcome }).await?;
    }
    if !is_recorded && !had_no_address {
        // The app has another address since. What the one before has said says nothing of it, and ends nothing.
        let ended = if ended == Ended::Gone { Ended::Refused(None) } else { ended };
        let verdict = delivery::judge(ended, delivery.attempts, &Health::default(), now, jitter());
        delivery.status = verdict.status;
        delivery.next_attempt = verdict.next_attempt;
    }
    if !is_recorded {
        gateway.store.write_delivery(&delivery, taken).await?;
    }
    again(gateway, &delivery).await
}

/// The event that tells of a failing address.
fn told(delivery: &Delivery, health: &Health, notice: Notice, now: Timestamp) -> Event {
    let (stage, disables_at) = match notice {
        Notice::Warning(at) => ("warning", Some(format!("{at:.3}"))),
        Notice::Disabled => ("disabled", None),
        Notice::Gone => ("gone", None),
    };
    let since = health.failing_since.map(|since| format!("{since:.3}"));
    let data = json!({
        "appId": delivery.app.as_str(), "stage": stage, "failingSince": since, "disablesAt": disables_at,
        "lastStatusCode": delivery.last_status, "lastError": delivery.last_error,
    });
    Event::new(&delivery.tenant, EventKind::WebhookDisabled, now, data)
}

/// Puts a delivery that is due soon into the queue of retries; later ones are found by the sweep.
async fn again(gateway: &Gateway, delivery: &Delivery) -> Result<()> {
    let Some(at) = delivery.next_attempt else { return Ok(()) };
    let wait = at.duration_since(gateway.clock.now());
    let seconds = wait.as_secs().saturating_add(i64::from(wait.subsec_nanos() > 0)).max(0);
    let Some(delay) = i32::try_from(seconds).ok().filter(|delay| *delay <= crate::queue::MAX_DELAY_SECONDS)
    else {
        return Ok(());
    };
    Ok(gateway
        .queues()
        .put(&gateway.config.retries_queue, &delivery.tenant, &Work::of(delivery, at), delay)
        .await?)
}

/// Has deliveries that are overdue tried: those that come later than a queue can wait, and those that one has lost.
///
/// Those that are more than a run takes of one app are read over: they keep nobody else from being tried, and are found
/// again by the next run.
pub async fn sweep(gateway: &Gateway) -> Result<usize> {
    let end = saturating_add(gateway.clock.now(), SignedDuration::from_millis(limits::DELIVERY_SWEEP_MS));
    let (mut of_apps, mut swept, mut from) = (HashMap::new(), 0, None);
    for _ in 0..limits::DUE_PAGES {
        let (mut overdue, next) = gateway.store.overdue_deliveries_of_all_tenants(from).await?;
        overdue.retain(|due| {
            let count = of_apps.entry((due.tenant.clone(), due.app.clone())).or_insert(0);
            *count += 1;
            *count <= limits::DELIVERY_SWEEP_PER_APP
        });
        swept += overdue.len();
        stream::iter(overdue.into_iter().map(Ok))
            .try_for_each_concurrent(limits::DELIVERY_SWEEP_AT_ONCE, |due: DueDelivery| async move {
                let work = Work::from(&due);
                let queue = &gateway.config.retries_queue;
                gateway.queues().put(queue, &due.tenant, &work, 0).await.map_err(Error::from)
            })
            .await?;
        from = next;
        if from.is_none() || end <= gateway.clock.now() {
            break;
        }
    }
    Ok(swept)
}

/// Lets an app's address be tried again as if it had never failed. Gives what was known of it.
pub async fn forgive(gateway: &Gateway, app: &App) -> Result<Health> {
    Ok(gateway.store.forget_endpoint(&app.tenant, &app.id).await?)
}

/// A delivery's id as a program writes it.
pub fn delivery_id(text: &str) -> Result<DeliveryId> {
    DeliveryId::parse(text).ok_or(Error::InvalidId { kind: "deliveryId" })
}

/// A status whose deliveries can be replayed, as a program writes it; held ones if it says nothing.
pub fn replayable(word: Option<&str>) -> Result<DeliveryStatus> {
    let Some(word) = word else { return Ok(DeliveryStatus::Held) };
    let status = DeliveryStatus::parse(word).filter(|status| *status != DeliveryStatus::Pending);
    status.ok_or_else(|| Error::InvalidField {
        text: "status must be delivered, failed or held".to_owned(),
        field: "status",
    })
}

/// A time as a program writes it: from a moment that must be given, to another one or now.
pub fn between(from: Option<&str>, to: Option<&str>, now: Timestamp) -> Result<(Timestamp, Timestamp)> {
    let time = |text: &str, field| {
        let wrong = |_| Error::InvalidField { text: format!("{field} must be an ISO 8601 time"), field };
        text.parse::<Timestamp>().map_err(wrong)
    };
    let from = from.ok_or(Error::MissingField { text: "from is required", field: "from" })?;
    let (from, to) = (time(from, "from")?, to.map(|text| time(text, "to")).transpose()?.unwrap_or(now));
    if from > to {
        return Err(Error::InvalidField { text: "to must not be before from".to_owned(), field: "to" });
    }
    Ok((from, to))
}

/// Has a delivery that is done tried again. One that is pending is left as it is.
pub async fn replay(gateway: &Gateway, tenant: &TenantId, app: &AppId, id: &DeliveryId) -> Result<Delivery> {
    let delivery = gateway.store.delivery(tenant, app, id).await?.ok_or(Error::NotFound)?;
    renew(gateway, &delivery).await?;
    gateway.store.delivery(tenant, app, id).await?.ok_or(Error::NotFound)
}

/// Has deliveries between two moments that have a status tried again, the newest first. Gives how many, and up to which
/// moment there may be more.
pub async fn replay_between(
    gateway: &Gateway,
    tenant: &TenantId,
    app: &AppId,
    between: (Timestamp, Timestamp),
    status: DeliveryStatus,
) -> Result<(usize, Option<Timestamp>)> {
    let mut page = Page { limit: limits::PAGE_MAX, after: None };
    let mut renewed = 0;
    for at in 1.. {
        let filter = (Some(status), None);
        let (found, next) = gateway.store.deliveries(tenant, app, between, filter, &page).await?;
        for delivery in &found {
            renewed += usize::from(renew(gateway, delivery).await?);
        }
        let Some(after) = next else { break };
        if renewed >= limits::REPLAYED_AT_ONCE || at == limits::REPLAY_PAGES {
            return Ok((renewed, moment_of(&after)));
        }
        page.after = Some(after);
    }
    Ok((renewed, None))
}

/// Makes a delivery due again and puts it into the queue of first tries, where somebody waits for it.
async fn renew(gateway: &Gateway, delivery: &Delivery) -> Result<bool> {
    if delivery.status == DeliveryStatus::Pending {
        return Ok(false);
    }
    let due = saturating_add(gateway.clock.now(), SignedDuration::from_secs(limits::DELIVERY_GRACE_SECONDS));
    let renewed = gateway.store.renew_delivery(delivery, due).await?;
    if renewed {
        gateway
            .queues()
            .put(&gateway.config.deliveries_queue, &delivery.tenant, &Work::of(delivery, due), 0)
            .await?;
    }
    Ok(renewed)
}

/// Sends a test event to an app's address, once. It is in no log and counts for nothing.
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

/// Posts a signed event to an app's address.
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
    let signature = signature::sign(&secrets, event.as_str(), now, &body)
        .ok_or(Error::Internal { what: "a webhook secret is none", source: None })?;
    let headers = [
        ("webhook-id", event.to_string()),
        ("webhook-timestamp", now.as_second().to_string()),
        ("webhook-signature", signature),
    ];
    Ok(gateway.outbound().post(url, &headers, body).await)
}

/// A random number from 0 to 1.
fn jitter() -> f64 {
    f64::from(u16::try_from(random::below(1 << 16)).unwrap_or_default()) / 65_536.0
}
