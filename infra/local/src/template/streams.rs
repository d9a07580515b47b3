//! Events of the type `DynamoDB`: tables whose streams feed functions.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A stream that feeds the function.
#[derive(Clone, Debug, Default)]
pub struct StreamTrigger {
    /// ARN of the stream.
    pub stream_arn: String,
    /// It begins with what the stream holds, not with what comes.
    pub from_start: bool,
    /// Most records of one call.
    pub batch_size: usize,
    /// How long to collect a batch.
    pub window: Duration,
    /// The function reports the first record that failed.
    pub report_failures: bool,
    /// A batch that failed is halved.
    pub bisect: bool,
    /// Most repetitions of a batch; without end if there is none.
    pub repetitions: Option<u32>,
    /// Older records are given up.
    pub oldest: Option<Duration>,
    /// ARN of the queue that is told of what is given up.
    pub dead_letters: Option<String>,
    /// A record reaches the function if one of these matches; all do if there is none.
    pub filters: Vec<Value>,
}

/// Reads an event; nothing if it is switched off.
pub fn trigger(properties: &Value) -> Result<Option<StreamTrigger>> {
    if properties["Enabled"] == false {
        return Ok(None);
    }
    number(properties, "ParallelizationFactor", 1..=10)?;
    let from_start = match properties["StartingPosition"].as_str() {
        Some("TRIM_HORIZON") => true,
        Some("LATEST") => false,
        _ => bail!("StartingPosition is TRIM_HORIZON or LATEST"),
    };
    let failures = properties["FunctionResponseTypes"].as_array();
    let size = number(properties, "BatchSize", 1..=10_000)?.unwrap_or(100);
    Ok(Some(StreamTrigger {
        stream_arn: properties["Stream"].as_str().context("it has no Stream")?.to_owned(),
        from_start,
        batch_size: usize::try_from(size)?,
        window: Duration::from_secs(
            number(properties, "MaximumBatchingWindowInSeconds", 0..=300)?.unwrap_or(0),
        ),
        report_failures: failures
            .is_some_and(|types| types.iter().any(|kind| kind == "ReportBatchItemFailures")),
        bisect: properties["BisectBatchOnFunctionError"] == true,
        repetitions: number(properties, "MaximumRetryAttempts", 0..=10_000)?
            .map(u32::try_from)
            .transpose()?,
        oldest: number(properties, "MaximumRecordAgeInSeconds", 60..=604_800)?.map(Duration::from_secs),
        dead_letters: destination(properties)?,
        filters: filters(properties)?,
    }))
}

/// A number within its bounds; -1 means without a bound, as if it were left out.
fn number(properties: &Value, key: &str, bounds: RangeInclusive<u64>) -> Result<Option<u64>> {
    match properties.get(key) {
        None => Ok(None),
        Some(value) if value == -1 && key.starts_with("MaximumRe") => Ok(None),
        Some(value) => match value.as_u64().filter(|number| bounds.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => bail!("{key} must be between {} and {}", bounds.start(), bounds.end()),
        },
    }
}

fn destination(properties: &Value) -> Result<Option<String>> {
    let Some(config) = properties.get("DestinationConfig") else { return Ok(None) };
    match config["OnFailure"]["Destination"].as_str() {
        Some(queue) if queue.starts_with("arn:aws:sqs:") => Ok(Some(queue.to_owned())),
        _ => bail!("DestinationConfig takes the ARN of a queue as OnFailure.Destination"),
    }
}

/// Patterns of nested objects whose leaves are lists of plain values: what is written of EventBridge's language.
fn filters(properties: &Value) -> Result<Vec<Value>> {
    let mut patterns = Vec::new();
    for filter in properties["FilterCriteria"]["Filters"].as_array().into_iter().flatten() {
        let text = filter["Pattern"].as_str().context("a filter has no Pattern")?;
        let pattern: Value = serde_json::from_str(text).context("the Pattern of a filter is not JSON")?;
        if !is_plain(&pattern) {
            bail!("the local stack understands patterns of plain values alone: {text}");
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}

fn is_plain(pattern: &Value) -> bool {
    match pattern {
        Value::Object(parts) => parts.values().all(is_plain),
        Value::Array(values) => values.iter().all(|value| !value.is_object() && !value.is_array()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::trigger;
    use serde_json::{Value, json};

    fn with(key: &str, value: Value) -> Value {
        let mut properties = json!({ "Stream": "arn:aws:dynamodb:x", "StartingPosition": "LATEST" });
        properties[key] = value;
        properties
    }

    #[test]
    fn defaults_are_lambdas() {
        let read = trigger(&with("MaximumRetryAttempts", json!(-1))).unwrap().unwrap();
        assert!(!read.from_start && !read.bisect && !read.report_failures);
        assert_eq!((read.batch_size, read.repetitions, read.oldest), (100, None, None));
        assert!(trigger(&with("Enabled", json!(false))).unwrap().is_none());
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (key, value, expected) in [
            ("BatchSize", json!(0), "BatchSize must be between 1 and 10000"),
            ("BatchSize", json!(-1), "BatchSize must be between 1 and 10000"),
            (
                "MaximumRecordAgeInSeconds",
                json!(59),
                "MaximumRecordAgeInSeconds must be between 60 and 604800",
            ),
            ("StartingPosition", json!("AT_TIMESTAMP"), "StartingPosition is TRIM_HORIZON or LATEST"),
            (
                "DestinationConfig",
                json!({ "OnFailure": { "Destination": "arn:aws:sns:x" } }),
                "DestinationConfig takes the ARN of a queue as OnFailure.Destination",
            ),
            (
                "FilterCriteria",
                json!({ "Filters": [{ "Pattern": "{\"eventName\":[{\"prefix\":\"I\"}]}" }] }),
                "the local stack understands patterns of plain values alone: {\"eventName\":[{\"prefix\":\"I\"}]}",
            ),
        ] {
            assert_eq!(trigger(&with(key, value)).unwrap_err().to_string(), expected);
        }
    }
}
