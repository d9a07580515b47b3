//! Batches of work. The messages of an SQS batch are independent: one that fails is retried and never stops the others. The
//! changes of a stream are ordered: the batch ends at the first that fails, and is retried from there.
//!
//! Each message and change has a span, whose fields its log lines carry.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::Instrument;
use tracing::field::Empty;

use crate::error::Result;

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
