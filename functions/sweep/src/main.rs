//! Every minute: hands out the shards with pending work that a crash or an outage has left. For each of them, invoked by its
//! queue: does this work. A failure is logged and does not affect the other work.
//!
//! | event | response |
//! | --- | --- |
//! | `{}`, from the schedule | `{"handedOut","failed"}`, counts of shards |
//! | `{"measure":true}`, every five minutes | `{}`; writes the metrics of all connections |
//! | a batch of its queue: shards, and unreadable rows for the quarantine | `{"batchItemFailures"}` |
//! | `{"restored":"begin"}`, from the operator after a restore: refreshes every connection | `{"due","complete"}` |
//! | `{"restored":"report","after"?}` | `{"waiting","healthy","mustReconnect","next"?}` |

use serde::Deserialize;
use serde_json::{Value, json};
use shared::batch::{self, SqsBatch};
use shared::due_work::{self, ShardOutcome, ShardTask};
use shared::error::{Error, Result};
use shared::gateway::Gateway;
use shared::keepalive::{self, RestoreRequest};
use shared::store::{UnreadableRow, WorkKind};
use shared::{delivery, disconnect, quarantine, run, sending, setup, telemetry};

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

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SweepMessage {
    Shard(ShardTask),
    UnreadableRow(UnreadableRow),
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
            Ok(json!(batch::process_sqs_batch(batch, async |message| process(gateway, message).await).await))
        }
        SweepEvent::Schedule { measure: true } => {
            telemetry::connection_health(gateway, &keepalive::measure_health(gateway).await?);
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

async fn process(gateway: &Gateway, message: SweepMessage) -> Result<()> {
    match message {
        SweepMessage::Shard(task) => {
            let outcome = work(gateway, &task).await?;
            due_work::hand_on(gateway, &gateway.config.work_queues.sweep, task, outcome).await
        }
        SweepMessage::UnreadableRow(row) => quarantine::add_unreadable_row(gateway, &row).await,
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
