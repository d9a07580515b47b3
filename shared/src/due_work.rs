//! Due work: how schedules find it, and how workers process it.
//!
//! Every minute a scheduled function looks into the shards of its indexes, with one query each, and hands out those that have due
//! work: one message of its queue for each kind of work and shard. The queue invokes the same function, once per message and
//! concurrently. A worker that runs out of time hands its shard on to the next one. So every minute adds a worker to a shard whose
//! work does not get done, up to the maximum concurrency of the queue, and a shard that fails or is slow delays no other.
//!
//! Messages of these queues are kept for minutes only: a lost one is sent again by the next run.

use std::future::ready;
use std::ops::Add;

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use tracing::field::Empty;

use crate::batch::{self, BatchResponse, SqsBatch};
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::random;
use crate::model::shard::Shard;
use crate::store::{DueWork, WorkKind};

/// What invokes a function that hands out due work: its schedule or its queue.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum DueWorkEvent {
    Queue(SqsBatch),
    Schedule {},
}

/// The response to a [`DueWorkEvent`].
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum DueWorkResponse {
    Processed(BatchResponse),
    HandedOut(HandedOut),
}

/// What a scheduled run did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HandedOut {
    /// Shards that were handed out, counted for each kind of work.
    pub handed_out: u32,
    /// Shards that could not be read or handed out.
    pub failed: u32,
}

impl Add for HandedOut {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { handed_out: self.handed_out + other.handed_out, failed: self.failed + other.failed }
    }
}

/// The due work of one kind in one shard, as a queue message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "TaskMessage", try_from = "TaskMessage")]
pub struct ShardTask {
    pub kind: WorkKind,
    pub shard: Shard,
    /// Where the previous worker stopped, for kinds of work that are read in passes.
    pub after: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskMessage {
    kind: String,
    shard: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

impl From<ShardTask> for TaskMessage {
    fn from(task: ShardTask) -> Self {
        Self { kind: task.kind.as_str().to_owned(), shard: task.shard.number(), after: task.after }
    }
}

impl TryFrom<TaskMessage> for ShardTask {
    type Error = &'static str;

    fn try_from(message: TaskMessage) -> std::result::Result<Self, Self::Error> {
        Ok(Self {
            kind: WorkKind::parse(&message.kind).ok_or("unknown kind of work")?,
            shard: Shard::from_number(message.shard).ok_or("unknown shard")?,
            after: message.after,
        })
    }
}

/// How a worker left its shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardOutcome {
    /// Nothing is due, or what is due has to wait.
    Complete,
    /// The time is over. Another worker continues, after this position if the work is read in passes.
    Continue(Option<String>),
}

/// Hands out shards when the schedule invokes the function, and works on one when its queue does.
pub async fn run(
    gateway: &Gateway,
    event: DueWorkEvent,
    queue: &str,
    kinds: &[WorkKind],
    work: impl AsyncFn(&ShardTask) -> Result<ShardOutcome>,
) -> DueWorkResponse {
    match event {
        DueWorkEvent::Queue(batch) => {
            DueWorkResponse::Processed(process_tasks(gateway, batch, queue, work).await)
        }
        DueWorkEvent::Schedule {} => DueWorkResponse::HandedOut(hand_out(gateway, queue, kinds).await),
    }
}

/// Hands out every shard that has due work of one of these kinds. A shard that cannot be read affects no other; the next run tries
/// it again.
pub async fn hand_out(gateway: &Gateway, queue: &str, kinds: &[WorkKind]) -> HandedOut {
    let shards = kinds.iter().flat_map(|kind| Shard::all().map(|shard| (*kind, shard)));
    let tasks = shards.map(|(kind, shard)| ShardTask { kind, shard, after: None });
    let results = stream::iter(tasks).map(async |task| {
        let result = hand_out_if_due(gateway, queue, &task).await;
        result.inspect_err(|error| {
            tracing::error!(
                kind = task.kind.as_str(),
                shard = task.shard.number(),
                error = error.chain(),
                "due work could not be read, the next run tries again"
            );
        })
    });
    let mut results = results.buffer_unordered(limits::SHARD_QUERIES_AT_ONCE);
    let mut total = HandedOut::default();
    while let Some(result) = results.next().await {
        match result {
            Ok(count) => total.handed_out += count,
            Err(_) => total.failed += 1,
        }
    }
    total
}

async fn hand_out_if_due(gateway: &Gateway, queue: &str, task: &ShardTask) -> Result<u32> {
    if !gateway.store.is_work_of_all_tenants_due(task.kind, task.shard).await? {
        return Ok(0);
    }
    put(gateway, queue, task).await?;
    Ok(1)
}

async fn put(gateway: &Gateway, queue: &str, task: &ShardTask) -> Result<()> {
    let group = task.shard.partition(task.kind.as_str());
    Ok(gateway.queues().put(queue, &group, task, 0).await?)
}

/// Works on the shards of a batch.
pub async fn process_tasks(
    gateway: &Gateway,
    batch: SqsBatch,
    queue: &str,
    work: impl AsyncFn(&ShardTask) -> Result<ShardOutcome>,
) -> BatchResponse {
    batch::process_sqs_batch(batch, async |task: ShardTask| {
        let outcome = work(&task).await?;
        hand_on(gateway, queue, task, outcome).await
    })
    .await
}

/// Hands a shard to another worker, unless its work is complete.
pub async fn hand_on(gateway: &Gateway, queue: &str, task: ShardTask, outcome: ShardOutcome) -> Result<()> {
    match outcome {
        ShardOutcome::Complete => Ok(()),
        ShardOutcome::Continue(after) => put(gateway, queue, &ShardTask { after, ..task }).await,
    }
}

/// How an item of due work was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueOutcome {
    Processed,
    /// Another worker has it, or it failed and is retried.
    Left,
    /// Its row cannot be read. It is due again later.
    Postponed,
}

