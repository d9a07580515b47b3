//! Every minute: does pending work that a crash or an outage has left. A failure is logged and does not affect the other
//! work.
//!
//! | event | response |
//! | --- | --- |
//! | `{}`, from the schedule | counts of the work done |
//! | `{"measure":true}`, every five minutes | the same; also writes the metrics of all connections |
//! | `{"restored":"begin"}`, from the operator after a restore: refreshes every connection | `{"due"}` |
//! | `{"restored":"report"}` | `{"waiting","healthy","mustReconnect"}` |

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::error::Result;
use shared::gateway::Gateway;
use shared::keepalive::{self, ConnectionHealth};
use shared::telemetry::{self, Unit};
use shared::{deletion, delivery, disconnect, run, sending, setup};

#[derive(Debug, Deserialize)]
struct SweepRequest {
    restored: Option<RestoreCheckStep>,
    #[serde(default)]
    measure: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum RestoreCheckStep {
    /// Make every connection due.
    Begin,
    /// List the connections whose user has to authorize again.
    Report,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SweepResponse {
    set_ups_finished: usize,
    revocations_tried: usize,
    tenants_erased: usize,
    refreshes_tried: usize,
    deliveries_due: usize,
    senders_woken: usize,
}

fn main() -> run::ProcessResult {
    run::event(handle)
}

async fn handle(gateway: &Gateway, event: SweepRequest) -> Result<Value> {
    match event.restored {
        Some(RestoreCheckStep::Begin) => Ok(json!({ "due": keepalive::start_restore_check(gateway).await? })),
        Some(RestoreCheckStep::Report) => Ok(json!(keepalive::report_restore_check(gateway).await?)),
        None => {
            if event.measure {
                write_metrics(gateway, &keepalive::measure_health(gateway).await?);
            }
            Ok(json!(sweep(gateway).await?))
        }
    }
}

async fn sweep(gateway: &Gateway) -> Result<SweepResponse> {
    let (set_ups, revocations, tenants, refreshes, deliveries, senders) = tokio::join!(
        setup::sweep(gateway),
        disconnect::sweep(gateway),
        deletion::sweep(gateway),
        keepalive::sweep(gateway),
        delivery::sweep(gateway),
        sending::wake_due_senders(gateway)
    );
    Ok(SweepResponse {
        set_ups_finished: set_ups?,
        revocations_tried: revocations?,
        tenants_erased: tenants?,
        refreshes_tried: refreshes?,
        deliveries_due: deliveries?,
        senders_woken: senders?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn write_metrics(gateway: &Gateway, health: &ConnectionHealth) {
    let count = |name, of: u64| (name, Unit::Count, of as f64);
    let mut metrics = vec![
        count("Connections", health.connections),
        count("ConnectionsFailing", health.failing),
        count("RefreshesOverdue", health.overdue),
        count("SubscriptionsNotActive", health.subscriptions_down),
        ("OldestIntentAge", Unit::Seconds, health.oldest_intent.as_secs_f64()),
    ];
    let shortest = health.shortest_refresh_lifetime;
    metrics.extend(shortest.map(|life| ("ShortestRefreshTokenLifetime", Unit::Seconds, life.as_secs_f64())));
    telemetry::metrics(gateway, &metrics);
}
