//! Every minute: finishes what a crash or an outage left undone. One piece of work that fails is logged and never stops the
//! rest.
//!
//! | order | answer |
//! | --- | --- |
//! | what the schedule says | what was done |
//! | `{"measure":true}`, every five minutes | the same, and the metrics of all connections in the log |
//! | `{"restored":"begin"}`, by the operator after a restore: every connection is refreshed | `{"due"}` |
//! | `{"restored":"report"}` | `{"waiting","healthy","mustReconnect"}` |

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::error::Result;
use shared::gateway::Gateway;
use shared::keepalive::{self, Health};
use shared::telemetry::{self, Unit};
use shared::{deletion, delivery, disconnect, run, sending, setup};

/// What it can be told.
#[derive(Debug, Deserialize)]
struct Order {
    restored: Option<Drill>,
    #[serde(default)]
    measure: bool,
}

/// The steps after a restore.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Drill {
    /// Make every connection due.
    Begin,
    /// Tell who must reconnect.
    Report,
}

/// What a run has done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Swept {
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

/// Carries out an order.
async fn handle(gateway: &Gateway, order: Order) -> Result<Value> {
    match order.restored {
        Some(Drill::Begin) => Ok(json!({ "due": keepalive::begin_drill(gateway).await? })),
        Some(Drill::Report) => Ok(json!(keepalive::report_drill(gateway).await?)),
        None => {
            if order.measure {
                measure(gateway, &keepalive::health(gateway).await?);
            }
            Ok(json!(sweep(gateway).await?))
        }
    }
}

/// Takes what is overdue in each lane.
async fn sweep(gateway: &Gateway) -> Result<Swept> {
    let (set_ups, revocations, tenants, refreshes, deliveries, senders) = tokio::join!(
        setup::sweep(gateway),
        disconnect::sweep(gateway),
        deletion::sweep(gateway),
        keepalive::sweep(gateway),
        delivery::sweep(gateway),
        sending::wake_due_senders(gateway)
    );
    Ok(Swept {
        set_ups_finished: set_ups?,
        revocations_tried: revocations?,
        tenants_erased: tenants?,
        refreshes_tried: refreshes?,
        deliveries_due: deliveries?,
        senders_woken: senders?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "nobody has so many connections that it shows")]
fn measure(gateway: &Gateway, health: &Health) {
    let count = |name, of: u64| (name, Unit::Count, of as f64);
    let mut metrics = vec![
        count("Connections", health.connections),
        count("ConnectionsFailing", health.failing),
        count("RefreshesOverdue", health.overdue),
        count("SubscriptionsNotActive", health.subscriptions_down),
        ("OldestIntentAge", Unit::Seconds, health.oldest_intent.as_secs_f64()),
    ];
    metrics.extend(health.least_life.map(|life| ("LeastRefreshLife", Unit::Seconds, life.as_secs_f64())));
    telemetry::metrics(gateway, &metrics);
}
