//! The JSON of events, deliveries and endpoints.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::iso;
use super::tenancy::AppView;
use crate::limits;
use crate::model::delivery::{Delivery, DeliveryStatus, EndpointHealth};
use crate::model::event::EventKind;
use crate::model::string_enum::string_enum;
use crate::outbound::Exchange;

/// One event for one app.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookDelivery")]
pub struct DeliveryView<'a> {
    /// The id of the delivery.
    id: &'a str,
    /// The id of the event, which `webhook-id` repeats.
    event_id: &'a str,
    /// The type of the event.
    #[serde(rename = "type")]
    kind: EventKind,
    /// `pending`: due, or waiting for its next attempt. `delivered`: the endpoint answered with a 2xx status. `failed`: every
    /// attempt failed, or the app has no webhook URL any more. `held`: the endpoint is disabled; the delivery can be replayed.
    status: DeliveryStatus,
    /// Attempts since the delivery was created or replayed.
    attempts: u32,
    /// HTTP status of the last response; `null` if there was none.
    last_status_code: Option<u16>,
    /// Why the last attempt got no response: `address_not_allowed` (the host name does not resolve to public addresses),
    /// `name_not_found`, `connection_failed`, `tls_failed`, `timeout`, `invalid_answer`; `no_webhook_url` if the app has no
    /// webhook URL any more.
    last_error: Option<&'a str>,
    /// Duration of the last attempt in milliseconds.
    last_duration_ms: Option<u64>,
    /// When the delivery was created.
    #[schemars(with = "Timestamp")]
    created_at: String,
    /// When the next attempt is due; `null` if there is none.
    #[schemars(with = "Option<Timestamp>")]
    next_attempt_at: Option<String>,
}

impl<'a> From<&'a Delivery> for DeliveryView<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        Self {
            id: delivery.id.as_str(),
            event_id: delivery.event.as_str(),
            kind: delivery.kind,
            status: delivery.status,
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
#[schemars(rename = "WebhookDeliveryList")]
pub struct Deliveries<'a> {
    /// The deliveries, newest first.
    deliveries: Vec<DeliveryView<'a>>,
    /// The state of the app's webhook URL.
    endpoint: EndpointView,
    /// Send it as `cursor` to get the next page; `null` on the last page.
    next_cursor: Option<String>,
}

impl<'a> Deliveries<'a> {
    pub fn of(deliveries: &'a [Delivery], health: &EndpointHealth, next_cursor: Option<String>) -> Self {
        let deliveries = deliveries.iter().map(DeliveryView::from).collect();
        Self { deliveries, endpoint: EndpointView::from(health), next_cursor }
    }
}

string_enum! {
    /// The health of an app's endpoint.
    pub enum EndpointStatus {
        Ok = "ok",
        Failing = "failing",
        Disabled = "disabled",
    }
}

/// The health of an app's endpoint, over all its deliveries.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookEndpoint")]
struct EndpointView {
    /// `ok`; `failing`: the last attempt failed; `disabled`: nothing is sent, and deliveries are held.
    status: EndpointStatus,
    /// Since when every attempt has failed; `null` if the last one succeeded.
    #[schemars(with = "Option<Timestamp>")]
    failing_since: Option<String>,
    /// When the endpoint was disabled; `null` if it is not. Update the app with its `webhookUrl`, even unchanged, to enable the endpoint again.
    #[schemars(with = "Option<Timestamp>")]
    disabled_at: Option<String>,
}

impl From<&EndpointHealth> for EndpointView {
    fn from(health: &EndpointHealth) -> Self {
        let status = match (health.disabled_at, health.failing_since) {
            (Some(_), _) => EndpointStatus::Disabled,
            (None, Some(_)) => EndpointStatus::Failing,
            (None, None) => EndpointStatus::Ok,
        };
        Self {
            status,
            failing_since: health.failing_since.map(iso),
            disabled_at: health.disabled_at.map(iso),
        }
    }
}

/// An updated app.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UpdatedApp")]
pub struct UpdatedAppView<'a> {
    #[serde(flatten)]
    app: AppView<'a>,
    /// Only if the endpoint was disabled until now: a request that replays the held deliveries.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<ReplayOffer>,
}

/// The body of a `POST /v1/apps/{appId}/replay` that replays the held deliveries.
#[derive(Debug, Serialize, JsonSchema)]
struct ReplayOffer {
    /// Deliveries of events at or after this time.
    #[schemars(with = "Timestamp")]
    from: String,
    /// Deliveries with this status.
    status: DeliveryStatus,
}

impl<'a> UpdatedAppView<'a> {
    /// `health_before` is the health of the endpoint before the update, if the update reset it.
    pub fn of(app: AppView<'a>, health_before: Option<&EndpointHealth>) -> Self {
        let disabled_since =
            health_before.and_then(|health| health.disabled_at.map(|at| health.failing_since.unwrap_or(at)));
        // Held deliveries may be of events from before the endpoint began to fail, because retries take days.
        let earlier = SignedDuration::from_secs(limits::DISABLED_AFTER_SECONDS);
        let disabled_since = disabled_since.map(|at| at.saturating_sub(earlier).unwrap_or(at));
        let status = DeliveryStatus::Held;
        Self { app, replay: disabled_since.map(|from| ReplayOffer { from: iso(from), status }) }
    }
}

/// `POST /v1/apps/{appId}/replay`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReplayResult")]
pub struct ReplayView {
    /// How many deliveries were replayed.
    pub replayed: usize,
    /// Present if there may be more deliveries until this time. Send the request again with it as `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    pub to: Option<String>,
}

/// `POST /v1/apps/{appId}/test-webhook`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookTestResult")]
pub struct TestedView {
    /// True if the endpoint answered with a 2xx status.
    delivered: bool,
    /// HTTP status of the response; `null` if there was none.
    status_code: Option<u16>,
    /// Duration of the request in milliseconds.
    duration_ms: u64,
    /// Why there was no response, as in `lastError` of a delivery.
    error: Option<String>,
    /// The beginning of the response body.
    body: Option<String>,
}

impl From<&Exchange> for TestedView {
    fn from(exchange: &Exchange) -> Self {
        let response = exchange.outcome.as_ref().ok();
        let shown = |body: &[u8]| {
            let text = String::from_utf8_lossy(body);
            text.chars().take(limits::OUTBOUND_SHOWN_CHARS).collect()
        };
        Self {
            delivered: exchange.is_accepted(),
            status_code: response.map(|response| response.status),
            duration_ms: u64::try_from(exchange.took.as_millis()).unwrap_or(u64::MAX),
            error: exchange.outcome.as_ref().err().map(ToString::to_string),
            body: response.map(|response| shown(&response.body)),
        }
    }
}
