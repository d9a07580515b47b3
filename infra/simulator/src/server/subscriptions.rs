//! `/restapi/v1.0/subscription`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform::clock::Millis;
use crate::platform::errors::RestError;
use crate::platform::subscriptions::SubscriptionRecord;
use crate::rules::caller::ApiCaller;
use crate::rules::subscriptions::{
    SubscriptionDraft, check_webhook_address, resolve_filters, subscription_ttl,
};
use crate::runtime::handshake::validate_webhook;
use crate::runtime::simulator_core::SimulatorCore;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionBody {
    event_filters: Option<Vec<String>>,
    delivery_mode: Option<DeliveryModeBody>,
    expires_in: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryModeBody {
    transport_type: Option<String>,
    address: Option<String>,
    verification_token: Option<String>,
}

fn parse(body: &[u8]) -> Result<SubscriptionBody, RestError> {
    serde_json::from_slice(body).map_err(|_| RestError::invalid_json())
}

fn subscription_json(core: &SimulatorCore, subscription: &SubscriptionRecord, now: Millis) -> Value {
    let uri = core.url(&format!("/restapi/v1.0/subscription/{}", subscription.id));
    subscription.to_json(&uri, now)
}

/// `POST /restapi/v1.0/subscription`: 200 after a successful handshake with the receiver.
pub async fn create_subscription(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    body: Bytes,
) -> Result<Json<Value>, RestError> {
    let body = parse(&body)?;
    let Some(mode) = body.delivery_mode else {
        return Err(RestError::parameter("deliveryMode", Value::Null));
    };
    if mode.transport_type.as_deref() != Some("WebHook") {
        let given = mode.transport_type.unwrap_or_default();
        return Err(RestError::parameter("deliveryMode.transportType", given));
    }
    let address = mode.address.unwrap_or_default();
    check_webhook_address(&address)?;
    let (filters, time_limit) = core.update(|state, now| {
        caller.require_scope("SubscriptionWebhook")?;
        let filters = resolve_filters(state, &caller, &body.event_filters.unwrap_or_default())?;
        state.check_subscription_count(&caller, now)?;
        Ok((filters, state.settings.handshake_timeout_ms))
    })?;
    validate_webhook(&core, &address, Duration::from_millis(time_limit)).await?;
    core.update(|state, now| {
        // Other subscriptions may have been created during the handshake.
        state.check_subscription_count(&caller, now)?;
        let ttl = subscription_ttl(state, body.expires_in)?;
        let verification_token = mode.verification_token;
        let draft = SubscriptionDraft { filters, address, verification_token, ttl };
        let subscription = state.create_subscription(&caller, now, draft);
        Ok(Json(subscription_json(&core, &subscription, now)))
    })
}

/// `GET /restapi/v1.0/subscription`.
pub async fn list_subscriptions(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
) -> Result<Json<Value>, RestError> {
    core.update(|state, now| {
        let own = state.live_subscriptions(&caller, now);
        let records: Vec<Value> = own.map(|s| subscription_json(&core, s, now)).collect();
        Ok(Json(json!({"uri": core.url("/restapi/v1.0/subscription"), "records": records})))
    })
}

/// `GET /restapi/v1.0/subscription/{id}`.
pub async fn get_subscription(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, RestError> {
    core.update(|state, now| {
        let subscription = state.subscription_mut(&caller, now, &id)?;
        Ok(Json(subscription_json(&core, subscription, now)))
    })
}

/// `PUT /restapi/v1.0/subscription/{id}`: changes filters and lifetime. An empty body renews with the default lifetime.
pub async fn update_subscription(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, RestError> {
    let body = if body.is_empty() { SubscriptionBody::default() } else { parse(&body)? };
    core.update(|state, now| {
        state.subscription_mut(&caller, now, &id)?;
        let filters = body.event_filters.as_deref();
        let filters = filters.map(|filters| resolve_filters(state, &caller, filters)).transpose()?;
        let ttl = subscription_ttl(state, body.expires_in)?;
        let renewed = state.renew_subscription(&caller, now, &id, filters, Some(ttl))?;
        Ok(Json(subscription_json(&core, &renewed, now)))
    })
}

/// `POST /restapi/v1.0/subscription/{id}/renew`: starts another lifetime of the same length.
pub async fn renew_subscription(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, RestError> {
    core.update(|state, now| {
        let renewed = state.renew_subscription(&caller, now, &id, None, None)?;
        Ok(Json(subscription_json(&core, &renewed, now)))
    })
}

/// `DELETE /restapi/v1.0/subscription/{id}`.
pub async fn delete_subscription(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(id): Path<String>,
) -> Result<StatusCode, RestError> {
    core.update(|state, now| {
        state.delete_subscription(&caller, now, &id)?;
        Ok(StatusCode::NO_CONTENT)
    })
}
