//! Work that comes in pieces. In a batch of a queue, and in the work that is due, each piece is done by itself: one that
//! fails is offered again and never stops the rest. The changes of a stream are done in order: the first that fails ends
//! the batch, which is offered again from there on.

use std::future::ready;

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::saturating_add;
use crate::error::Result;
use crate::gateway::Gateway;
use crate::store::{DueWork, WorkKind};

/// What a queue starts a function with.
#[derive(Debug, Deserialize)]
pub struct Batch {
    /// The pieces of work.
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    #[serde(default)]
    body: String,
}

/// What the function answers: the pieces that are to be offered again.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    batch_item_failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}

/// Does each piece of work of a batch, one after the other. A piece that can't be read is reported as failed too: after a
/// few times it lies in the dead-letter queue, where somebody can look at it.
pub async fn process_sqs_batch<W: DeserializeOwned>(
    batch: Batch,
    mut work: impl AsyncFnMut(W) -> Result<()>,
) -> Answer {
    let mut answer = Answer::default();
    for record in batch.records {
        let done = match serde_json::from_str(&record.body) {
            Ok(piece) => work(piece).await.map_err(|error| error.chain()),
            Err(error) => Err(format!("a piece of work of an unknown form, line {}", error.line())),
        };
        if let Err(error) = done {
            tracing::warn!(message.id = record.message_id, error, "a piece of work is left in its queue");
            answer.batch_item_failures.push(Failure { item_identifier: record.message_id });
        }
    }
    answer
}

/// Does the work of one kind that is due, so many pieces side by side, until there is none or the time is over. One that fails
/// is logged and does not stop the others. Gives how many were done.
///
/// # Errors
/// If the index can't be read.
pub async fn drain_due(
    gateway: &Gateway,
    kind: WorkKind,
    at_once: usize,
    within: SignedDuration,
    work: impl AsyncFn(&DueWork) -> Result<bool>,
) -> Result<usize> {
    let until = saturating_add(gateway.clock.now(), within);
    let mut done = 0;
    while gateway.clock.now() < until {
        let overdue = gateway.store.overdue_of_all_tenants(kind).await?;
        // What there is no time for is not even taken, so that the next run finds it at once.
        let in_time = stream::iter(&overdue).take_while(|_| ready(gateway.clock.now() < until));
        let pieces = in_time.map(async |due| {
            work(due).await.unwrap_or_else(|error| {
                tracing::warn!(tenant.id = %due.tenant, kind = kind.as_str(), error = error.chain(), "work is left for later");
                false
            })
        });
        let pieces: Vec<bool> = pieces.buffer_unordered(at_once).collect().await;
        let some = pieces.into_iter().filter(|done| *done).count();
        done += some;
        if some == 0 {
            break;
        }
    }
    Ok(done)
}

/// What a table's stream starts a function with.
#[derive(Debug, Deserialize)]
pub struct Changes {
    /// The changes, in order.
    #[serde(rename = "Records")]
    records: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Change {
    dynamodb: ChangedItem,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangedItem {
    sequence_number: String,
    #[serde(default)]
    new_image: Value,
}

/// Does what follows from each change of a stream, in order. It ends with the first one that fails, from which on the
/// stream is offered again.
pub async fn process_stream(changes: Changes, mut work: impl AsyncFnMut(Value) -> Result<()>) -> Answer {
    let mut answer = Answer::default();
    for Change { dynamodb: item } in changes.records {
        if let Err(error) = work(item.new_image).await {
            tracing::warn!(error = error.chain(), "a change is offered again");
            answer.batch_item_failures.push(Failure { item_identifier: item.sequence_number });
            break;
        }
    }
    answer
}
