//! Batches of work. The messages of an SQS batch are independent: one that fails is retried and never stops the others. The
//! changes of a stream are ordered for each tenant: a batch is retried from the first that failed.
//!
//! Each message and change has a span, whose fields its log lines carry.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::Instrument;
use tracing::field::Empty;

use crate::error::Result;
use crate::limits;

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
            done.inspect_err(|error| {
                tracing::warn!(alarm = "failure", error, "queue message failed, SQS retries it");
            })
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

/// Handles the changes of a stream: those of one tenant in order, those of different tenants concurrently, so that the changes of
/// one delay no other's. The batch is repeated from the first that failed; what was handled after it is handled again.
pub async fn process_stream(batch: StreamBatch, work: impl AsyncFn(Value) -> Result<()>) -> BatchResponse {
    let mut tenants: BTreeMap<String, Vec<(usize, ChangedItem)>> = BTreeMap::new();
    for (at, StreamRecord { dynamodb: item }) in batch.records.into_iter().enumerate() {
        let tenant = item.new_image["tenant"]["S"].as_str().unwrap_or_default().to_owned();
        tenants.entry(tenant).or_default().push((at, item));
    }
    let process = async |changes: Vec<(usize, ChangedItem)>| {
        for (at, item) in changes {
            let span = tracing::error_span!("change", tenant.id = Empty, message.id = Empty);
            let handled = async {
                let done = work(item.new_image).await;
                done.inspect_err(|error| {
                    tracing::warn!(
                        alarm = "failure",
                        error = error.chain(),
                        "stream record failed, the stream retries it"
                    );
                })
            };
            if handled.instrument(span).await.is_err() {
                return Some((at, item.sequence_number));
            }
        }
        None
    };
    let failed =
        stream::iter(tenants.into_values()).map(process).buffer_unordered(limits::STREAM_TENANTS_AT_ONCE);
    let failed: Vec<_> = failed.collect().await;
    let first = failed.into_iter().flatten().min();
    let failures = first.into_iter().map(|(_, item_identifier)| BatchItemFailure { item_identifier });
    BatchResponse { batch_item_failures: failures.collect() }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    fn batch(tenants: &[&str]) -> StreamBatch {
        let records = tenants.iter().enumerate().map(|(at, tenant)| {
            let image = json!({ "tenant": { "S": tenant }, "at": at });
            json!({ "dynamodb": { "SequenceNumber": at.to_string(), "NewImage": image } })
        });
        serde_json::from_value(json!({ "Records": records.collect::<Vec<_>>() })).unwrap()
    }

    #[tokio::test]
    async fn the_changes_of_one_tenant_wait_for_no_other_tenant() {
        let neighbours = tokio::sync::Notify::new();
        let order = RefCell::new(Vec::new());
        let response = process_stream(batch(&["busy", "busy", "neighbour"]), async |image| {
            match image["tenant"]["S"].as_str() {
                Some("busy") => neighbours.notified().await,
                _ => neighbours.notify_one(),
            }
            neighbours.notify_one();
            order.borrow_mut().push(image["at"].as_u64().unwrap());
            Ok(())
        })
        .await;
        assert!(response.batch_item_failures.is_empty());
        assert_eq!(order.into_inner(), [2, 0, 1]);
    }

    #[tokio::test]
    async fn a_batch_is_repeated_from_its_first_failure() {
        let done = RefCell::new(Vec::new());
        let response = process_stream(batch(&["a", "b", "a", "b", "a"]), async |image| {
            let at = image["at"].as_u64().unwrap();
            done.borrow_mut().push(at);
            let fails = at == 2 || at == 3;
            if fails { Err(crate::error::Error::unavailable("a test", "it fails")) } else { Ok(()) }
        })
        .await;
        let failed: Vec<_> =
            response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        assert_eq!(failed, ["2"]);
        let mut done = done.into_inner();
        done.sort_unstable();
        assert_eq!(done, [0, 1, 2, 3], "what follows a failure of its tenant waits");
    }
}