/// Processes the due work of one kind in a shard, up to `at_once` items concurrently, until there is none or the time is over. A
/// failing item is logged and does not stop the others; one whose row cannot be read is made due later, so that it does not delay
/// them either.
///
/// # Errors
/// If the index can't be read.
pub async fn drain(
    gateway: &Gateway,
    task: &ShardTask,
    at_once: usize,
    within: SignedDuration,
    work: impl AsyncFn(&DueWork) -> Result<DueOutcome>,
) -> Result<ShardOutcome> {
    let kind = task.kind;
    let until = saturating_add(gateway.clock.now(), within);
    while gateway.clock.now() < until {
        let mut overdue = gateway.store.overdue_of_all_tenants(kind, task.shard).await?;
        // Workers of the same shard begin at different items, so that they seldom claim the same one.
        let begin = random::below(overdue.len().max(1) as u64);
        overdue.rotate_left(usize::try_from(begin).unwrap_or_default());
        // Items that there is no time for are not claimed, so that the next run finds them at once.
        let in_time = stream::iter(&overdue).take_while(|_| ready(gateway.clock.now() < until));
        let results = in_time.map(|due| {
            let span = tracing::error_span!("due", tenant.id = %due.tenant, message.id = Empty);
            let result = async {
                match work(due).await {
                    Ok(outcome) => outcome,
                    Err(Error::Unreadable(_)) => postpone(gateway, due).await,
                    Err(error) => {
                        tracing::warn!(
                            alarm = "failure",
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
        if results.iter().all(|outcome| *outcome == DueOutcome::Left) {
            return Ok(ShardOutcome::Complete);
        }
    }
    Ok(ShardOutcome::Continue(None))
}

/// Reads the due work of a shard page by page, until its end or until the time is over. `process` processes the page after a
/// position and returns where it ended, if there may be more.
///
/// # Errors
/// If the index can't be read.
pub async fn pass(
    gateway: &Gateway,
    task: &ShardTask,
    within: SignedDuration,
    mut process: impl AsyncFnMut(Option<&str>) -> Result<Option<String>>,
) -> Result<ShardOutcome> {
    let until = saturating_add(gateway.clock.now(), within);
    let mut after = task.after.clone();
    loop {
        after = process(after.as_deref()).await?;
        if after.is_none() {
            return Ok(ShardOutcome::Complete);
        }
        if gateway.clock.now() >= until {
            return Ok(ShardOutcome::Continue(after));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_read_back_from_its_message() {
        for kind in WorkKind::ALL {
            for shard in Shard::all() {
                let task = ShardTask { kind, shard, after: Some("position".to_owned()) };
                let message = serde_json::to_string(&task).unwrap();
                assert_eq!(serde_json::from_str::<ShardTask>(&message).unwrap(), task);
            }
        }
        for bad in [r#"{"kind":"sync","shard":8}"#, r#"{"kind":"other","shard":0}"#, r#"{"kind":"sync"}"#] {
            assert!(serde_json::from_str::<ShardTask>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_without_records_is_that_of_a_schedule() {
        for event in ["{}", r#"{"time":"2026-01-01T00:00:00Z"}"#] {
            assert!(matches!(serde_json::from_str(event), Ok(DueWorkEvent::Schedule {})), "{event}");
        }
        let batch = r#"{"Records":[{"messageId":"1","body":"{}"}]}"#;
        assert!(matches!(serde_json::from_str(batch), Ok(DueWorkEvent::Queue(_))));
    }
}
