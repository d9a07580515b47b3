//! Batches of work. The messages of an SQS batch and the items of a due index are independent: one that fails is retried
//! and never stops the others. The changes of a stream are ordered: the batch ends at the first that fails, and is retried
//! from there.
//!
//! Each message, item and change has a span, whose fields its log lines carry.

use std::future::ready;

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::Instrument;
use tracing::field::Empty;

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::store::{DueWork, WorkKind};

/// The event that SQS invokes a function with.
#[derive(Debug, Deserialize)]
pub struct SqsBatch {
    #[serde(rename = "Records")]
    records: Vec<SqsMessage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SqsMessage {
    message_id: String,
    #[serde(default)]
    body: String,
}

/// The partial batch response of SQS and DynamoDB streams: the records that are delivered again.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

/// Handles each message of a batch, one after the other. A message that can't be parsed fails as well: after a few retries
/// SQS moves it to the dead-letter queue.
pub async fn process_sqs_batch<W: DeserializeOwned>(
    batch: SqsBatch,
    mut work: impl AsyncFnMut(W) -> Result<()>,
) -> BatchResponse {
    let mut response = BatchResponse::default();
    for message in batch.records {
        let span = tracing::error_span!(
            "message",
            sqs.message.id = message.message_id,
            tenant.id = Empty,
            message.id = Empty,
        );
        let handled = async {
            let parsed = serde_json::from_str(&message.body);
            let done = match parsed {
                Ok(parsed) => work(parsed).await.map_err(|error| error.chain()),
                Err(error) => Err(format!("malformed message, line {}", error.line())),
            };
            done.inspect_err(|error| tracing::warn!(error, "queue message failed, SQS retries it"))
        };
        if handled.instrument(span).await.is_err() {
            response.batch_item_failures.push(BatchItemFailure { item_identifier: message.message_id });
        }
    }
    response
}

/// How an item of due work was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueOutcome {
    Processed,
    /// Another run has it, or it failed and is retried.
    Left,
    /// Its row cannot be read. It is due again later.
    Postponed,
}

/// Processes due work of one kind, up to `at_once` items concurrently, until there is none or the time is over. A failing item is
/// logged and does not stop the others; one whose row cannot be read is made due
/// later, so that it does not delay them either. Returns how many were processed.
///
/// # Errors
/// If the index can't be read.
pub async fn drain_due(
    gateway: &Gateway,
    kind: WorkKind,
    at_once: usize,
    within: SignedDuration,
    work: impl AsyncFn(&DueWork) -> Result<DueOutcome>,
) -> Result<usize> {
    let until = saturating_add(gateway.clock.now(), within);
    let mut done = 0;
    while gateway.clock.now() < until {
        let overdue = gateway.store.overdue_of_all_tenants(kind).await?;
        // Items that there is no time for are not leased, so that the next run finds them at once.
        let in_time = stream::iter(&overdue).take_while(|_| ready(gateway.clock.now() < until));
        let results = in_time.map(|due| {
            let span = tracing::error_span!("due", tenant.id = %due.tenant, message.id = Empty);
            let result = async {
                match work(due).await {
                    Ok(outcome) => outcome,
                    Err(Error::Unreadable(_)) => postpone(gateway, due).await,
                    Err(error) => {
                        tracing::warn!(
                            kind = kind.as_str(),
                            error = error.chain(),
                            "due work failed, a later run retries it"
                        );
                        DueOutcome::Left
                    }
                }
            };
            result.instrument(span)
        });
        let results: Vec<DueOutcome> = results.buffer_unordered(at_once).collect().await;
        done += results.iter().filter(|outcome| **outcome == DueOutcome::Processed).count();
        if results.iter().all(|outcome| *outcome == DueOutcome::Left) {
            break;
        }
    }
    Ok(done)
}

/// Makes an item due later, because its row cannot be read.
async fn postpone(gateway: &Gateway, due: &DueWork) -> DueOutcome {
    let later = SignedDuration::from_secs(limits::UNREADABLE_RETRY_SECONDS);
    match gateway.store.postpone_work(due, saturating_add(gateway.clock.now(), later)).await {
        Ok(()) => DueOutcome::Postponed,
        Err(error) => {
            tracing::warn!(kind = due.kind.as_str(), error = %error, "unreadable item could not be made due later");
            DueOutcome::Left
        }
    }
}

/// The event that a DynamoDB stream invokes a function with.
#[derive(Debug, Deserialize)]
pub struct StreamBatch {
    #[serde(rename = "Records")]
    records: Vec<StreamRecord>,
}

#[derive(Debug, Deserialize)]
struct StreamRecord {
    dynamodb: ChangedItem,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangedItem {
    sequence_number: String,
    #[serde(default)]
    new_image: Value,
}

/// Handles the changes of a stream in order, up to the first that fails.
pub async fn process_stream(
    batch: StreamBatch,
    mut work: impl AsyncFnMut(Value) -> Result<()>,
) -> BatchResponse {
    let mut response = BatchResponse::default();
    for StreamRecord { dynamodb: item } in batch.records {
        let span = tracing::error_span!("change", tenant.id = Empty, message.id = Empty);
        let handled = async {
            let done = work(item.new_image).await;
            done.inspect_err(|error| {
                tracing::warn!(error = error.chain(), "stream record failed, the stream retries it");
            })
        };
        if handled.instrument(span).await.is_err() {
            response.batch_item_failures.push(BatchItemFailure { item_identifier: item.sequence_number });
            break;
        }
    }
    response
}
