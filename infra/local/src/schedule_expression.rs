//! Schedule expressions, parsed as strictly as AWS does it, because no tool checks them before the deployment. The local
//! stack supports `at(...)` and `rate(...)`, but not `cron(...)`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ScheduleExpression {
    /// Once, at this local time.
    At(DateTime),
    /// Repeatedly, at this interval.
    Rate(SignedDuration),
}

impl ScheduleExpression {
    /// The error states what is invalid.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = |reason: &str| format!("Invalid Schedule Expression {text}: {reason}.");
        let unknown = "it must be at(...) or rate(...)";
        let (kind, rest) = text.split_once('(').ok_or_else(|| invalid(unknown))?;
        let inner = rest.strip_suffix(')').ok_or_else(|| invalid("the closing parenthesis is missing"))?;
        match kind {
            "at" => {
                let complete = inner.len() == 19 && inner.as_bytes()[10] == b'T';
                let time = inner.parse::<DateTime>().ok().filter(|_| complete);
                time.map(Self::At).ok_or_else(|| invalid("at() takes yyyy-mm-ddThh:mm:ss"))
            }
            "rate" => rate(inner).map(Self::Rate).map_err(invalid),
            "cron" => Err(invalid("cron() is not supported by the local stack; use rate() or at()")),
            _ => Err(invalid(unknown)),
        }
    }

    /// The first time after `after`. A rate counts from `origin`.
    #[must_use]
    pub fn next(&self, after: Timestamp, origin: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::At(time) => {
                zone.to_zoned(*time).ok().map(|zoned| zoned.timestamp()).filter(|at| *at > after)
            }
            Self::Rate(interval) => {
                let passed = after.duration_since(origin).as_secs();
                let intervals = if passed < 0 { 1 } else { passed / interval.as_secs() + 1 };
                origin.checked_add(SignedDuration::from_secs(intervals * interval.as_secs())).ok()
            }
        }
    }

    /// Whether it describes a single time.
    #[must_use]
    pub fn is_once(&self) -> bool {
        matches!(self, Self::At(_))
    }
}

fn rate(inner: &str) -> Result<SignedDuration, &'static str> {
    let (value, unit) = inner.split_once(' ').ok_or("rate() takes a number and a unit")?;
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let value: i64 =
        value.parse().ok().filter(|value| digits && *value > 0).ok_or("the number must be 1 or more")?;
    let (singular, seconds) = match unit.strip_suffix('s').unwrap_or(unit) {
        "minute" => ("minute", 60),
        "hour" => ("hour", 3600),
        "day" => ("day", 86_400),
        _ => return Err("the unit must be minutes, hours or days"),
    };
    if (value == 1) != (unit == singular) {
        return Err("the unit must be singular for 1 and plural for more");
    }
    value
        .checked_mul(seconds)
        .filter(|total| *total < 100 * 366 * 86_400)
        .map(SignedDuration::from_secs)
        .ok_or("the interval is too long")
}

#[cfg(test)]
mod tests {
    use super::ScheduleExpression;
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    fn next(expression: &str, after: &str) -> Option<String> {
        let after: Timestamp = after.parse().unwrap();
        ScheduleExpression::parse(expression)
            .unwrap()
            .next(after, after, &TimeZone::UTC)
            .map(|at| at.to_string())
    }

    #[test]
    fn an_expression_has_a_next_time() {
        let now = "2026-01-15T10:30:00Z";
        for (expression, expected) in [
            ("at(2026-01-15T10:30:01)", Some("2026-01-15T10:30:01Z")),
            ("at(2026-01-15T10:30:00)", None),
            ("rate(5 minutes)", Some("2026-01-15T10:35:00Z")),
            ("rate(1 day)", Some("2026-01-16T10:30:00Z")),
        ] {
            assert_eq!(next(expression, now).as_deref(), expected, "{expression}");
        }
    }

    #[test]
    fn invalid_expressions_are_rejected() {
        for bad in [
            "",
            "at()",
            "at(nonsense)",
            "at(2026-01-15)",
            "at(2026-13-01T00:00:00)",
            "at(2026-01-15T10:30:00Z)",
            "rate(5)",
            "rate(0 minutes)",
            "rate(1 minutes)",
            "rate(5 minute)",
            "rate(-5 minutes)",
            "rate(5 weeks)",
            "cron(0 8 * * * *)",
            "every(5 minutes)",
            "rate(5 minutes",
        ] {
            assert!(ScheduleExpression::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cron_is_rejected_as_unsupported() {
        let error = ScheduleExpression::parse("cron(0 8 * * ? *)").unwrap_err();
        let reason = "cron() is not supported by the local stack; use rate() or at()";
        assert_eq!(error, format!("Invalid Schedule Expression cron(0 8 * * ? *): {reason}."));
    }

    #[test]
    fn a_rate_keeps_its_origin_after_a_long_pause() {
        let rate = ScheduleExpression::parse("rate(10 minutes)").unwrap();
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let late: Timestamp = "2026-01-03T00:07:00Z".parse().unwrap();
        let next = rate.next(late, start, &TimeZone::UTC).unwrap();
        assert_eq!(next.to_string(), "2026-01-03T00:10:00Z");
    }
}
