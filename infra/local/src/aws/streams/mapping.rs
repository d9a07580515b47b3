//! Event source mappings of streams: each delivers the records of a table's stream to a function, in order, until the
//! function succeeds or the records are discarded.

use super::batch::{BatchOutcome, RecordBatch, matches_filters, sequence_number};
use super::position::{ShardPosition, ShardPositions};
use crate::aws::services::AwsServices;
use crate::instance::InvocationError;
use crate::names;
use crate::template::{StartingPosition, StreamTrigger, Template};
use anyhow::{Context, Result};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long a batch waits for a free instance.
const CAPACITY_TIMEOUT: Duration = Duration::from_secs(60);
/// Writes through the AWS endpoints are notified. Streams are also polled this often, for writes that go to another engine
/// directly.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The delay after the function had no free instance.
const NO_CAPACITY_DELAY: SignedDuration = SignedDuration::from_secs(1);
/// Streams keep records for a day.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// The limit of GetRecords.
const MAX_RECORDS: usize = 1000;

/// Delivers the records of one stream to one function.
pub struct StreamMapping {
    table: String,
    function: String,
    function_arn: String,
    trigger: StreamTrigger,
    progress: Mutex<MappingProgress>,
}

/// Determines whether the mapping is idle.
#[derive(Default)]
struct MappingProgress {
    /// The number of stream writes when the stream was last read to its end; `None` while records are being processed.
    caught_up_at: Option<u64>,
    /// When a failed batch is retried.
    paused_until: Option<Timestamp>,
}

struct Shard {
    id: String,
    position: ShardPosition,
    iterator: Option<String>,
    /// Batches to deliver, the next one last.
    pending: Vec<RecordBatch>,
    paused_until: Option<Timestamp>,
    ended: bool,
}

/// The result of processing shards once.
enum Step {
    Progressed,
    PausedUntil(Timestamp),
    CaughtUp,
}

/// The mappings of the template.
#[must_use]
pub fn mappings(template: &Template) -> Vec<StreamMapping> {
    let all = template.functions.iter().flat_map(|function| {
        function.streams.iter().map(|trigger| StreamMapping {
            table: names::table_of_stream(&trigger.stream_arn).to_owned(),
            function: function.binary.clone(),
            function_arn: names::function_arn(&function.name),
            trigger: trigger.clone(),
            progress: Mutex::default(),
        })
    });
    all.collect()
}

impl StreamMapping {
    /// Records the starting position, so that no record is missed that is written from now on.
    pub async fn initialize(&self, aws: &AwsServices) -> Result<()> {
        self.find_shards(aws, &mut Vec::new()).await
    }

    /// Runs until it is dropped.
    pub async fn run(self: Arc<Self>, aws: Arc<AwsServices>) {
        let mut writes = aws.dynamodb.subscribe_stream_writes();
        let mut shards = Vec::new();
        loop {
            let write_count = *writes.borrow_and_update();
            let mut wait = POLL_INTERVAL;
            match self.process_shards(&aws, &mut shards, &mut writes).await {
                Ok(Step::Progressed) => continue,
                Ok(Step::CaughtUp) => self.set_progress(Some(write_count), None),
                Ok(Step::PausedUntil(until)) => {
                    self.set_progress(None, Some(until));
                    let left = until.duration_since(aws.clock.now()).unsigned_abs();
                    wait = wait.min(left);
                }
                Err(error) => {
                    tracing::warn!(table = self.table, error = %format!("{error:#}"), "stream could not be read");
                }
            }
            let _ = tokio::time::timeout(wait, writes.changed()).await;
        }
    }

    /// Whether no record can be delivered now and no invocation runs. `stream_writes` is the number of writes so far.
    #[must_use]
    pub fn is_idle(&self, stream_writes: u64, now: Timestamp) -> bool {
        let progress = self.progress();
        progress.caught_up_at == Some(stream_writes) || progress.paused_until.is_some_and(|until| until > now)
    }

