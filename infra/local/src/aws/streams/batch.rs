//! What becomes of a batch of records that a function did not take: which are done, which come again, which are given up.

use crate::aws::lambda;
use crate::template::StreamTrigger;
use serde_json::Value;
use std::time::Duration;

/// A call to a function takes 6 MB.
const LARGEST_PAYLOAD: usize = 6 * 1024 * 1024;
/// The pause before the second repetition; the first comes at once.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Records of one shard that go to the function together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Batch {
    /// The records, in their order.
    pub records: Vec<Value>,
    /// How often they have come again, as far as it counts.
    pub repetitions: u32,
    /// How often a call had them in it.
    pub calls: u32,
}

/// What a failed call leaves.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Fate {
    /// The sequence number up to which all is done.
    pub done: Option<String>,
    /// What comes again, in order.
    pub left: Vec<Batch>,
    /// What does not.
    pub given_up: Option<Batch>,
    /// How long to wait before the next call.
    pub pause: Option<Duration>,
}

impl Batch {
    /// Batches of these records, none too large for a call.
    #[must_use]
    pub fn of(records: Vec<Value>) -> Vec<Self> {
        let mut batches: Vec<Self> = Vec::new();
        let mut room = 0;
        for record in records {
            let size = record.to_string().len();
            if room < size || batches.is_empty() {
                room = LARGEST_PAYLOAD;
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
    pub fn end(&self) -> Option<&str> {
        self.records.last().map(sequence_number)
    }

    /// The first record that failed, by what the function answered; nothing if none did.
    #[must_use]
    pub fn first_failure(&self, answer: &[u8], trigger: &StreamTrigger) -> Option<usize> {
        if !trigger.report_failures {
            return None;
        }
        let Some(ids) = lambda::reported_failures(answer) else { return Some(0) };
        let place = |id: &String| self.records.iter().position(|record| sequence_number(record) == id);
        // A record that is not in the batch means all of them.
        ids.iter().map(|id| place(id).unwrap_or(0)).min()
    }

    /// What becomes of the batch when its call failed from this record on.
    ///
    /// Halving does not count as a repetition, and neither does going on behind records that succeeded if the batch may
    /// be halved.
    #[must_use]
    pub fn fail(mut self, at: usize, trigger: &StreamTrigger) -> Fate {
        let mut rest = Self { records: self.records.split_off(at), ..self };
        let mut fate = Fate { done: self.end().map(str::to_owned), ..Fate::default() };
        if trigger.bisect && (at > 0 || rest.records.len() > 1) {
            if at == 0 {
                let second = rest.records.split_off(rest.records.len().div_ceil(2));
                fate.left = vec![rest.clone(), Self { records: second, ..rest }];
            } else {
                fate.left = vec![rest];
            }
        } else if trigger.repetitions.is_some_and(|most| rest.repetitions >= most) {
            fate.given_up = Some(rest);
        } else {
            fate.pause = pause(rest.repetitions);
            rest.repetitions += 1;
            fate.left = vec![rest];
        }
        fate
    }
}

/// The sequence number of a record.
#[must_use]
pub fn sequence_number(record: &Value) -> &str {
    record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default()
}

/// None before the first repetition, then a second, doubled each time.
fn pause(repetitions: u32) -> Option<Duration> {
    let doublings = repetitions.checked_sub(1)?;
    Some(FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE))
}

/// Whether a record goes to the function: all do without a filter.
#[must_use]
pub fn passes(record: &Value, filters: &[Value]) -> bool {
    filters.is_empty() || filters.iter().any(|pattern| matches(record, pattern))
}

fn matches(value: &Value, pattern: &Value) -> bool {
    match pattern {
        Value::Object(parts) => parts.iter().all(|(key, part)| matches(&value[key], part)),
        Value::Array(wanted) => wanted.contains(value),
        other => value == other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Fate, LARGEST_PAYLOAD, passes, pause};
    use crate::template::StreamTrigger;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn record(number: usize) -> Value {
        json!({ "eventName": "INSERT", "dynamodb": { "SequenceNumber": number.to_string() } })
    }

    fn batch(numbers: std::ops::Range<usize>, repetitions: u32) -> Batch {
        Batch { records: numbers.map(record).collect(), repetitions, calls: 1 }
    }

    fn rules(bisect: bool, repetitions: u32) -> StreamTrigger {
        StreamTrigger {
            bisect,
            repetitions: Some(repetitions),
            report_failures: true,
            ..StreamTrigger::default()
        }
    }

    #[test]
    fn the_first_failure_is_where_it_goes_on() {
        let batch = batch(1..4, 0);
        for (answer, expected) in [
            (json!({ "batchItemFailures": [{ "itemIdentifier": "3" }, { "itemIdentifier": "2" }] }), Some(1)),
            (json!({ "batchItemFailures": [] }), None),
            (json!({ "batchItemFailures": null }), None),
            (json!({}), None),
            (Value::Null, None),
            (json!({ "batchItemFailures": [{ "itemIdentifier": "7" }, { "itemIdentifier": "2" }] }), Some(0)),
            (json!({ "batchItemFailures": [{}] }), Some(0)),
            (json!({ "batchItemFailures": "2" }), Some(0)),
        ] {
            assert_eq!(batch.first_failure(answer.to_string().as_bytes(), &rules(false, 0)), expected);
        }
        assert_eq!(batch.first_failure(b"nonsense", &rules(false, 0)), Some(0));
        assert_eq!(batch.first_failure(b"nonsense", &StreamTrigger::default()), None);
    }

    #[test]
    fn a_batch_comes_again_from_the_first_failure_until_it_is_given_up() {
        let fate = batch(1..4, 0).fail(1, &rules(false, 2));
        let done = Some("1".to_owned());
        assert_eq!(fate, Fate { done, left: vec![batch(2..4, 1)], ..Fate::default() });
        let fate = batch(2..4, 1).fail(0, &rules(false, 2));
        let pause = Some(Duration::from_secs(1));
        assert_eq!(fate, Fate { left: vec![batch(2..4, 2)], pause, ..Fate::default() });
        let fate = batch(2..4, 2).fail(0, &rules(false, 2));
        assert_eq!(fate, Fate { given_up: Some(batch(2..4, 2)), ..Fate::default() });
    }

    #[test]
    fn halving_ends_with_one_record_and_does_not_count() {
        let fate = batch(1..4, 0).fail(0, &rules(true, 0));
        assert_eq!(fate, Fate { left: vec![batch(1..3, 0), batch(3..4, 0)], ..Fate::default() });
        let fate = batch(1..4, 0).fail(2, &rules(true, 0));
        assert_eq!(fate, Fate { done: Some("2".to_owned()), left: vec![batch(3..4, 0)], ..Fate::default() });
        let fate = batch(3..4, 0).fail(0, &rules(true, 0));
        assert_eq!(fate, Fate { given_up: Some(batch(3..4, 0)), ..Fate::default() });
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let seconds: Vec<u64> = (0..9).map(|n| pause(n).map_or(0, |pause| pause.as_secs())).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(u32::MAX), Some(Duration::from_secs(60)));
    }

    #[test]
    fn no_batch_is_too_large_for_a_call() {
        let large = json!({ "text": "x".repeat(LARGEST_PAYLOAD / 2) });
        let sizes: Vec<usize> = Batch::of(vec![large.clone(), large, record(1)])
            .iter()
            .map(|batch| batch.records.len())
            .collect();
        assert_eq!(sizes, [1, 2]);
        assert_eq!(Batch::of(Vec::new()), []);
    }

    #[test]
    fn a_filter_lets_through_what_it_names() {
        let inserted = [json!({ "eventName": ["INSERT", "MODIFY"] })];
        assert!(passes(&record(1), &inserted) && passes(&record(1), &[]));
        assert!(!passes(&json!({ "eventName": "REMOVE" }), &inserted));
        let deep = [json!({ "dynamodb": { "NewImage": { "kind": { "S": ["a"] } } } })];
        assert!(passes(&json!({ "dynamodb": { "NewImage": { "kind": { "S": "a" } } } }), &deep));
        assert!(!passes(&record(1), &deep));
    }
}
