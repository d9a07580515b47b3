//! The state of an alarm, from the metrics of its last periods.

use super::expression::PeriodValues;
use super::metrics::Metrics;
use crate::template::{AlarmResource, AlarmSeries, Comparison, MissingData};
use jiff::Timestamp;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AlarmValue {
    Ok,
    Alarm,
    #[default]
    InsufficientData,
}

impl AlarmValue {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct AlarmState {
    value: AlarmValue,
    since: Option<Timestamp>,
    reason: String,
}

impl AlarmState {
    /// `None` keeps the state.
    pub fn update(&mut self, value: Option<AlarmValue>, reason: String, now: Timestamp) {
        let value = value.unwrap_or(self.value);
        if value != self.value || self.since.is_none() {
            self.since = Some(now);
        }
        (self.value, self.reason) = (value, reason);
    }

    #[must_use]
    pub fn describe(&self, name: &str) -> Value {
        json!({ "name": name, "state": self.value.as_str(), "since": self.since, "reason": self.reason })
    }
}

/// The state that an alarm has by the periods before a minute, and why. `None` keeps the state.
pub fn evaluate(alarm: &AlarmResource, metrics: &Metrics, minute: i64) -> (Option<AlarmValue>, String) {
    let periods = metrics.periods(alarm.period_minutes, minute, alarm.evaluation_periods);
    let values: Vec<Option<f64>> = periods.iter().map(|period| value(alarm, metrics, *period)).collect();
    let known = values.iter().flatten().count();
    let breaching = values.iter().filter(|value| match value {
        Some(value) => alarm.comparison.holds(*value, alarm.threshold),
        None => alarm.missing_data == MissingData::Breaching,
    });
    let breaching = breaching.count();
    let shown: Vec<String> = values
        .iter()
        .map(|value| value.map_or_else(|| "none".to_owned(), |value| value.to_string()))
        .collect();
    let reason = format!(
        "{breaching} of the last {} datapoints were {} {} (latest first: {})",
        values.len(),
        alarm.comparison.as_str(),
        alarm.threshold,
        shown.join(", "),
    );
    let state = if breaching >= alarm.datapoints_to_alarm {
        Some(AlarmValue::Alarm)
    } else if values.is_empty() {
        Some(AlarmValue::InsufficientData)
    } else if known > 0 {
        Some(AlarmValue::Ok)
    } else {
        match alarm.missing_data {
            MissingData::Missing => Some(AlarmValue::InsufficientData),
            MissingData::Ignore => None,
            MissingData::Breaching | MissingData::NotBreaching => Some(AlarmValue::Ok),
        }
    };
    (state, reason)
}

/// The value of an alarm in a period.
fn value(alarm: &AlarmResource, metrics: &Metrics, period: i64) -> Option<f64> {
    let mut of_metrics = PeriodValues::new();
    for (id, series) in &alarm.series {
        if let AlarmSeries::Metric(key, statistic) = series {
            let value = metrics.statistic(key, statistic, alarm.period_minutes, period);
            of_metrics.insert(id.clone(), value);
        }
    }
    let mut values = of_metrics.clone();
    // An expression may use one that comes after it.
    for _ in 0..alarm.series.len() {
        for (id, series) in &alarm.series {
            if let AlarmSeries::Expression(expression) = series {
                let value = expression.evaluate(&of_metrics, &values);
                values.insert(id.clone(), value);
            }
        }
    }
    values.get(&alarm.returned).copied().flatten()
}

impl Comparison {
    fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::AtLeast => value >= threshold,
            Self::Greater => value > threshold,
            Self::Less => value < threshold,
            Self::AtMost => value <= threshold,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::AtLeast => "at least",
            Self::Greater => "greater than",
            Self::Less => "less than",
            Self::AtMost => "at most",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AlarmValue, evaluate};
    use crate::aws::cloudwatch::metrics::{MetricKey, Metrics};
    use crate::template::AlarmResource;
    use serde_json::json;

    fn alarm(missing: &str) -> AlarmResource {
        AlarmResource::parse(
            "a",
            &json!({
                "Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 5,
                "DatapointsToAlarm": 2, "Threshold": 1, "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                "TreatMissingData": missing,
            }),
        )
        .unwrap()
    }

    fn state(missing: &str, minutes: &[Option<f64>]) -> Option<AlarmValue> {
        let mut metrics = Metrics::default();
        for (minute, value) in (0..).zip(minutes) {
            metrics.see(minute);
            if let Some(value) = value {
                metrics.add(MetricKey::new("n", "m", &[]), minute, *value);
            }
        }
        let minute = i64::try_from(minutes.len()).unwrap();
        evaluate(&alarm(missing), &metrics, minute).0
    }

    #[test]
    fn two_of_five_datapoints_make_the_alarm() {
        let (bad, good) = (Some(1.0), Some(0.0));
        assert_eq!(state("notBreaching", &[]), Some(AlarmValue::InsufficientData));
        assert_eq!(state("notBreaching", &[bad]), Some(AlarmValue::Ok));
        assert_eq!(state("notBreaching", &[bad, None, None, None, bad]), Some(AlarmValue::Alarm));
        assert_eq!(state("notBreaching", &[bad, good, good, good, good, bad]), Some(AlarmValue::Ok));
    }

    #[test]
    fn missing_data_counts_as_the_alarm_says() {
        assert_eq!(state("breaching", &[None, None]), Some(AlarmValue::Alarm));
        assert_eq!(state("breaching", &[None, Some(0.0)]), Some(AlarmValue::Ok));
        assert_eq!(state("notBreaching", &[None, None]), Some(AlarmValue::Ok));
        assert_eq!(state("missing", &[None, None]), Some(AlarmValue::InsufficientData));
        assert_eq!(state("ignore", &[None, None]), None);
    }

    /// The period that has not ended is not evaluated.
    #[test]
    fn only_complete_periods_count() {
        let mut metrics = Metrics::default();
        for minute in [1, 2] {
            metrics.add(MetricKey::new("n", "m", &[]), minute, 1.0);
        }
        assert_eq!(evaluate(&alarm("notBreaching"), &metrics, 2).0, Some(AlarmValue::Ok));
        assert_eq!(evaluate(&alarm("notBreaching"), &metrics, 3).0, Some(AlarmValue::Alarm));
    }
}
