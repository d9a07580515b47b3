//! DynamoDB streams: tables feed their functions with what changes, in order, until the function takes it or it is given
//! up. How far a function has come is kept with the data folder.

mod batch;
mod position;

pub use position::Positions;

use super::Aws;
use crate::functions::Failure;
use crate::names;
use crate::template::{StreamTrigger, Template};
use anyhow::{Context, Result};
use batch::{Batch, Fate, passes, sequence_number};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use position::Position;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long a batch waits for an instance.
const PATIENCE: Duration = Duration::from_secs(60);
/// Writes are told at once; what another program wrote into the engine is found by looking this often.
const PERIOD: Duration = Duration::from_secs(1);
/// After a failure that is not the function's.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// A stream holds a record for a day.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Most records of one read.
const MOST_READ: usize = 1000;

/// One stream that feeds one function.
pub struct Mapping {
    table: String,
    function: String,
    function_arn: String,
    trigger: StreamTrigger,
    standing: Mutex<Standing>,
}

/// Where the mapping stands, for whoever waits until nothing happens.
struct Standing {
    /// How many writes had been told when the stream was last read to its end; none while there is something to do.
    seen: Option<u64>,
    /// A batch that failed waits for this moment.
    paused_until: Option<Timestamp>,
}

/// A shard, and what was read of it.
struct Shard {
    id: String,
    position: Position,
    iterator: Option<String>,
    /// Batches that wait, the next one last.
    waiting: Vec<Batch>,
    paused_until: Option<Timestamp>,
    ended: bool,
}

/// What a look at a shard came to.
enum Step {
    Worked,
    Paused(Timestamp),
    Nothing,
}

/// The mappings of the template.
#[must_use]
pub fn mappings(template: &Template) -> Vec<Mapping> {
    let all = template.functions.iter().flat_map(|function| {
        function.streams.iter().map(|trigger| Mapping {
            table: names::table_of_stream(&trigger.stream_arn).to_owned(),
            function: function.binary.clone(),
            function_arn: names::function_arn(&function.name),
            trigger: trigger.clone(),
            standing: Mutex::new(Standing { seen: None, paused_until: None }),
        })
    });
    all.collect()
}

impl Mapping {
    /// Takes its place in the stream, so that it misses nothing that is written from now on.
    pub async fn begin(&self, aws: &Aws) -> Result<()> {
        self.find_shards(aws, &mut Vec::new()).await
    }

    /// Feeds the function for as long as it is not dropped.
    pub async fn run(self: Arc<Self>, aws: Arc<Aws>) {
        let mut writes = aws.dynamodb.writes();
        let mut shards = Vec::new();
        loop {
            let told = *writes.borrow_and_update();
            let mut patience = PERIOD;
            match self.round(&aws, &mut shards, &mut writes).await {
                Ok(Step::Worked) => continue,
                Ok(Step::Nothing) => *self.standing() = Standing { seen: Some(told), paused_until: None },
                Ok(Step::Paused(until)) => {
                    *self.standing() = Standing { seen: None, paused_until: Some(until) };
                    let left = until.duration_since(aws.clock.now()).unsigned_abs();
                    patience = patience.min(left);
                }
                Err(error) => {
                    tracing::warn!(table = self.table, error = %format!("{error:#}"), "a stream cannot be read");
                }
            }
            let _ = tokio::time::timeout(patience, writes.changed()).await;
        }
    }

    /// Nothing to hand out now, and nothing at work. `told` is the number of writes that have been told.
    #[must_use]
    pub fn is_idle(&self, told: u64, now: Timestamp) -> bool {
        let standing = self.standing();
        standing.seen == Some(told) || standing.paused_until.is_some_and(|until| until > now)
    }

    /// What the control API shows.
    #[must_use]
    pub fn overview(&self, positions: &Positions) -> Value {
        json!({
            "table": self.table,
            "function": self.function,
            "positions": positions.of(&self.key()),
            "pausedUntil": self.standing().paused_until,
        })
    }

