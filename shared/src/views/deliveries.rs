//! What the API shows of events on their way.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::iso;
use super::tenancy::AppView;
use crate::limits;
use crate::model::delivery::{Delivery, DeliveryStatus, Health};
use crate::model::event::Event;
use crate::outbound::Exchange;

/// A delivery.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Delivery")]
pub struct DeliveryView<'a> {
    id: &'a str,
    event_id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// `pending`: it is tried, or will be tried again. `delivered`: the address has taken it. `failed`: it was given up, or
    /// the app has no address any more. `held`: the address is switched off; replay it.
    status: &'static str,
    /// Since it was written, or replayed.
    attempts: u32,
    /// What the address last answered; `null` if it did not.
    last_status_code: Option<u16>,
    /// Why there was no answer: `address_not_allowed` (the name leads outside the public internet), `name_not_found`,
    /// `connection_failed`, `tls_failed`, `timeout`, `invalid_answer`; `no_webhook_url` if the app has no address any more.
    last_error: Option<&'a str>,
    /// How long the last attempt took.
    last_duration_ms: Option<u64>,
    #[schemars(with = "Timestamp")]
    created_at: String,
    /// `null` if it is not tried any more.
    #[schemars(with = "Option<Timestamp>")]
    next_attempt_at: Option<String>,
}

impl<'a> From<&'a Delivery> for DeliveryView<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        Self {
            id: delivery.id.as_str(),
            event_id: delivery.event.as_str(),
            kind: delivery.kind.as_str(),
            status: delivery.status.as_str(),
            attempts: delivery.attempts,
            last_status_code: delivery.last_status,
            last_error: delivery.last_error.as_deref(),
            last_duration_ms: delivery.last_ms,
            created_at: iso(delivery.id.at()),
            next_attempt_at: delivery.next_attempt.map(iso),
        }
    }
}

/// `GET /v1/apps/{appId}/deliveries`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deliveries<'a> {
    deliveries: Vec<DeliveryView<'a>>,
    /// What is known of the app's address.
    endpoint: EndpointView,
    next_cursor: Option<String>,
}

impl<'a> Deliveries<'a> {
    /// A part of the log.
    pub fn of(deliveries: &'a [Delivery], health: &Health, next_cursor: Option<String>) -> Self {
        let deliveries = deliveries.iter().map(DeliveryView::from).collect();
        Self { deliveries, endpoint: EndpointView::from(health), next_cursor }
    }
}

/// What is known of an app's address over all deliveries.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Endpoint")]
struct EndpointView {
    /// `ok`; `failing`: the last attempt failed; `disabled`: it is switched off, and events are held.
    status: &'static str,
    #[schemars(with = "Option<Timestamp>")]
    failing_since: Option<String>,
    /// Save the app's `webhookUrl`, even unchanged, to switch it on again.
    #[schemars(with = "Option<Timestamp>")]
    disabled_at: Option<String>,
}

impl From<&Health> for EndpointView {
    fn from(health: &Health) -> Self {
        let status = match (health.disabled_at, health.failing_since) {
            (Some(_), _) => "disabled",
            (None, Some(_)) => "failing",
            (None, None) => "ok",
        };
        Self {
            status,
            failing_since: health.failing_since.map(iso),
            disabled_at: health.disabled_at.map(iso),
        }
    }
}

/// An app that was changed; with what can be replayed, if its address was switched off until now.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedApp<'a> {
    #[serde(flatten)]
    app: AppView<'a>,
    /// Only if the address was switched off until now.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<ReplayOffer>,
}

/// What to send to `POST /v1/apps/{appId}/replay` to get what was held.
#[derive(Debug, Serialize, JsonSchema)]
struct ReplayOffer {
    #[schemars(with = "Timestamp")]
    from: String,
    status: &'static str,
}

impl<'a> ChangedApp<'a> {
    /// An app, and what was known of its address before.
    pub fn of(app: AppView<'a>, before: Option<&Health>) -> Self {
        let switched_off =
            before.and_then(|health| health.disabled_at.map(|at| health.failing_since.unwrap_or(at)));
        // What was held may be of events from before the failure: deliveries wait for days.
        let earlier = SignedDuration::from_secs(limits::DISABLED_AFTER_SECONDS);
        let switched_off = switched_off.map(|at| at.saturating_sub(earlier).unwrap_or(at));
        let status = DeliveryStatus::Held.as_str();
        Self { app, replay: switched_off.map(|from| ReplayOffer { from: iso(from), status }) }
    }
}

/// `POST /v1/apps/{appId}/replay`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Replayed {
    /// How many deliveries are tried again.
    pub replayed: usize,
    /// There may be more up to this moment, even if none was found: ask again with it as `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    pub to: Option<String>,
}

/// `POST /v1/apps/{appId}/test-webhook`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Tested")]
pub struct TestedView {
    /// True if the address answered with a status that counts as received.
    delivered: bool,
    status_code: Option<u16>,
    duration_ms: u64,
    /// Why there is no answer, in the words of a delivery's `lastError`.
    error: Option<String>,
    /// The beginning of the answer.
    body: Option<String>,
}

impl From<&Exchange> for TestedView {
    fn from(exchange: &Exchange) -> Self {
        let answer = exchange.outcome.as_ref().ok();
        let shown = |body: &[u8]| {
            let text = String::from_utf8_lossy(body);
            text.chars().take(limits::OUTBOUND_SHOWN_CHARS).collect()
        };
        Self {
            delivered: exchange.is_received(),
            status_code: answer.map(|answer| answer.status),
            duration_ms: u64::try_from(exchange.took.as_millis()).unwrap_or(u64::MAX),
            error: exchange.outcome.as_ref().err().map(ToString::to_string),
            body: answer.map(|answer| shown(&answer.body)),
        }
    }
}

/// `GET /v1/events`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    events: Vec<Value>,
    /// Give it as `cursor` with the next call, now or later.
    next_cursor: Option<String>,
}

impl Events {
    /// A part of what happened.
    pub fn of(events: &[Event], next_cursor: Option<String>) -> Self {
        Self { events: events.iter().map(Event::json).collect(), next_cursor }
    }
}
