//! Logs and metrics, as JSON lines on standard output. Each line can be read on its own. Lines contain named fields only, and
//! never tokens, codes, phone numbers, message texts or bodies.
//!
//! Metrics are log lines in CloudWatch's embedded metric format, which cost no AWS call.

use std::fmt;
use std::io::Write;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt;

use crate::gateway::Gateway;
use crate::keepalive::ConnectionHealth;
use crate::limits;

/// Starts logging at a level: `error`, `warn`, `info`, `debug` or `trace`. Libraries log from `warn` on.
pub fn init(level: &str) {
    let level = level.parse().unwrap_or(LevelFilter::INFO);
    let filter = Targets::new().with_default(LevelFilter::WARN).with_target("shared", level);
    let lines = tracing_subscriber::fmt::layer().fmt_fields(JsonFields::new()).event_format(FlatJson);
    // A second call (in tests) leaves the first subscriber in place.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

/// Formats an event as one JSON object: time, level, the fields of the spans around it, and its own fields, all on one
/// level. The crate's own format nests the fields of spans, which makes them awkward to search for.
struct FlatJson;

impl<S, N> FormatEvent<S, N> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), time.into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), metadata.target().into());
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>();
            let fields = fields.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
            line.extend(fields.into_iter().flatten());
        }
        event.record(&mut EventFields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct EventFields<'a>(&'a mut Map<String, Value>);

impl EventFields<'_> {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for EventFields<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Count,
    Seconds,
}

/// A metric: its name in CloudWatch, its unit and its value.
pub type Metric = (&'static str, Unit, f64);

/// Writes metrics to the log, in one line.
pub fn metrics(gateway: &Gateway, metrics: &[Metric]) {
    if metrics.is_empty() {
        return;
    }
    let line = line(&gateway.config.metrics_namespace, gateway.clock.now(), metrics);
    // A failure to write a metric must not fail the function.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line of the embedded metric format: the metrics' definitions under `_aws`, their values beside it.
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

/// Writes the state of all connections: a line with every value, an alarm for tokens at risk, and metrics of what is not zero,
/// because CloudWatch charges for each metric that has values.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn connection_health(gateway: &Gateway, health: &ConnectionHealth) {
    let ConnectionHealth { connections, failing, overdue, subscriptions_down, .. } = *health;
    let (intent, life) = (health.oldest_intent.as_secs(), health.shortest_refresh_lifetime);
    tracing::info!(
        connections,
        failing,
        overdue,
        subscriptions.down = subscriptions_down,
        intent.oldest_seconds = intent,
        refresh_token.shortest_seconds = life.map(|life| life.as_secs()),
        "connections measured"
    );
    if life.is_some_and(|life| life.as_secs() < limits::REFRESH_LIFE_ALARM_SECONDS) {
        tracing::warn!(alarm = "tokens", "a refresh token expires soon and was not refreshed");
    }
    if intent > limits::INTENT_ALARM_SECONDS {
        tracing::warn!(alarm = "tokens", "the outcome of a token refresh has been unknown for long");
    }
    let values = [
        ("ConnectionsFailing", failing as f64),
        ("RefreshesOverdue", overdue as f64),
        ("SubscriptionsNotActive", subscriptions_down as f64),
    ];
    let values = values.into_iter().filter(|(_, value)| *value > 0.0);
    metrics(gateway, &values.map(|(name, value)| (name, Unit::Count, value)).collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_carries_the_fields_of_the_spans_around_it() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(JsonFields::new())
            .event_format(FlatJson)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let outer =
                tracing::error_span!("request", request.id = "r-1", tenant.id = tracing::field::Empty);
            let _entered = outer.enter();
            outer.record("tenant.id", tracing::field::display("tenant_1"));
            let _inner = tracing::error_span!("record", message.id = "msg_1").entered();
            tracing::warn!(status = 500, error = "refused \"twice\"\n", "delivery failed");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1);
        let line: Value = serde_json::from_str(&text).unwrap();
        let fields = json!({
            "request.id": "r-1", "tenant.id": "tenant_1", "message.id": "msg_1", "level": "WARN", "status": 500,
            "error": "refused \"twice\"\n", "message": "delivery failed", "target": line["target"],
            "timestamp": line["timestamp"],
        });
        assert_eq!(line, fields);
    }

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