    /// The mapping as the control API shows it.
    #[must_use]
    pub fn overview(&self, positions: &ShardPositions) -> Value {
        json!({
            "table": self.table,
            "function": self.function,
            "positions": positions.of_mapping(&self.key()),
            "pausedUntil": self.progress().paused_until,
        })
    }

    /// Processes each shard once.
    async fn process_shards(
        &self,
        aws: &AwsServices,
        shards: &mut Vec<Shard>,
        writes: &mut watch::Receiver<u64>,
    ) -> Result<Step> {
        if shards.iter().all(|shard| shard.ended) {
            self.find_shards(aws, shards).await?;
        }
        let mut step = Step::CaughtUp;
        for shard in shards.iter_mut().filter(|shard| !shard.ended) {
            step = match (step, self.process_shard(aws, shard, writes).await?) {
                (Step::Progressed, _) | (_, Step::Progressed) => Step::Progressed,
                (Step::PausedUntil(one), Step::PausedUntil(other)) => Step::PausedUntil(one.min(other)),
                (Step::PausedUntil(until), Step::CaughtUp) | (Step::CaughtUp, Step::PausedUntil(until)) => {
                    Step::PausedUntil(until)
                }
                (Step::CaughtUp, Step::CaughtUp) => Step::CaughtUp,
            };
        }
        Ok(step)
    }

    /// Adds new shards.
    async fn find_shards(&self, aws: &AwsServices, shards: &mut Vec<Shard>) -> Result<()> {
        let arn = aws.dynamodb.stream_arn(&self.table).await?;
        let is_first = shards.is_empty();
        let mut input = json!({ "StreamArn": arn });
        loop {
            let described = aws.dynamodb.call_streams("DescribeStream", &input).await?;
            let description = &described["StreamDescription"];
            for shard in description["Shards"].as_array().into_iter().flatten() {
                let id = shard["ShardId"].as_str().context("a shard has no id")?.to_owned();
                if shards.iter().any(|known| known.id == id) {
                    continue;
                }
                let saved = aws.positions.get(&self.key(), &id);
                let position = saved.unwrap_or_else(|| {
                    // Shards that appear later are read from their start.
                    let starting_position =
                        if is_first { self.trigger.starting_position } else { StartingPosition::TrimHorizon };
                    ShardPosition::first(starting_position, &shard["SequenceNumberRange"])
                });
                aws.positions.set(&self.key(), &id, &position);
                shards.push(Shard {
                    id,
                    position,
                    iterator: None,
                    pending: Vec::new(),
                    paused_until: None,
                    ended: false,
                });
            }
            match description.get("LastEvaluatedShardId").filter(|id| !id.is_null()) {
                Some(last) => input["ExclusiveStartShardId"] = last.clone(),
                None => return Ok(()),
            }
        }
    }

    /// Delivers the next batch of a shard, if there is one and it is not paused.
    async fn process_shard(
        &self,
        aws: &AwsServices,
        shard: &mut Shard,
        writes: &mut watch::Receiver<u64>,
    ) -> Result<Step> {
        if shard.pending.is_empty() {
            let mut records = self.read(aws, shard, self.trigger.batch_size).await?;
            if records.is_empty() {
                return Ok(Step::CaughtUp);
            }
            self.set_progress(None, None);
            self.collect(aws, shard, &mut records, writes).await?;
            let end = records.last().map(|record| sequence_number(record).to_owned());
            records.retain(|record| matches_filters(record, &self.trigger.filters));
            shard.pending = RecordBatch::split(records);
            shard.pending.reverse();
            if let (true, Some(end)) = (shard.pending.is_empty(), end) {
                self.save_position(aws, shard, end);
            }
        }
        if let Some(until) = shard.paused_until.filter(|until| *until > aws.clock.now()) {
            return Ok(Step::PausedUntil(until));
        }
        shard.paused_until = None;
        self.set_progress(None, None);
        if let Some(batch) = shard.pending.pop() {
            self.deliver(aws, shard, batch).await;
        }
        Ok(Step::Progressed)
    }

