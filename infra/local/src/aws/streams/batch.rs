//! A batch of stream records: which of them are done after an invocation, which are retried and which are discarded.

use crate::aws::batch_response::BatchItemFailures;
use crate::template::StreamTrigger;
use serde_json::Value;
use std::time::Duration;

/// Lambda's limit for payloads.
const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;
/// The delay before the second retry; the first one is immediate.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Records of one shard that are delivered together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RecordBatch {
    pub records: Vec<Value>,
    /// Retries that count towards `MaximumRetryAttempts`.
    pub retries: u32,
    /// Invocations that contained these records.
    pub invocations: u32,
}

/// What remains of a batch after a failed invocation.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct BatchOutcome {
    /// The sequence number of the last record that is done.
    pub done_through: Option<String>,
    /// Batches to deliver next, in order.
    pub retry: Vec<RecordBatch>,
    /// Records that are not retried any more.
    pub discarded: Option<RecordBatch>,
    /// The delay before the next invocation.
    pub backoff: Option<Duration>,
}

impl RecordBatch {
    /// Splits records into batches that fit into a payload.
    #[must_use]
    pub fn split(records: Vec<Value>) -> Vec<Self> {
        let mut batches: Vec<Self> = Vec::new();
        let mut room = 0;
        for record in records {
            let size = record.to_string().len();
            if room < size || batches.is_empty() {
                room = MAX_PAYLOAD_BYTES;
                batches.push(Self::default());
            }
            room = room.saturating_sub(size);
            if let Some(batch) = batches.last_mut() {
                batch.records.push(record);
            }
        }
        batches
    }

    /// The sequence number of the last record.
    #[must_use]
    pub fn last_sequence_number(&self) -> Option<&str> {
        self.records.last().map(sequence_number)
    }

    /// The index of the first failed record by the function's response, `None` if all succeeded.
    #[must_use]
    pub fn first_failure(&self, response: &[u8], trigger: &StreamTrigger) -> Option<usize> {
        if !trigger.report_failures {
            return None;
        }
        let BatchItemFailures::Items(ids) = BatchItemFailures::parse(response) else { return Some(0) };
        let index = |id: &String| self.records.iter().position(|record| sequence_number(record) == id);
        // A record that is not in the batch fails the whole batch.
        ids.iter().map(|id| index(id).unwrap_or(0)).min()
    }

    /// What to do after an invocation failed from the record with this index on.
    ///
    /// Neither bisecting nor continuing after records that succeeded counts as a retry if the batch may be bisected.
    #[must_use]
    pub fn fail(mut self, first_failure: usize, trigger: &StreamTrigger) -> BatchOutcome {
        let mut rest = Self { records: self.records.split_off(first_failure), ..self };
        let done_through = self.last_sequence_number().map(str::to_owned);
        let mut outcome = BatchOutcome { done_through, ..BatchOutcome::default() };
        if trigger.bisect && (first_failure > 0 || rest.records.len() > 1) {
            if first_failure == 0 {
                let second = rest.records.split_off(rest.records.len().div_ceil(2));
                outcome.retry = vec![rest.clone(), Self { records: second, ..rest }];
            } else {
                outcome.retry = vec![rest];
            }
        } else if trigger.max_retries.is_some_and(|max| rest.retries >= max) {
            outcome.discarded = Some(rest);
        } else {
            outcome.backoff = backoff(rest.retries);
            rest.retries += 1;
            outcome.retry = vec![rest];
        }
        outcome
    }
}

#[must_use]
pub fn sequence_number(record: &Value) -> &str {
    record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default()
}

/// No delay before the first retry, then one second, doubled each time.
fn backoff(retries: u32) -> Option<Duration> {
    let doublings = retries.checked_sub(1)?;
    Some(INITIAL_BACKOFF.saturating_mul(2_u32.saturating_pow(doublings)).min(MAX_BACKOFF))
}

/// Whether a record matches one of the filters. Without filters, every record does.
#[must_use]
pub fn matches_filters(record: &Value, filters: &[Value]) -> bool {
    filters.is_empty() || filters.iter().any(|pattern| matches_pattern(record, pattern))
}

