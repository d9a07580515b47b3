//! Events of type `DynamoDB`: functions called by the stream of a table.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Where in a stream a function begins.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum StartingPosition {
    /// With the oldest record.
    #[default]
    TrimHorizon,
    /// With the next record.
    Latest,
}

#[derive(Clone, Debug, Default)]
pub struct StreamTrigger {
    pub stream_arn: String,
    pub starting_position: StartingPosition,
    /// Maximum number of records per invocation.
    pub batch_size: usize,
    /// How long to wait for a full batch.
    pub window: Duration,
    /// `ReportBatchItemFailures`.
    pub report_failures: bool,
    /// A failed batch is split in half.
    pub bisect: bool,
    /// Maximum number of retries of a batch; `None` is unlimited.
    pub max_retries: Option<u32>,
    /// Older records are discarded.
    pub max_record_age: Option<Duration>,
    /// ARN of the queue to which discarded records are reported.
    pub dead_letter_queue: Option<String>,
    /// Records that match one of the filters are delivered; without filters, all are.
    pub filters: Vec<Value>,
}

/// Reads an event; `None` if it is disabled.
pub fn parse(properties: &Value) -> Result<Option<StreamTrigger>> {
    if properties["Enabled"] == false {
        return Ok(None);
    }
    number(properties, "ParallelizationFactor", 1..=10)?;
    let starting_position = match properties["StartingPosition"].as_str() {
        Some("TRIM_HORIZON") => StartingPosition::TrimHorizon,
        Some("LATEST") => StartingPosition::Latest,
        _ => bail!("StartingPosition must be TRIM_HORIZON or LATEST"),
    };
    let failures = properties["FunctionResponseTypes"].as_array();
    let size = number(properties, "BatchSize", 1..=10_000)?.unwrap_or(100);
    Ok(Some(StreamTrigger {
        stream_arn: properties["Stream"].as_str().context("Stream is required")?.to_owned(),
        starting_position,
        batch_size: usize::try_from(size)?,
        window: Duration::from_secs(
            number(properties, "MaximumBatchingWindowInSeconds", 0..=300)?.unwrap_or(0),
        ),
        report_failures: failures
            .is_some_and(|types| types.iter().any(|kind| kind == "ReportBatchItemFailures")),
        bisect: properties["BisectBatchOnFunctionError"] == true,
        max_retries: number(properties, "MaximumRetryAttempts", 0..=10_000)?
            .map(u32::try_from)
            .transpose()?,
        max_record_age: number(properties, "MaximumRecordAgeInSeconds", 60..=604_800)?
            .map(Duration::from_secs),
        dead_letter_queue: destination(properties)?,
        filters: filters(properties)?,
    }))
}

/// A number within its limits. -1 means unlimited, as if the property was missing.
fn number(properties: &Value, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>> {
    match properties.get(key) {
        None => Ok(None),
        Some(value) if value == -1 && key.starts_with("MaximumRe") => Ok(None),
        Some(value) => match value.as_u64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => bail!("{key} must be between {} and {}", range.start(), range.end()),
        },
    }
}

fn destination(properties: &Value) -> Result<Option<String>> {
    let Some(config) = properties.get("DestinationConfig") else { return Ok(None) };
    match config["OnFailure"]["Destination"].as_str() {
        Some(queue) if queue.starts_with("arn:aws:sqs:") => Ok(Some(queue.to_owned())),
        _ => bail!("OnFailure.Destination of DestinationConfig must be the ARN of a queue"),
    }
}

/// Filter patterns. Of EventBridge's syntax, nested objects with lists of plain values are supported.
fn filters(properties: &Value) -> Result<Vec<Value>> {
    let mut patterns = Vec::new();
    for filter in properties["FilterCriteria"]["Filters"].as_array().into_iter().flatten() {
        let text = filter["Pattern"].as_str().context("Pattern of a filter is required")?;
        let pattern: Value = serde_json::from_str(text).context("Pattern of a filter is not JSON")?;
        if !is_plain(&pattern) {
            bail!("the local stack supports filter patterns of plain values only: {text}");
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
    use super::{StartingPosition, parse};
    use serde_json::{Value, json};

    fn with(key: &str, value: Value) -> Value {
        let mut properties = json!({ "Stream": "arn:aws:dynamodb:x", "StartingPosition": "LATEST" });
        properties[key] = value;
        properties
    }

    #[test]
    fn defaults_are_those_of_lambda() {
        let read = parse(&with("MaximumRetryAttempts", json!(-1))).unwrap().unwrap();
        assert_eq!(read.starting_position, StartingPosition::Latest);
        assert!(!read.bisect && !read.report_failures);
        assert_eq!((read.batch_size, read.max_retries, read.max_record_age), (100, None, None));
        assert!(parse(&with("Enabled", json!(false))).unwrap().is_none());
    }

    #[test]
    fn unsupported_values_are_errors() {
        for (key, value, expected) in [
            ("BatchSize", json!(0), "BatchSize must be between 1 and 10000"),
            ("BatchSize", json!(-1), "BatchSize must be between 1 and 10000"),
            (
                "MaximumRecordAgeInSeconds",
                json!(59),
                "MaximumRecordAgeInSeconds must be between 60 and 604800",
            ),
            ("StartingPosition", json!("AT_TIMESTAMP"), "StartingPosition must be TRIM_HORIZON or LATEST"),
            (
                "DestinationConfig",
                json!({ "OnFailure": { "Destination": "arn:aws:sns:x" } }),
                "OnFailure.Destination of DestinationConfig must be the ARN of a queue",
            ),
            (
                "FilterCriteria",
                json!({ "Filters": [{ "Pattern": "{\"eventName\":[{\"prefix\":\"I\"}]}" }] }),
                "the local stack supports filter patterns of plain values only: {\"eventName\":[{\"prefix\":\"I\"}]}",
            ),
        ] {
            assert_eq!(parse(&with(key, value)).unwrap_err().to_string(), expected);
        }
    }
}