    /// Reads the next records in the form of the function's event.
    async fn read(&self, aws: &AwsServices, shard: &mut Shard, limit: usize) -> Result<Vec<Value>> {
        let iterator = match shard.iterator.take() {
            Some(iterator) => iterator,
            None => self.iterator(aws, shard).await?,
        };
        let input = json!({ "ShardIterator": iterator, "Limit": limit.min(MAX_RECORDS) });
        let mut response = aws.dynamodb.call_streams("GetRecords", &input).await?;
        shard.iterator = response["NextShardIterator"].as_str().map(str::to_owned);
        let Value::Array(mut records) = response["Records"].take() else { return Ok(Vec::new()) };
        if records.is_empty() && shard.iterator.is_none() {
            shard.ended = true;
        }
        for record in &mut records {
            record["awsRegion"] = json!(names::REGION);
            record["eventSourceARN"] = json!(self.trigger.stream_arn);
            // The engine records real time.
            let moved = written(record).as_second() + aws.clock.offset_at(written_exactly(record));
            record["dynamodb"]["ApproximateCreationDateTime"] = json!(moved);
        }
        Ok(records)
    }

    async fn iterator(&self, aws: &AwsServices, shard: &Shard) -> Result<String> {
        let arn = aws.dynamodb.stream_arn(&self.table).await?;
        let mut input = json!({ "StreamArn": arn, "ShardId": shard.id });
        for (key, value) in shard.position.iterator_parameters() {
            input[key] = json!(value);
        }
        let response = aws.dynamodb.call_streams("GetShardIterator", &input).await?;
        response["ShardIterator"].as_str().map(str::to_owned).context("the engine returned no iterator")
    }

    /// Waits for a full batch until the batching window ends.
    async fn collect(
        &self,
        aws: &AwsServices,
        shard: &mut Shard,
        records: &mut Vec<Value>,
        writes: &mut watch::Receiver<u64>,
    ) -> Result<()> {
        let end = tokio::time::Instant::now() + self.trigger.window;
        while records.len() < self.trigger.batch_size
            && shard.iterator.is_some()
            && tokio::time::timeout_at(end, writes.changed()).await.is_ok()
        {
            let room = self.trigger.batch_size - records.len();
            records.extend(self.read(aws, shard, room).await?);
        }
        Ok(())
    }

    /// Invokes the function with a batch. Records that are to be retried stay pending.
    async fn deliver(&self, aws: &AwsServices, shard: &mut Shard, mut batch: RecordBatch) {
        let now = aws.clock.now();
        let max_age = self.trigger.max_record_age.map_or(RETENTION, |age| age.min(RETENTION));
        let too_old = batch.records.iter().take_while(|record| age(record, now) > max_age).count();
        if too_old > 0 {
            let rest = RecordBatch { records: batch.records.split_off(too_old), ..batch };
            if !rest.records.is_empty() {
                shard.pending.push(rest);
            }
            self.discard(aws, shard, &batch, "RecordAgeExceeded");
            return;
        }
        let Some(functions) = aws.functions.get() else { return };
        if let Some(last) = batch.records.last() {
            let milliseconds = now.duration_since(written(last)).as_secs_f64() * 1_000.0;
            aws.cloudwatch.iterator_age(names::function_name(&self.function_arn), milliseconds);
        }
        let payload = Bytes::from(json!({ "Records": batch.records }).to_string());
        let failed = match functions.invoke(&self.function, payload, CAPACITY_TIMEOUT).await {
            Ok(response) => batch.first_failure(&response, &self.trigger),
            Err(InvocationError::Function(_) | InvocationError::UnknownFunction) => Some(0),
            Err(InvocationError::NoCapacity) => {
                shard.paused_until = now.checked_add(NO_CAPACITY_DELAY).ok();
                shard.pending.push(batch);
                return;
            }
        };
        batch.invocations += 1;
        let Some(first_failure) = failed else {
            if let Some(end) = batch.last_sequence_number().map(str::to_owned) {
                self.save_position(aws, shard, end);
            }
            return;
        };
        let BatchOutcome { done_through, retry, discarded, backoff } =
            batch.fail(first_failure, &self.trigger);
        if let Some(end) = done_through {
            self.save_position(aws, shard, end);
        }
        shard.pending.extend(retry.into_iter().rev());
        shard.paused_until = backoff.and_then(|backoff| {
            let backoff = SignedDuration::try_from(backoff).ok()?;
            aws.clock.now().checked_add(backoff).ok()
        });
        if let Some(batch) = discarded {
            self.discard(aws, shard, &batch, "RetryAttemptsExhausted");
        }
    }

