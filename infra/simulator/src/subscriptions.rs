//! Webhook subscriptions: made after a handshake, seen only by the same user and app, gone when they expire.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension as Given, Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::clock::{Millis, SECOND, iso, seconds_left};
use crate::error::ApiError;
use crate::filters::{self, Filter};
use crate::handshake;
use crate::sim::Sim;
use crate::state::World;

/// Life of a subscription that does not say how long, in seconds.
const DEFAULT_TTL: i64 = 604_800;

/// A subscription's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Events are sent.
    Active,
    /// Events failed too often; nothing is sent.
    Blacklisted,
}

/// A webhook subscription.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id, a UUID.
    pub id: String,
    /// The app that made it.
    pub client_id: String,
    /// The user who made it.
    pub extension_id: i64,
    /// The user's account.
    pub account_id: i64,
    /// What it wants to hear, resolved.
    pub filters: Vec<String>,
    /// Where events go.
    pub address: String,
    /// Sent back with each event.
    pub verification_token: Option<String>,
    /// When it was made.
    pub created_at: Millis,
    /// How long it lives, in seconds.
    pub ttl: i64,
    /// When it ends.
    pub expires_at: Millis,
    /// It has ended; kept to answer SUB-507.
    pub expired: bool,
    /// Does it still get events?
    pub status: Status,
    /// When and why it was blacklisted.
    pub blacklisted: Option<(Millis, String)>,
    /// Events that failed in a row.
    pub failures: u32,
    /// When the first of them failed.
    pub failing_since: Option<Millis>,
    /// When the next renewal reminder is due.
    pub remind_at: Option<Millis>,
}

impl Subscription {
    fn record(&self, sim: &Sim, now: Millis) -> Value {
        let mut record = json!({
            "uri": sim.uri(&format!("/restapi/v1.0/subscription/{}", self.id)),
            "id": self.id,
            "creationTime": iso(self.created_at),
            "status": self.status,
            "eventFilters": self.filters,
            "expirationTime": iso(self.expires_at),
            "expiresIn": (seconds_left(self.expires_at, now) - 1).max(0),
            "deliveryMode": {"transportType": "WebHook", "encryption": false, "address": self.address},
        });
        if let Some((at, reason)) = &self.blacklisted {
            record["blacklistedData"] = json!({"blacklistedAt": iso(*at), "reason": reason});
        }
        record
    }

    /// Is it there at all?
    #[must_use]
    pub fn is_live(&self, now: Millis) -> bool {
        !self.expired && now < self.expires_at
    }

    /// Gives it a new life, from now on.
    fn renew(&mut self, now: Millis, ttl: i64) {
        self.ttl = ttl;
        self.expires_at = now + ttl * SECOND;
        self.remind_at = filters::first_reminder(&self.filters, self.expires_at);
    }

