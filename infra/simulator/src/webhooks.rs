//! Delivery of events, with the trouble that the settings ask for. A lost event is never repeated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;

use crate::clock::{Millis, SECOND};
use crate::events::Outgoing;
use crate::settings::Hooks;
use crate::sim::Sim;
use crate::state::World;
use crate::subscriptions::Status;

/// A receiver must answer within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// An event that waits for another to overtake it goes after this anyway.
const OVERTAKE_WITHIN: Duration = Duration::from_secs(1);

/// Sends events until the simulator stops.
pub async fn deliver(sim: Arc<Sim>, mut events: mpsc::UnboundedReceiver<Outgoing>) {
    let mut held: Option<Outgoing> = None;
    loop {
        let next = tokio::select! {
            () = sim.stopped() => return,
            event = events.recv() => event,
            () = tokio::time::sleep(OVERTAKE_WITHIN), if held.is_some() => None,
        };
        let hooks = sim.peek(|world| world.settings.hooks.clone());
        match (next, held.take()) {
            (Some(event), None) if hooks.reorder => held = Some(event),
            (Some(event), Some(first)) => start(&sim, vec![event, first], hooks),
            (Some(event), None) | (None, Some(event)) => start(&sim, vec![event], hooks),
            (None, None) => return,
        }
    }
}

/// Sends events one after the other, without keeping later ones waiting.
fn start(sim: &Arc<Sim>, events: Vec<Outgoing>, hooks: Hooks) {
    let sim = Arc::clone(sim);
    tokio::spawn(async move {
        let work = async {
            for event in events {
                send_all(&sim, event, &hooks).await;
            }
        };
        tokio::select! {
            () = sim.stopped() => {}
            () = work => {}
        }
    });
}

async fn send_all(sim: &Sim, event: Outgoing, hooks: &Hooks) {
    let lost = hooks.drop > 0.0 && (hooks.drop >= 1.0 || chance() < hooks.drop);
    if lost {
        sim.world(|world, now| {
            let entry = json!({"subscriptionId": event.subscription_id, "uuid": event.envelope["uuid"],
                "event": event.envelope["event"], "messageId": event.envelope["body"]["id"]});
            world.ledger.add(now, "webhook_dropped", entry);
        });
    } else {
        tokio::time::sleep(Duration::from_millis(hooks.delay_ms)).await;
        for _ in 0..=hooks.duplicate {
            send(sim, &event, hooks).await;
        }
    }
    sim.delivered();
}

/// A number from 0 to below 1.
fn chance() -> f64 {
    let bytes = *uuid::Uuid::new_v4().as_bytes();
    f64::from(u16::from_be_bytes([bytes[0], bytes[1]])) / 65_536.0
}

async fn send(sim: &Sim, event: &Outgoing, hooks: &Hooks) {
    let http = match sim.http() {
        Ok(http) => http,
        Err(error) => return tracing::error!(%error, "an event was not sent"),
    };
    let mut request = http
        .post(&event.address)
        .header("Accept", "application/json")
        .header("Content-Type", "application/json; charset=UTF-8")
        .timeout(ANSWER_WITHIN)
        .body(event.envelope.to_string());
    let token = if hooks.wrong_token { Some("not-the-token") } else { event.token.as_deref() };
    if let Some(token) = token {
        request = request.header(&event.token_header, token);
    }
    let began = Instant::now();
    let outcome = match request.send().await {
        // Reading the answer keeps the connection whole; a receiver that never ends is timed out.
        Ok(response) => {
            let status = response.status().as_u16();
            response.bytes().await.map(|_| status).map_err(|e| reason(&e))
        }
        Err(error) => Err(reason(&error)),
    };
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    sim.world(|world, now| {
        let entry = json!({
            "subscriptionId": event.subscription_id,
            "uuid": event.envelope["uuid"],
            "event": event.envelope["event"],
            "messageId": event.envelope["body"]["id"],
            "status": outcome.as_ref().ok(),
            "error": outcome.as_ref().err(),
            "ms": ms,
        });
        world.ledger.add(now, "webhook_sent", entry);
        let failure = match outcome {
            Ok(200) => None,
            Ok(status) => Some(format!("Webhook responses with code: [{status}]")),
            Err(error) => Some(error),
        };
        world.judge(now, &event.subscription_id, failure);
    });
}

fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() { "Read timed out" } else { "Connection failed" }.to_owned()
}

impl World {
    /// Counts a delivery that went well or failed; too many failures end the subscription's events.
    fn judge(&mut self, now: Millis, id: &str, failure: Option<String>) {
        let settings = &self.settings;
        let Some(subscription) = self.subscriptions.iter_mut().find(|s| s.id == id) else {
            return;
        };
        let Some(reason) = failure else {
            subscription.failures = 0;
            subscription.failing_since = None;
            return;
        };
        subscription.failures += 1;
        let since = *subscription.failing_since.get_or_insert(now);
        let long = now - since >= settings.blacklist_after_seconds * SECOND && subscription.failures > 1;
        if subscription.status == Status::Active
            && (long || subscription.failures >= settings.blacklist_after_failures)
        {
            self.blacklist(now, id, reason);
        }
    }

    /// Ends a subscription's events; true if there is such a subscription.
    pub fn blacklist(&mut self, now: Millis, id: &str, reason: String) -> bool {
        let Some(subscription) = self.subscriptions.iter_mut().find(|s| s.id == id && !s.expired) else {
            return false;
        };
        subscription.status = Status::Blacklisted;
        subscription.blacklisted = Some((now, reason.clone()));
        let mut entry = subscription.about();
        entry["reason"] = reason.into();
        self.ledger.add(now, "subscription_blacklisted", entry);
        true
    }

    /// Sets blacklisted subscriptions active again, where the settings want that.
    pub fn reactivate(&mut self, now: Millis) {
        let Some(seconds) = self.settings.reactivate_after_seconds else {
            return;
        };
        for subscription in &mut self.subscriptions {
            let over = subscription.blacklisted.as_ref().is_some_and(|(at, _)| now >= at + seconds * SECOND);
            if subscription.status == Status::Blacklisted && over {
                subscription.status = Status::Active;
                subscription.blacklisted = None;
                subscription.failures = 0;
                subscription.failing_since = None;
            }
        }
    }
}
