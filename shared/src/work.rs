//! Batches of a queue: each piece of work by itself, so that one that fails is offered again and never stops the rest.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Result;

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
pub async fn each<W: DeserializeOwned>(batch: Batch, mut work: impl AsyncFnMut(W) -> Result<()>) -> Answer {
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