    /// What the ledger says about it. The token and the path of the address stay out.
    #[must_use]
    pub fn about(&self) -> Value {
        json!({
            "subscriptionId": self.id,
            "extensionId": self.extension_id.to_string(),
            "accountId": self.account_id.to_string(),
            "clientId": self.client_id,
            "expirationTime": iso(self.expires_at),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    event_filters: Option<Vec<String>>,
    delivery_mode: Option<DeliveryMode>,
    expires_in: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryMode {
    transport_type: Option<String>,
    address: Option<String>,
    verification_token: Option<String>,
}

fn parse(body: &[u8]) -> Result<Wanted, ApiError> {
    serde_json::from_slice(body).map_err(|_| ApiError::unparsable())
}

/// `POST /restapi/v1.0/subscription`: 200 once the receiver has answered the handshake.
pub async fn create(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let wanted = parse(&body)?;
    let Some(mode) = wanted.delivery_mode else {
        return Err(ApiError::parameter("deliveryMode", Value::Null));
    };
    if mode.transport_type.as_deref() != Some("WebHook") {
        let given = mode.transport_type.unwrap_or_default();
        return Err(ApiError::parameter("deliveryMode.transportType", given));
    }
    let address = mode.address.unwrap_or_default();
    check_address(&address)?;
    let (filters, limit) = sim.world(|world, now| {
        caller.need_scope("SubscriptionWebhook")?;
        let filters = accepted_filters(world, &caller, wanted.event_filters.as_deref())?;
        check_count(world, &caller, now)?;
        Ok((filters, world.settings.handshake_timeout_ms))
    })?;
    handshake::validate(&sim, &address, Duration::from_millis(limit)).await?;
    sim.world(|world, now| {
        // Others may have been made during the handshake.
        check_count(world, &caller, now)?;
        let mut subscription = Subscription {
            id: uuid::Uuid::new_v4().to_string(),
            client_id: caller.session.client_id.clone(),
            extension_id: caller.session.extension_id,
            account_id: caller.session.account_id,
            filters,
            address,
            verification_token: mode.verification_token,
            created_at: now,
            ttl: 0,
            expires_at: now,
            expired: false,
            status: Status::Active,
            blacklisted: None,
            failures: 0,
            failing_since: None,
            remind_at: None,
        };
        subscription.renew(now, ttl(world, wanted.expires_in)?);
        world.ledger.add(now, "subscription_created", subscription.about());
        let record = subscription.record(&sim, now);
        world.subscriptions.push(subscription);
        Ok(Json(record))
    })
}

/// `GET /restapi/v1.0/subscription`.
pub async fn list(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
) -> Result<Json<Value>, ApiError> {
    sim.world(|world, now| {
        let own = world.subscriptions.iter().filter(|s| is_callers(s, &caller) && s.is_live(now));
        let records: Vec<Value> = own.map(|s| s.record(&sim, now)).collect();
        Ok(Json(json!({"uri": sim.uri("/restapi/v1.0/subscription"), "records": records})))
    })
}

/// `GET /restapi/v1.0/subscription/{id}`.
pub async fn read(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    sim.world(|world, now| Ok(Json(find(world, &caller, now, &id)?.record(&sim, now))))
}

/// `PUT /restapi/v1.0/subscription/{id}`: other filters, another life; always renews.
pub async fn update(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let wanted = if body.is_empty() {
        Wanted { event_filters: None, delivery_mode: None, expires_in: None }
    } else {
        parse(&body)?
    };
    sim.world(|world, now| {
        find(world, &caller, now, &id)?;
        let filters = match &wanted.event_filters {
            Some(filters) => Some(accepted_filters(world, &caller, Some(filters))?),
            None => None,
        };
        let ttl = ttl(world, wanted.expires_in)?;
        renewed(&sim, world, &caller, now, &id, |s| {
            if let Some(filters) = filters {
                s.filters = filters;
            }
            ttl
        })
    })
}

/// `POST /restapi/v1.0/subscription/{id}/renew`: the same life again.
pub async fn renew(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    sim.world(|world, now| renewed(&sim, world, &caller, now, &id, |s| s.ttl))
}

/// `DELETE /restapi/v1.0/subscription/{id}`.
pub async fn remove(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    sim.world(|world, now| {
        let about = find(world, &caller, now, &id)?.about();
        world.subscriptions.retain(|s| s.id != id);
        world.ledger.add(now, "subscription_deleted", about);
        Ok(StatusCode::NO_CONTENT)
    })
}

fn renewed(
    sim: &Sim,
    world: &mut World,
    caller: &Caller,
    now: Millis,
    id: &str,
    change: impl FnOnce(&mut Subscription) -> i64,
) -> Result<Json<Value>, ApiError> {
    let subscription = find(world, caller, now, id)?;
    let ttl = change(subscription);
    subscription.renew(now, ttl);
    let (about, record) = (subscription.about(), subscription.record(sim, now));
    world.ledger.add(now, "subscription_renewed", about);
    Ok(Json(record))
}

fn is_callers(subscription: &Subscription, caller: &Caller) -> bool {
    subscription.extension_id == caller.session.extension_id
        && subscription.client_id == caller.session.client_id
}

fn find<'w>(
    world: &'w mut World,
    caller: &Caller,
    now: Millis,
    id: &str,
) -> Result<&'w mut Subscription, ApiError> {
    match world.subscriptions.iter_mut().find(|s| s.id == id && is_callers(s, caller)) {
        Some(found) if found.is_live(now) => Ok(found),
        Some(_) => {
            Err(ApiError::new(StatusCode::NOT_FOUND, "SUB-507", "Subscription is expired or not found"))
        }
        None => Err(ApiError::not_found("subscriptionId", id)),
    }
}

fn check_count(world: &World, caller: &Caller, now: Millis) -> Result<(), ApiError> {
    let count = world.subscriptions.iter().filter(|s| is_callers(s, caller) && s.is_live(now)).count();
    if count < world.settings.subscription_limit {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, "SUB-505", "Subscriptions limit exceeded"))
}

/// https, or http to this machine.
fn check_address(address: &str) -> Result<(), ApiError> {
    let invalid = || ApiError::parameter("deliveryMode.address", address);
    let url = url::Url::parse(address).map_err(|_| invalid())?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(invalid()),
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        "http" => {
            Err(ApiError::new(StatusCode::BAD_REQUEST, "SUB-523", "HTTPS is required for WebHook address"))
        }
        _ => Err(invalid()),
    }
}

fn ttl(world: &World, wanted: Option<i64>) -> Result<i64, ApiError> {
    match wanted {
        None => Ok(DEFAULT_TTL),
        Some(ttl) if ttl < 1 => Err(ApiError::parameter("expiresIn", ttl)),
        Some(ttl) => Ok(ttl.min(world.settings.max_subscription_ttl)),
    }
}

/// The filters with `~` resolved, if the caller may have all of them.
fn accepted_filters(
    world: &World,
    caller: &Caller,
    wanted: Option<&[String]>,
) -> Result<Vec<String>, ApiError> {
    let wanted = wanted.unwrap_or_default();
    if wanted.is_empty() {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "SUB-508", "Event filters are not specified"));
    }
    let mut resolved = Vec::new();
    let mut only_reminders = true;
    for text in wanted {
        let filter = Filter::parse(text).ok_or_else(|| {
            ApiError::new(StatusCode::BAD_REQUEST, "SUB-508", "Event filter is not recognized")
                .with("filter", text.as_str())
        })?;
        only_reminders &= filter.is_reminder();
        resolved.push(filter.resolved(world, caller)?);
    }
    if only_reminders {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "SUB-515",
            "A reminder can not be the only event filter",
        ));
    }
    Ok(resolved)
}

impl World {
    /// Ends subscriptions whose time is over.
    pub fn expire_subscriptions(&mut self, now: Millis) {
        let mut over = Vec::new();
        for subscription in &mut self.subscriptions {
            if !subscription.expired && now >= subscription.expires_at {
                subscription.expired = true;
                over.push((subscription.expires_at, subscription.about()));
            }
        }
        for (at, about) in over {
            self.ledger.add(at, "subscription_expired", about);
        }
    }
}