fn matches_pattern(value: &Value, pattern: &Value) -> bool {
    match pattern {
        Value::Object(parts) => parts.iter().all(|(key, part)| matches_pattern(&value[key], part)),
        Value::Array(wanted) => wanted.contains(value),
        other => value == other,
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchOutcome, MAX_PAYLOAD_BYTES, RecordBatch, backoff, matches_filters};
    use crate::template::StreamTrigger;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn record(number: usize) -> Value {
        json!({ "eventName": "INSERT", "dynamodb": { "SequenceNumber": number.to_string() } })
    }

    fn batch(numbers: std::ops::Range<usize>, retries: u32) -> RecordBatch {
        RecordBatch { records: numbers.map(record).collect(), retries, invocations: 1 }
    }

    fn trigger(bisect: bool, max_retries: u32) -> StreamTrigger {
        StreamTrigger {
            bisect,
            max_retries: Some(max_retries),
            report_failures: true,
            ..StreamTrigger::default()
        }
    }

    #[test]
    fn the_first_failed_record_is_found_in_the_response() {
        let batch = batch(1..4, 0);
        for (response, expected) in [
            (json!({ "batchItemFailures": [{ "itemIdentifier": "3" }, { "itemIdentifier": "2" }] }), Some(1)),
            (json!({ "batchItemFailures": [] }), None),
            (json!({ "batchItemFailures": null }), None),
            (json!({}), None),
            (Value::Null, None),
            (json!({ "batchItemFailures": [{ "itemIdentifier": "7" }, { "itemIdentifier": "2" }] }), Some(0)),
            (json!({ "batchItemFailures": [{}] }), Some(0)),
            (json!({ "batchItemFailures": "2" }), Some(0)),
        ] {
            assert_eq!(batch.first_failure(response.to_string().as_bytes(), &trigger(false, 0)), expected);
        }
        assert_eq!(batch.first_failure(b"nonsense", &trigger(false, 0)), Some(0));
        assert_eq!(batch.first_failure(b"nonsense", &StreamTrigger::default()), None);
    }

    #[test]
    fn a_batch_is_retried_from_the_first_failure_until_it_is_discarded() {
        let outcome = batch(1..4, 0).fail(1, &trigger(false, 2));
        let done_through = Some("1".to_owned());
        assert_eq!(
            outcome,
            BatchOutcome { done_through, retry: vec![batch(2..4, 1)], ..BatchOutcome::default() }
        );
        let outcome = batch(2..4, 1).fail(0, &trigger(false, 2));
        let backoff = Some(Duration::from_secs(1));
        assert_eq!(outcome, BatchOutcome { retry: vec![batch(2..4, 2)], backoff, ..BatchOutcome::default() });
        let outcome = batch(2..4, 2).fail(0, &trigger(false, 2));
        assert_eq!(outcome, BatchOutcome { discarded: Some(batch(2..4, 2)), ..BatchOutcome::default() });
    }

    #[test]
    fn bisecting_ends_with_one_record_and_does_not_count_as_a_retry() {
        let outcome = batch(1..4, 0).fail(0, &trigger(true, 0));
        assert_eq!(
            outcome,
            BatchOutcome { retry: vec![batch(1..3, 0), batch(3..4, 0)], ..BatchOutcome::default() }
        );
        let outcome = batch(1..4, 0).fail(2, &trigger(true, 0));
        assert_eq!(
            outcome,
            BatchOutcome {
                done_through: Some("2".to_owned()),
                retry: vec![batch(3..4, 0)],
                ..BatchOutcome::default()
            }
        );
        let outcome = batch(3..4, 0).fail(0, &trigger(true, 0));
        assert_eq!(outcome, BatchOutcome { discarded: Some(batch(3..4, 0)), ..BatchOutcome::default() });
    }

    #[test]
    fn backoff_doubles_up_to_a_minute() {
        let seconds: Vec<u64> = (0..9).map(|n| backoff(n).map_or(0, |delay| delay.as_secs())).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(u32::MAX), Some(Duration::from_secs(60)));
    }

    #[test]
    fn batches_fit_into_a_payload() {
        let large = json!({ "text": "x".repeat(MAX_PAYLOAD_BYTES / 2) });
        let sizes: Vec<usize> = RecordBatch::split(vec![large.clone(), large, record(1)])
            .iter()
            .map(|batch| batch.records.len())
            .collect();
        assert_eq!(sizes, [1, 2]);
        assert_eq!(RecordBatch::split(Vec::new()), []);
    }

    #[test]
    fn filters_select_records() {
        let inserted = [json!({ "eventName": ["INSERT", "MODIFY"] })];
        assert!(matches_filters(&record(1), &inserted) && matches_filters(&record(1), &[]));
        assert!(!matches_filters(&json!({ "eventName": "REMOVE" }), &inserted));
        let deep = [json!({ "dynamodb": { "NewImage": { "kind": { "S": ["a"] } } } })];
        assert!(matches_filters(&json!({ "dynamodb": { "NewImage": { "kind": { "S": "a" } } } }), &deep));
        assert!(!matches_filters(&record(1), &deep));
    }
}
