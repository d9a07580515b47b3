//! Every minute: hands out the shards with pending work that a crash or an outage has left. For each of them, invoked by its
//! queue: does this work. A failure is logged and does not affect the other work.
//!
//! | event | response |
//! | --- | --- |
//! | `{}`, from the schedule | `{"handedOut","failed"}`, counts of shards |
//! | `{"measure":true}`, every five minutes | `{}`; writes the metrics of all connections |
//! | a batch of its queue | `{"batchItemFailures"}` |
//! | `{"restored":"begin"}`, from the operator after a restore: refreshes every connection | `{"due","complete"}` |
//! | `{"restored":"report","after"?}` | `{"waiting","healthy","mustReconnect","next"?}` |

use serde::Deserialize;
use serde_json::{Value, json};
use shared::batch::SqsBatch;
use shared::due_work::{self, ShardOutcome, ShardTask};
use shared::error::{Error, Result};
use shared::gateway::Gateway;
use shared::keepalive::{self, ConnectionHealth, RestoreRequest};
use shared::store::WorkKind;
use shared::telemetry::{self, Unit};
use shared::{delivery, disconnect, run, sending, setup};

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SweepEvent {
    Queue(SqsBatch),
    Restored(RestoreRequest),
    Schedule {
        #[serde(default)]
        measure: bool,
    },
}

/// The work that this function does itself.
const KINDS: [WorkKind; 6] = [
    WorkKind::Setup,
    WorkKind::Revocation,
    WorkKind::Refresh,
    WorkKind::Erasure,
    WorkKind::Delivery,
    WorkKind::Send,
];

fn main() -> run::ProcessResult {
    run::event(handle)
}

async fn handle(gateway: &Gateway, event: SweepEvent) -> Result<Value> {
    let queues = &gateway.config.work_queues;
    match event {
        SweepEvent::Restored(request) => keepalive::restore_check(gateway, &request).await,
        SweepEvent::Queue(batch) => {
            let work = async |task: &_| work(gateway, task).await;
            Ok(json!(due_work::process_tasks(gateway, batch, &queues.sweep, work).await))
        }
        SweepEvent::Schedule { measure: true } => {
            write_metrics(gateway, &keepalive::measure_health(gateway).await?);
            Ok(json!({}))
        }
        SweepEvent::Schedule { measure: false } => {
            let (own, deletions) = tokio::join!(
                due_work::hand_out(gateway, &queues.sweep, &KINDS),
                // The queue of erase-tenants.
                due_work::hand_out(gateway, &queues.erasure, &[WorkKind::Deletion]),
            );
            Ok(json!(own + deletions))
        }
    }
}

async fn work(gateway: &Gateway, task: &ShardTask) -> Result<ShardOutcome> {
    match task.kind {
        WorkKind::Setup => setup::sweep(gateway, task).await,
        WorkKind::Revocation => disconnect::sweep(gateway, task).await,
        WorkKind::Refresh => keepalive::sweep(gateway, task).await,
        WorkKind::Erasure => keepalive::erase_revoked(gateway, task).await,
        WorkKind::Delivery => delivery::sweep(gateway, task).await,
        WorkKind::Send => sending::wake_due_senders(gateway, task).await,
        WorkKind::Sync | WorkKind::Renewal | WorkKind::Deletion => {
            Err(Error::Internal { what: "a task of another function", source: None })
        }
    }
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
