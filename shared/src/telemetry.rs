//! Logs and metrics: JSON lines on standard output, with fields. A line reads alone. Tokens, codes, numbers, texts and
//! bodies are never in one: what is logged is named field by field, nothing is dumped.
//!
//! A metric is a line too, in CloudWatch's embedded metric format: it costs no call, and CloudWatch reads it out of the
//! log.

use std::io::Write;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing_subscriber::EnvFilter;

use crate::gateway::Gateway;

/// Starts logging at a level: `error`, `warn`, `info`, `debug` or `trace`. Our libraries' own lines begin at `warn`.
pub fn init(level: &str) {
    let filter = EnvFilter::new(format!("warn,shared={level},ringbridge_ringcentral={level}"));
    let lines =
        tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_current_span(false);
    // A second call (in tests) leaves the first one's in place.
    let _ = lines.try_init();
}

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Time.
    Seconds,
}

/// A metric: its name in CloudWatch, what it counts, and how much.
pub type Metric = (&'static str, Unit, f64);

/// Writes metrics down. Of none, nothing is written.
pub fn metrics(gateway: &Gateway, metrics: &[Metric]) {
    if metrics.is_empty() {
        return;
    }
    let line = line(&gateway.config.metrics_namespace, gateway.clock.now(), metrics);
    // A log that can't be written to is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line of the embedded metric format: what the metrics are under `_aws`, their values beside it.
fn line(namespace: &str, now: Timestamp, metrics: &[Metric]) -> Value {
    let of = |(name, unit, _): &Metric| {
        let unit = match unit {
            Unit::Count => "Count",
            Unit::Seconds => "Seconds",
        };
        json!({ "Name": name, "Unit": unit })
    };
    let mut line: Map<String, Value> =
        metrics.iter().map(|(name, _, value)| ((*name).to_owned(), json!(value))).collect();
    let described: Vec<Value> = metrics.iter().map(of).collect();
    let directive = json!({ "Namespace": namespace, "Dimensions": [[]], "Metrics": described });
    let about = json!({ "Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive] });
    line.insert("_aws".to_owned(), about);
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_of_the_embedded_metric_format() {
        let now = Timestamp::from_millisecond(1_767_225_600_123).unwrap();
        let metrics = [("Refreshes", Unit::Count, 3.0), ("OldestIntentAge", Unit::Seconds, 0.5)];
        let text = line("ringbridge", now, &metrics).to_string();
        assert!(!text.contains('\n'));
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["_aws"]["Timestamp"], 1_767_225_600_123_i64);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "ringbridge");
        assert!(directive["Dimensions"].as_array().unwrap().iter().all(Value::is_array));
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(
                line[metric["Name"].as_str().unwrap()].is_number(),
                "each metric has its value beside it"
            );
            assert!(["Count", "Seconds"].contains(&metric["Unit"].as_str().unwrap()));
        }
    }
}
