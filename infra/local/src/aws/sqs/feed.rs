//! Event source mappings: queues drive their functions, in batches, with partial failures.

use super::queue::Message;
use super::{Sqs, wire};
use crate::aws::lambda;
use crate::functions::Functions;
use crate::template::{QueueTrigger, Template};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lambda calls a function at most this often at a time for one queue, unless the mapping says otherwise.
const DEFAULT_CONCURRENCY: usize = 5;
/// How long a batch waits for an instance.
const PATIENCE: Duration = Duration::from_secs(60);
/// Hidden messages come back without a sign; one looks this often.
const PERIOD: Duration = Duration::from_millis(250);

/// One queue that feeds one function.
pub struct Mapping {
    queue: String,
    queue_arn: String,
    function: String,
    trigger: QueueTrigger,
    slots: Arc<Semaphore>,
    concurrency: usize,
}

/// The mappings of the template.
#[must_use]
pub fn mappings(template: &Template) -> Vec<Mapping> {
    let all = template.functions.iter().flat_map(|function| {
        function.queues.iter().map(|trigger| {
            let concurrency = trigger.maximum_concurrency.unwrap_or(DEFAULT_CONCURRENCY);
            Mapping {
                queue: trigger.queue_arn.rsplit(':').next().unwrap_or_default().to_owned(),
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

impl Mapping {
    /// Feeds the function for as long as it is not dropped.
    pub async fn run(self: Arc<Self>, sqs: Arc<Sqs>, functions: Functions) {
        loop {
            let changed = sqs.changed.notified();
            match Arc::clone(&self.slots).acquire_owned().await {
                Ok(slot) => {
                    let messages = self.collect(&sqs).await;
                    if messages.is_empty() {
                        drop(slot);
                        let _ = tokio::time::timeout(PERIOD, changed).await;
                    } else {
                        let (mapping, sqs, functions) =
                            (Arc::clone(&self), Arc::clone(&sqs), functions.clone());
                        tokio::spawn(async move { mapping.call(&sqs, &functions, messages, slot).await });
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Nothing to hand out now, and nothing at work.
    #[must_use]
    pub fn is_idle(&self, sqs: &Sqs) -> bool {
        let now = sqs.clock.now();
        let ready = sqs.lock().queues.get(&self.queue).map_or(0, |queue| queue.ready(now));
        ready == 0 && self.slots.available_permits() == self.concurrency
    }

    /// A batch, full or as far as the window allows.
    async fn collect(&self, sqs: &Sqs) -> Vec<Message> {
        let mut messages = sqs.receive(&self.queue, self.trigger.batch_size, None).unwrap_or_default();
        if messages.is_empty() || self.trigger.window.is_zero() {
            return messages;
        }
        let end = tokio::time::Instant::now() + self.trigger.window;
        while messages.len() < self.trigger.batch_size && tokio::time::Instant::now() < end {
            let changed = sqs.changed.notified();
            let _ = tokio::time::timeout_at(end, changed).await;
            let room = self.trigger.batch_size - messages.len();
            messages.extend(sqs.receive(&self.queue, room, None).unwrap_or_default());
        }
        messages
    }

    async fn call(
        &self,
        sqs: &Sqs,
        functions: &Functions,
        messages: Vec<Message>,
        slot: OwnedSemaphorePermit,
    ) {
        let records: Vec<Value> =
            messages.iter().map(|message| wire::record(message, &self.queue_arn)).collect();
        let payload = Bytes::from(json!({ "Records": records }).to_string());
        let answer = functions.invoke(&self.function, payload, PATIENCE).await;
        if let Ok(answer) = answer {
            let failed =
                if self.trigger.report_failures { failures(&answer, &messages) } else { BTreeSet::new() };
            let mut state = sqs.lock();
            if let Some(queue) = state.queues.get_mut(&self.queue) {
                for message in messages.iter().filter(|message| !failed.contains(&message.id)) {
                    queue.delete(message.receipt.as_deref().unwrap_or_default());
                }
            }
            if let Err(refusal) = sqs.save(&state) {
                tracing::warn!(error = refusal.message, "the queues could not be saved");
            }
        }
        drop(slot);
        sqs.changed.notify_waiters();
    }
}

/// Ids that the function reports as failed; an answer that names a message nobody sent means all of them.
fn failures(answer: &[u8], messages: &[Message]) -> BTreeSet<String> {
    match lambda::reported_failures(answer) {
        Some(ids) if ids.iter().all(|id| messages.iter().any(|message| message.id == *id)) => {
            ids.into_iter().collect()
        }
        _ => messages.iter().map(|message| message.id.clone()).collect(),
    }
}