    /// Works on each shard once.
    async fn round(
        &self,
        aws: &Aws,
        shards: &mut Vec<Shard>,
        writes: &mut watch::Receiver<u64>,
    ) -> Result<Step> {
        if shards.iter().all(|shard| shard.ended) {
            self.find_shards(aws, shards).await?;
        }
        let mut step = Step::Nothing;
        for shard in shards.iter_mut().filter(|shard| !shard.ended) {
            step = match (step, self.work(aws, shard, writes).await?) {
                (Step::Worked, _) | (_, Step::Worked) => Step::Worked,
                (Step::Paused(one), Step::Paused(other)) => Step::Paused(one.min(other)),
                (Step::Paused(until), Step::Nothing) | (Step::Nothing, Step::Paused(until)) => {
                    Step::Paused(until)
                }
                (Step::Nothing, Step::Nothing) => Step::Nothing,
            };
        }
        Ok(step)
    }

    /// Adds the shards that are new.
    async fn find_shards(&self, aws: &Aws, shards: &mut Vec<Shard>) -> Result<()> {
        let arn = aws.dynamodb.stream_of(&self.table).await?;
        let first_look = shards.is_empty();
        let mut input = json!({ "StreamArn": arn });
        loop {
            let described = aws.dynamodb.stream("DescribeStream", &input).await?;
            let description = &described["StreamDescription"];
            for shard in description["Shards"].as_array().into_iter().flatten() {
                let id = shard["ShardId"].as_str().context("a shard has no id")?.to_owned();
                if shards.iter().any(|known| known.id == id) {
                    continue;
                }
                let saved = aws.positions.get(&self.key(), &id);
                let position = saved.unwrap_or_else(|| {
                    let from_start = self.trigger.from_start || !first_look;
                    Position::first(from_start, &shard["SequenceNumberRange"])
                });
                aws.positions.set(&self.key(), &id, &position);
                shards.push(Shard {
                    id,
                    position,
                    iterator: None,
                    waiting: Vec::new(),
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

    /// Hands the next batch of a shard to the function, if there is one and its time has come.
    async fn work(&self, aws: &Aws, shard: &mut Shard, writes: &mut watch::Receiver<u64>) -> Result<Step> {
        if shard.waiting.is_empty() {
            let mut records = self.read(aws, shard, self.trigger.batch_size).await?;
            if records.is_empty() {
                return Ok(Step::Nothing);
            }
            *self.standing() = Standing { seen: None, paused_until: None };
            self.collect(aws, shard, &mut records, writes).await?;
            let end = records.last().map(|record| sequence_number(record).to_owned());
            records.retain(|record| passes(record, &self.trigger.filters));
            shard.waiting = Batch::of(records);
            shard.waiting.reverse();
            if let (true, Some(end)) = (shard.waiting.is_empty(), end) {
                self.reach(aws, shard, end);
            }
        }
        if let Some(until) = shard.paused_until.filter(|until| *until > aws.clock.now()) {
            return Ok(Step::Paused(until));
        }
        shard.paused_until = None;
        *self.standing() = Standing { seen: None, paused_until: None };
        if let Some(batch) = shard.waiting.pop() {
            self.hand_out(aws, shard, batch).await;
        }
        Ok(Step::Worked)
    }

    /// The next records, as the function sees them.
    async fn read(&self, aws: &Aws, shard: &mut Shard, most: usize) -> Result<Vec<Value>> {
        let iterator = match shard.iterator.take() {
            Some(iterator) => iterator,
            None => self.iterator(aws, shard).await?,
        };
        let input = json!({ "ShardIterator": iterator, "Limit": most.min(MOST_READ) });
        let mut answer = aws.dynamodb.stream("GetRecords", &input).await?;
        shard.iterator = answer["NextShardIterator"].as_str().map(str::to_owned);
        let Value::Array(mut records) = answer["Records"].take() else { return Ok(Vec::new()) };
        if records.is_empty() && shard.iterator.is_none() {
            shard.ended = true;
        }
        for record in &mut records {
            record["awsRegion"] = json!(names::REGION);
            record["eventSourceARN"] = json!(self.trigger.stream_arn);
            // The engine goes by the time of the machine.
            let moved = written(record).as_second() + aws.clock.offset_at(written_exactly(record));
            record["dynamodb"]["ApproximateCreationDateTime"] = json!(moved);
        }
        Ok(records)
    }

    async fn iterator(&self, aws: &Aws, shard: &Shard) -> Result<String> {
        let arn = aws.dynamodb.stream_of(&self.table).await?;
        let mut input = json!({ "StreamArn": arn, "ShardId": shard.id });
        for (key, value) in shard.position.request() {
            input[key] = json!(value);
        }
        let answer = aws.dynamodb.stream("GetShardIterator", &input).await?;
        answer["ShardIterator"].as_str().map(str::to_owned).context("there is no iterator")
    }

    /// Fills the batch as far as the window allows.
    async fn collect(
        &self,
        aws: &Aws,
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

    /// Calls the function, and keeps what it did not take for later.
    async fn hand_out(&self, aws: &Aws, shard: &mut Shard, mut batch: Batch) {
        let now = aws.clock.now();
        let limit = self.trigger.oldest.map_or(KEPT, |oldest| oldest.min(KEPT));
        let too_old = batch.records.iter().take_while(|record| age(record, now) > limit).count();
        if too_old > 0 {
            let rest = Batch { records: batch.records.split_off(too_old), ..batch };
            if !rest.records.is_empty() {
                shard.waiting.push(rest);
            }
            self.give_up(aws, shard, &batch, "RecordAgeExceeded");
            return;
        }
        let Some(functions) = aws.functions.get() else { return };
        let payload = Bytes::from(json!({ "Records": batch.records }).to_string());
        let failed = match functions.invoke(&self.function, payload, PATIENCE).await {
            Ok(answer) => batch.first_failure(&answer, &self.trigger),
            Err(Failure::Function(_) | Failure::Unknown) => Some(0),
            Err(Failure::Busy) => {
                shard.paused_until = now.checked_add(PAUSE).ok();
                shard.waiting.push(batch);
                return;
            }
        };
        batch.calls += 1;
        let Some(at) = failed else {
            if let Some(end) = batch.end().map(str::to_owned) {
                self.reach(aws, shard, end);
            }
            return;
        };
        let Fate { done, left, given_up, pause } = batch.fail(at, &self.trigger);
        if let Some(end) = done {
            self.reach(aws, shard, end);
        }
        shard.waiting.extend(left.into_iter().rev());
        shard.paused_until = pause.and_then(|pause| {
            let pause = SignedDuration::try_from(pause).ok()?;
            aws.clock.now().checked_add(pause).ok()
        });
        if let Some(batch) = given_up {
            self.give_up(aws, shard, &batch, "RetryAttemptsExhausted");
        }
    }

    /// Goes on without a batch, and tells the queue for that.
    fn give_up(&self, aws: &Aws, shard: &mut Shard, batch: &Batch, condition: &str) {
        let Some(end) = batch.end().map(str::to_owned) else { return };
        tracing::warn!(
            table = self.table,
            function = self.function,
            records = batch.records.len(),
            condition,
            "records of a stream are given up"
        );
        if let Some(queue) = &self.trigger.dead_letters {
            let told = self.failure_record(aws.clock.now(), &shard.id, batch, condition);
            if let Err(refusal) = aws.sqs.send(queue, &told.to_string()) {
                tracing::warn!(queue, error = refusal.message, "nobody is told of it");
            }
        }
        self.reach(aws, shard, end);
    }

    /// What Lambda sends to a destination: where the records were, not the records.
    fn failure_record(&self, now: Timestamp, shard: &str, batch: &Batch, condition: &str) -> Value {
        let arrival = |record: Option<&Value>| record.map_or(now, written).to_string();
        json!({
            "requestContext": {
                "requestId": uuid::Uuid::new_v4().to_string(),
                "functionArn": self.function_arn,
                "condition": condition,
                "approximateInvokeCount": batch.calls,
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
                "endSequenceNumber": batch.end(),
                "approximateArrivalOfFirstRecord": arrival(batch.records.first()),
                "approximateArrivalOfLastRecord": arrival(batch.records.last()),
                "batchSize": batch.records.len(),
                "streamArn": self.trigger.stream_arn,
            },
        })
    }

    /// All up to this record is done with.
    fn reach(&self, aws: &Aws, shard: &mut Shard, end: String) {
        shard.position = Position::After(end);
        aws.positions.set(&self.key(), &shard.id, &shard.position);
    }

    fn key(&self) -> String {
        format!("{} {}", self.table, self.function)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a record was written.
fn written(record: &Value) -> Timestamp {
    let seconds = record["dynamodb"]["ApproximateCreationDateTime"].as_f64().unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are all that a stream tells")]
    Timestamp::from_second(seconds as i64).unwrap_or_default()
}

/// When a record was written, by a finer clock than its time of whole seconds: dynoxide counts records by microseconds.
/// Of another engine's records the end of the second counts, so that none seems older than it is.
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
