//! Delivery of webhook events, with the faults of the setting `hooks`. A failed delivery is not repeated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;

use crate::platform::events::WebhookEvent;
use crate::platform::ledger::LedgerKind;
use crate::platform::settings::WebhookFaults;
use crate::runtime::simulator_core::SimulatorCore;

/// A receiver must reply within this time.
const REPLY_TIMEOUT: Duration = Duration::from_secs(3);
/// With `hooks.reorder`, an event waits at most this long for the next one.
const REORDER_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends events until the simulator stops.
pub async fn deliver_events(core: Arc<SimulatorCore>, mut events: mpsc::UnboundedReceiver<WebhookEvent>) {
    let mut held: Option<WebhookEvent> = None;
    loop {
        let next = tokio::select! {
            () = core.stopped() => return,
            event = events.recv() => event,
            () = tokio::time::sleep(REORDER_TIMEOUT), if held.is_some() => None,
        };
        let faults = core.read(|state| state.settings.hooks.clone());
        match (next, held.take()) {
            (Some(event), None) if faults.reorder => held = Some(event),
            (Some(event), Some(first)) => start(&core, vec![event, first], faults),
            (Some(event), None) | (None, Some(event)) => start(&core, vec![event], faults),
            (None, None) => return,
        }
    }
}

/// Sends events one after the other, in a separate task.
fn start(core: &Arc<SimulatorCore>, events: Vec<WebhookEvent>, faults: WebhookFaults) {
    let core = Arc::clone(core);
    tokio::spawn(async move {
        let work = async {
            for event in events {
                send_with_faults(&core, event, &faults).await;
            }
        };
        tokio::select! {
            () = core.stopped() => {}
            () = work => {}
        }
    });
}

async fn send_with_faults(core: &SimulatorCore, event: WebhookEvent, faults: &WebhookFaults) {
    let is_lost = faults.drop > 0.0 && (faults.drop >= 1.0 || random_fraction() < faults.drop);
    if is_lost {
        core.update(|state, now| {
            let fields = json!({"subscriptionId": event.subscription_id, "uuid": event.envelope["uuid"],
                "event": event.envelope["event"], "messageId": event.envelope["body"]["id"]});
            state.ledger.add(now, LedgerKind::WebhookDropped, fields);
        });
    } else {
        tokio::time::sleep(Duration::from_millis(faults.delay_ms)).await;
        for _ in 0..=faults.duplicate {
            send(core, &event, faults).await;
        }
    }
    core.finish_event();
}

/// At least 0 and below 1.
fn random_fraction() -> f64 {
    let bytes = *uuid::Uuid::new_v4().as_bytes();
    f64::from(u16::from_be_bytes([bytes[0], bytes[1]])) / 65_536.0
}

async fn send(core: &SimulatorCore, event: &WebhookEvent, faults: &WebhookFaults) {
    let http = match core.http() {
        Ok(http) => http,
        Err(error) => return tracing::error!(%error, "webhook event could not be sent"),
    };
    let mut request = http
        .post(&event.address)
        .header("Accept", "application/json")
        .header("Content-Type", "application/json; charset=UTF-8")
        .timeout(REPLY_TIMEOUT)
        .body(event.envelope.to_string());
    let token = if faults.wrong_token { Some("not-the-token") } else { event.token.as_deref() };
    if let Some(token) = token {
        request = request.header(&event.token_header, token);
    }
    let began = Instant::now();
    let outcome = match request.send().await {
        // Reading the whole reply lets the connection be reused. The timeout covers it.
        Ok(response) => {
            let status = response.status().as_u16();
            response.bytes().await.map(|_| status).map_err(|e| reason(&e))
        }
        Err(error) => Err(reason(&error)),
    };
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    core.update(|state, now| {
        let fields = json!({
            "subscriptionId": event.subscription_id,
            "uuid": event.envelope["uuid"],
            "event": event.envelope["event"],
            "messageId": event.envelope["body"]["id"],
            "status": outcome.as_ref().ok(),
            "error": outcome.as_ref().err(),
            "ms": ms,
        });
        state.ledger.add(now, LedgerKind::WebhookSent, fields);
        let id = &event.subscription_id;
        match outcome {
            Ok(200) => state.record_delivery_success(id),
            Ok(status) => {
                let reason = format!("Webhook responses with code: [{status}]");
                state.record_delivery_failure(now, id, &reason);
            }
            Err(reason) => state.record_delivery_failure(now, id, reason),
        }
    });
}

fn reason(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() { "Read timed out" } else { "Connection failed" }
}
