//! Event source mappings of queues: each delivers messages to a function in batches, with partial failures.

use super::queue::QueuedMessage;
use super::{Sqs, wire};
use crate::aws::batch_response::BatchItemFailures;
use crate::functions::FunctionPools;
use crate::template::{QueueTrigger, Template};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Concurrent invocations for one queue without `MaximumConcurrency`.
const DEFAULT_CONCURRENCY: usize = 5;
/// How long a batch waits for a free instance.
const CAPACITY_TIMEOUT: Duration = Duration::from_secs(60);
/// Hidden messages become visible without a notification, so queues are polled this often.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Delivers the messages of one queue to one function.
pub struct QueueMapping {
    queue_name: String,
    queue_arn: String,
    function: String,
    trigger: QueueTrigger,
    slots: Arc<Semaphore>,
    concurrency: usize,
}

/// The mappings of the template.
#[must_use]
pub fn mappings(template: &Template) -> Vec<QueueMapping> {
    let all = template.functions.iter().flat_map(|function| {
        function.queues.iter().map(|trigger| {
            let concurrency = trigger.maximum_concurrency.unwrap_or(DEFAULT_CONCURRENCY);
            QueueMapping {
                queue_name: trigger.queue_arn.rsplit(':').next().unwrap_or_default().to_owned(),
                queue_arn: trigger.queue_arn.clone(),
                function: function.binary.clone(),
                trigger: trigger.clone(),
                slots: Arc::new(Semaphore::new(concurrency)),
                concurrency,
            }
        })
    });
    all.collect()
}

impl QueueMapping {
    /// Runs until it is dropped.
    pub async fn run(self: Arc<Self>, sqs: Arc<Sqs>, functions: FunctionPools) {
        loop {
            let changed = sqs.changed.notified();
            match Arc::clone(&self.slots).acquire_owned().await {
                Ok(slot) => {
                    let messages = self.collect(&sqs).await;
                    if messages.is_empty() {
                        drop(slot);
                        let _ = tokio::time::timeout(POLL_INTERVAL, changed).await;
                    } else {
                        let (mapping, sqs, functions) =
                            (Arc::clone(&self), Arc::clone(&sqs), functions.clone());
                        tokio::spawn(async move { mapping.deliver(&sqs, &functions, messages, slot).await });
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Whether no message can be delivered now and no invocation runs.
    #[must_use]
    pub fn is_idle(&self, sqs: &Sqs) -> bool {
        let now = sqs.clock.now();
        let visible = sqs.lock().queues.get(&self.queue_name).map_or(0, |queue| queue.visible(now));
        visible == 0 && self.slots.available_permits() == self.concurrency
    }

    /// Receives a batch. It waits for a full one until the batching window ends.
    async fn collect(&self, sqs: &Sqs) -> Vec<QueuedMessage> {
        let mut messages = sqs.receive(&self.queue_name, self.trigger.batch_size, None).unwrap_or_default();
        if messages.is_empty() || self.trigger.window.is_zero() {
            return messages;
        }
        let end = tokio::time::Instant::now() + self.trigger.window;
        while messages.len() < self.trigger.batch_size && tokio::time::Instant::now() < end {
            let changed = sqs.changed.notified();
            let _ = tokio::time::timeout_at(end, changed).await;
            let room = self.trigger.batch_size - messages.len();
            messages.extend(sqs.receive(&self.queue_name, room, None).unwrap_or_default());
        }
        messages
    }

    async fn deliver(
        &self,
        sqs: &Sqs,
        functions: &FunctionPools,
        messages: Vec<QueuedMessage>,
        slot: OwnedSemaphorePermit,
    ) {
        let records: Vec<Value> =
            messages.iter().map(|message| wire::record(message, &self.queue_arn)).collect();
        let payload = Bytes::from(json!({ "Records": records }).to_string());
        let result = functions.invoke(&self.function, payload, CAPACITY_TIMEOUT).await;
        if let Ok(response) = result {
            let failed = if self.trigger.report_failures {
                failed_messages(&response, &messages)
            } else {
                BTreeSet::new()
            };
            let mut state = sqs.lock();
            if let Some(queue) = state.queues.get_mut(&self.queue_name) {
                for message in messages.iter().filter(|message| !failed.contains(&message.id)) {
                    queue.delete(message.receipt.as_deref().unwrap_or_default());
                }
            }
            if let Err(error) = sqs.save(&state) {
                tracing::warn!(error = error.message, "queues could not be saved");
            }
        }
        drop(slot);
        sqs.changed.notify_waiters();
    }
}

/// The ids of the failed messages. All messages count as failed if the response is malformed or names an unknown one.
fn failed_messages(response: &[u8], messages: &[QueuedMessage]) -> BTreeSet<String> {
    match BatchItemFailures::parse(response) {
        BatchItemFailures::Items(ids)
            if ids.iter().all(|id| messages.iter().any(|message| message.id == *id)) =>
        {
            ids.into_iter().collect()
        }
        BatchItemFailures::Items(_) | BatchItemFailures::Malformed => {
            messages.iter().map(|message| message.id.clone()).collect()
        }
    }
}
