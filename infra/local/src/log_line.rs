//! Formats a function's log line for the terminal: time, function, level, text, status and milliseconds.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

/// Fields that have a column, or that help a machine only.
const OMITTED: [&str; 7] = ["timestamp", "level", "message", "status", "duration_ms", "target", "spans"];

/// One line for people; nothing for a line of metrics. `received` is the time of a line that states none.
#[must_use]
pub fn format(function: &str, line: &str, received: Timestamp, zone: &TimeZone) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
        return Some(columns(function, received, zone, "", line));
    };
    // CloudWatch's embedded metric format.
    if fields.contains_key("_aws") {
        return None;
    }
    let logged = text(&fields, "timestamp").and_then(|time| time.parse().ok());
    let level = text(&fields, "level").unwrap_or_default();
    let mut message = text(&fields, "message").unwrap_or(line).to_owned();
    if let Some(status) = fields.get("status") {
        message.push_str(&format!("  {status}"));
    }
    if let Some(milliseconds) = fields.get("duration_ms") {
        message.push_str(&format!("  {milliseconds} ms"));
    }
    if is_problem(level) {
        for (name, value) in fields.iter().filter(|(name, _)| !OMITTED.contains(&name.as_str())) {
            message.push_str(&format!("  {name}={}", plain(value)));
        }
    }
    Some(columns(function, logged.unwrap_or(received), zone, level, &message))
}

/// Whether a line reports a problem. A line that is not JSON does: it comes from a panic or a crash.
#[must_use]
pub fn reports_problem(line: &str) -> bool {
    match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => is_problem(text(&fields, "level").unwrap_or_default()),
        _ => true,
    }
}

fn is_problem(level: &str) -> bool {
    ["WARN", "ERROR"].contains(&level)
}

fn columns(function: &str, time: Timestamp, zone: &TimeZone, level: &str, message: &str) -> String {
    let time = time.to_zoned(zone.clone()).strftime("%H:%M:%S");
    format!("{time}  {function:<22} {level:<5}  {message}")
}

fn text<'fields>(fields: &'fields Map<String, Value>, name: &str) -> Option<&'fields str> {
    fields.get(name).and_then(Value::as_str)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{format, reports_problem};
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    fn formatted(line: &str) -> Option<String> {
        let received: Timestamp = "2026-01-15T10:30:00Z".parse().unwrap();
        format("send-sms", line, received, &TimeZone::UTC)
    }

    #[test]
    fn a_log_line_becomes_time_function_level_text_status_and_milliseconds() {
        let line = r#"{"timestamp":"2026-01-15T09:08:07.123Z","level":"INFO","message":"request completed",
            "request.id":"r1","route":"POST /v1/sms/send","status":202,"duration_ms":23,"target":"shared::http"}"#;
        let expected = "09:08:07  send-sms               INFO   request completed  202  23 ms";
        assert_eq!(formatted(line).as_deref(), Some(expected));
    }

    #[test]
    fn a_problem_is_shown_with_its_fields() {
        let line = r#"{"timestamp":"2026-01-15T09:08:07Z","level":"WARN","message":"token refresh failed",
            "error":"timed out","attempt":2,"target":"shared::tokens"}"#;
        let expected =
            "09:08:07  send-sms               WARN   token refresh failed  attempt=2  error=timed out";
        assert_eq!(formatted(line).as_deref(), Some(expected));
        assert!(reports_problem(line));
    }

    #[test]
    fn a_line_that_is_not_json_is_shown_as_it_is() {
        let line = "thread 'main' panicked at src/main.rs:5";
        let expected = format!("10:30:00  send-sms                      {line}");
        assert_eq!(formatted(line), Some(expected));
        assert!(reports_problem(line));
    }

    #[test]
    fn metrics_are_not_shown() {
        assert_eq!(formatted(r#"{"Refreshes":3,"_aws":{"Timestamp":1}}"#), None);
    }
}