    /// Continues after a batch, and reports it to the dead-letter queue.
    fn discard(&self, aws: &AwsServices, shard: &mut Shard, batch: &RecordBatch, condition: &str) {
        let Some(end) = batch.last_sequence_number().map(str::to_owned) else { return };
        tracing::warn!(
            table = self.table,
            function = self.function,
            records = batch.records.len(),
            condition,
            "stream records discarded"
        );
        if let Some(queue) = &self.trigger.dead_letter_queue {
            let report = self.failure_record(aws.clock.now(), &shard.id, batch, condition);
            if let Err(error) = aws.sqs.send(queue, &report.to_string()) {
                tracing::warn!(queue, error = error.message, "discarded records could not be reported");
            }
        }
        self.save_position(aws, shard, end);
    }

    /// The message that Lambda sends to a destination. It locates the records, but does not contain them.
    fn failure_record(&self, now: Timestamp, shard: &str, batch: &RecordBatch, condition: &str) -> Value {
        let arrival = |record: Option<&Value>| record.map_or(now, written).to_string();
        json!({
            "requestContext": {
                "requestId": uuid::Uuid::new_v4().to_string(),
                "functionArn": self.function_arn,
                "condition": condition,
                "approximateInvokeCount": batch.invocations,
            },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "version": "1.0",
            "timestamp": now.to_string(),
            "DDBStreamBatchInfo": {
                "shardId": shard,
                "startSequenceNumber": batch.records.first().map(sequence_number),
                "endSequenceNumber": batch.last_sequence_number(),
                "approximateArrivalOfFirstRecord": arrival(batch.records.first()),
                "approximateArrivalOfLastRecord": arrival(batch.records.last()),
                "batchSize": batch.records.len(),
                "streamArn": self.trigger.stream_arn,
            },
        })
    }

    /// Records that everything up to this sequence number is done.
    fn save_position(&self, aws: &AwsServices, shard: &mut Shard, end: String) {
        shard.position = ShardPosition::After(end);
        aws.positions.set(&self.key(), &shard.id, &shard.position);
    }

    fn key(&self) -> String {
        format!("{} {}", self.table, self.function)
    }

    fn set_progress(&self, caught_up_at: Option<u64>, paused_until: Option<Timestamp>) {
        *self.progress() = MappingProgress { caught_up_at, paused_until };
    }

    fn progress(&self) -> MutexGuard<'_, MappingProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a record was written, in whole seconds.
fn written(record: &Value) -> Timestamp {
    let seconds = record["dynamodb"]["ApproximateCreationDateTime"].as_f64().unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "streams report whole seconds")]
    Timestamp::from_second(seconds as i64).unwrap_or_default()
}

/// When a record was written, exactly if possible: dynoxide's sequence numbers contain microseconds. For other engines it
/// is the end of the second, so that no record seems older than it is.
fn written_exactly(record: &Value) -> Timestamp {
    const FIRST: u128 = 100_000_000_000_000_000_000;
    let second = written(record);
    let count = sequence_number(record).parse::<u128>().ok().and_then(|count| count.checked_sub(FIRST));
    let exact = count
        .and_then(|micros| i64::try_from(micros).ok())
        .and_then(|micros| Timestamp::from_microsecond(micros).ok())
        .filter(|exact| exact.as_second() == second.as_second());
    exact.unwrap_or_else(|| second.checked_add(SignedDuration::from_secs(1)).unwrap_or(second))
}

fn age(record: &Value, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(written(record))).unwrap_or_default()
}
