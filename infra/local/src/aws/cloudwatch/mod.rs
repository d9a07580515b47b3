//! CloudWatch metrics and alarms by the stack's clock: what functions write in the embedded metric format, what the metric filters
//! of the template find in their logs, and the metrics of Lambda, SQS and API Gateway that its alarms use.
//!
//! An alarm is evaluated whenever a minute of the stack's clock has ended, over complete periods. Periods that were skipped by
//! moving the clock are not evaluated: they would seem to be without data.

mod evaluation;
pub mod expression;
pub mod filter;
pub mod metrics;

use crate::clock::StackClock;
use crate::template::{AlarmResource, MetricFilterResource};
use evaluation::AlarmState;
use jiff::Timestamp;
use metrics::{MetricKey, Metrics};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct State {
    metrics: Metrics,
    alarms: BTreeMap<String, AlarmState>,
}

/// Clones share the values.
#[derive(Clone)]
pub struct CloudWatch {
    clock: StackClock,
    alarms: Arc<Vec<AlarmResource>>,
    filters: Arc<Vec<MetricFilterResource>>,
    state: Arc<Mutex<State>>,
}

/// The namespace of Lambda's metrics.
const LAMBDA: &str = "AWS/Lambda";

impl CloudWatch {
    #[must_use]
    pub fn new(alarms: Vec<AlarmResource>, filters: Vec<MetricFilterResource>, clock: StackClock) -> Self {
        Self { clock, alarms: alarms.into(), filters: filters.into(), state: Arc::default() }
    }

    /// Reads a line of a function's log.
    pub fn log_line(&self, line: &str) {
        let is_metric = line.contains("\"CloudWatchMetrics\"");
        let filters = || self.filters.iter().filter(|filter| filter.pattern.may_match(line));
        if !is_metric && filters().next().is_none() {
            return;
        }
        let Ok(document) = serde_json::from_str::<Value>(line) else { return };
        let minute = minute(self.clock.now());
        let mut state = self.lock();
        for filter in filters().filter(|filter| filter.pattern.matches(&document)) {
            state.metrics.add(filter.metric.clone(), minute, filter.value);
        }
        if is_metric {
            add_embedded_metrics(&mut state.metrics, &document, minute);
        }
    }

    /// Records how an invocation ended. `status` is that of Lambda's report.
    pub fn invocation(&self, function: &str, status: &str) {
        let failed = if status == "success" { 0.0 } else { 1.0 };
        self.lambda(function, "Invocations", 1.0);
        self.lambda(function, "Errors", failed);
        if failed > 0.0 {
            // Lambda writes it into the function's log.
            let report = json!({ "type": "platform.report", "record": { "status": status } });
            self.log_line(&report.to_string());
        }
    }

    pub fn throttle(&self, function: &str) {
        self.lambda(function, "Throttles", 1.0);
    }

    /// Records the age of the last record of a batch of a stream, when the function gets it.
    pub fn iterator_age(&self, function: &str, milliseconds: f64) {
        self.lambda(function, "IteratorAge", milliseconds);
    }

    /// Of the function, and of all functions of the account.
    fn lambda(&self, function: &str, name: &str, value: f64) {
        self.add(MetricKey::new(LAMBDA, name, &[("FunctionName", function)]), value);
        self.add(MetricKey::new(LAMBDA, name, &[]), value);
    }

    pub fn api_response(&self, api: &str, status: u16, milliseconds: f64) {
        let add = |name: &str, value: f64| {
            self.add(MetricKey::new("AWS/ApiGateway", name, &[("ApiId", api)]), value);
        };
        add("Count", 1.0);
        add("4xx", if (400..500).contains(&status) { 1.0 } else { 0.0 });
        add("5xx", if status >= 500 { 1.0 } else { 0.0 });
        add("Latency", milliseconds);
    }

    pub fn queue(&self, name: &str, visible: f64, oldest_seconds: f64) {
        let dimensions = [("QueueName", name)];
        self.add(MetricKey::new("AWS/SQS", "ApproximateNumberOfMessagesVisible", &dimensions), visible);
        self.add(MetricKey::new("AWS/SQS", "ApproximateAgeOfOldestMessage", &dimensions), oldest_seconds);
    }

    fn add(&self, key: MetricKey, value: f64) {
        let minute = minute(self.clock.now());
        self.lock().metrics.add(key, minute, value);
    }

    /// Notes the time, and evaluates the alarms.
    pub fn evaluate(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        let State { metrics, alarms } = &mut *state;
        metrics.see(minute(now));
        for alarm in self.alarms.iter() {
            let (next, reason) = evaluation::evaluate(alarm, metrics, minute(now));
            alarms.entry(alarm.name.clone()).or_default().update(next, reason, now);
        }
    }

    /// `{alarms: [{name, state, since, reason}]}`.
    #[must_use]
    pub fn overview(&self) -> Value {
        self.evaluate();
        let state = self.lock();
        let alarms = self.alarms.iter().filter_map(|alarm| Some((alarm, state.alarms.get(&alarm.name)?)));
        let alarms: Vec<Value> = alarms.map(|(alarm, state)| state.describe(&alarm.name)).collect();
        json!({ "alarms": alarms })
    }

    /// `{metrics: [{namespace, name, dimensions, count}]}`.
    #[must_use]
    pub fn metrics(&self) -> Value {
        let state = self.lock();
        let metrics = state.metrics.counts().map(|(key, count)| {
            json!({ "namespace": key.namespace, "name": key.name, "dimensions": key.dimensions, "count": count })
        });
        json!({ "metrics": metrics.collect::<Vec<_>>() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the minute of a time.
fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

fn add_embedded_metrics(metrics: &mut Metrics, document: &Value, now: i64) {
    let at = document["_aws"]["Timestamp"].as_i64().and_then(|at| Timestamp::from_millisecond(at).ok());
    let minute = at.map_or(now, minute);
    for directive in document["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
        let namespace = directive["Namespace"].as_str().unwrap_or_default();
        for dimensions in directive["Dimensions"].as_array().into_iter().flatten() {
            let names = dimensions.as_array().into_iter().flatten().filter_map(Value::as_str);
            let dimensions: Vec<(&str, &str)> =
                names.map(|name| (name, document[name].as_str().unwrap_or_default())).collect();
            for metric in directive["Metrics"].as_array().into_iter().flatten() {
                let name = metric["Name"].as_str().unwrap_or_default();
                if let Some(value) = document[name].as_f64() {
                    metrics.add(MetricKey::new(namespace, name, &dimensions), minute, value);
                }
            }
        }
    }
}
