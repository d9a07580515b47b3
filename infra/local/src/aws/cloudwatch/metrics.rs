//! The values of metrics by minute.

use std::collections::{BTreeMap, BTreeSet};

/// Values of a metric in a minute that percentiles are computed from.
const MAX_VALUES: usize = 1_000;
/// Minutes that are kept, of each metric and of the clock.
const MAX_MINUTES: usize = 3_000;

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct MetricKey {
    pub namespace: String,
    pub name: String,
    pub dimensions: BTreeMap<String, String>,
}

impl MetricKey {
    #[must_use]
    pub fn new(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Self {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { namespace: namespace.to_owned(), name: name.to_owned(), dimensions: dimensions.collect() }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Statistic {
    Sum,
    Maximum,
    Minimum,
    Average,
    SampleCount,
    Percentile(f64),
}

impl Statistic {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "Sum" => Self::Sum,
            "Maximum" => Self::Maximum,
            "Minimum" => Self::Minimum,
            "Average" => Self::Average,
            "SampleCount" => Self::SampleCount,
            other => Self::Percentile(other.strip_prefix('p')?.parse().ok()?),
        })
    }
}

#[derive(Clone, Debug, Default)]
pub struct Samples {
    count: u32,
    sum: f64,
    values: Vec<f64>,
    min: f64,
    max: f64,
}

impl Samples {
    fn add(&mut self, value: f64) {
        (self.min, self.max) = match self.count {
            0 => (value, value),
            _ => (self.min.min(value), self.max.max(value)),
        };
        self.count += 1;
        self.sum += value;
        if self.values.len() < MAX_VALUES {
            self.values.push(value);
        }
    }
}

#[derive(Debug, Default)]
pub struct Metrics {
    values: BTreeMap<MetricKey, BTreeMap<i64, Samples>>,
    /// Minutes in which the clock was. The others were skipped when it was moved.
    minutes: BTreeSet<i64>,
}

impl Metrics {
    pub fn add(&mut self, key: MetricKey, minute: i64, value: f64) {
        let minutes = self.values.entry(key).or_default();
        minutes.entry(minute).or_default().add(value);
        while minutes.len() > MAX_MINUTES {
            minutes.pop_first();
        }
        self.see(minute);
    }

    /// Records that the clock was in this minute. Returns whether it is a new one.
    pub fn see(&mut self, minute: i64) -> bool {
        let is_new = self.minutes.insert(minute);
        while self.minutes.len() > MAX_MINUTES {
            self.minutes.pop_first();
        }
        is_new
    }

    /// The numbers of the last complete periods in which the clock was, latest first.
    #[must_use]
    pub fn periods(&self, period_minutes: i64, before_minute: i64, most: usize) -> Vec<i64> {
        let current = before_minute.div_euclid(period_minutes);
        let mut periods: Vec<i64> = Vec::new();
        for minute in self.minutes.range(..before_minute).rev() {
            let period = minute.div_euclid(period_minutes);
            if period < current && periods.last() != Some(&period) {
                if periods.len() == most {
                    break;
                }
                periods.push(period);
            }
        }
        periods
    }

    /// A statistic of a metric in a period.
    #[must_use]
    pub fn statistic(
        &self,
        key: &MetricKey,
        statistic: &Statistic,
        period_minutes: i64,
        period: i64,
    ) -> Option<f64> {
        let first = period * period_minutes;
        let samples = self.values.get(key)?.range(first..first + period_minutes).map(|(_, samples)| samples);
        let samples: Vec<&Samples> = samples.collect();
        if samples.is_empty() {
            return None;
        }
        let sum: f64 = samples.iter().map(|samples| samples.sum).sum();
        let count = f64::from(samples.iter().map(|samples| samples.count).sum::<u32>());
        Some(match statistic {
            Statistic::Sum => sum,
            Statistic::Average => sum / count,
            Statistic::SampleCount => count,
            Statistic::Maximum => samples.iter().map(|samples| samples.max).fold(f64::MIN, f64::max),
            Statistic::Minimum => samples.iter().map(|samples| samples.min).fold(f64::MAX, f64::min),
            Statistic::Percentile(percent) => {
                let mut values: Vec<f64> =
                    samples.iter().flat_map(|samples| samples.values.iter().copied()).collect();
                values.sort_by(f64::total_cmp);
                let below = values.len().saturating_sub(1);
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rank below the number of values"
                )]
                let rank = (below as f64 * percent / 100.0).ceil() as usize;
                values[rank.min(below)]
            }
        })
    }

    /// Every metric with the number of its values.
    pub fn counts(&self) -> impl Iterator<Item = (&MetricKey, u32)> {
        self.values.iter().map(|(key, minutes)| (key, minutes.values().map(|samples| samples.count).sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::{MetricKey, Metrics, Statistic};

    #[test]
    fn statistics_are_of_a_period() {
        let mut metrics = Metrics::default();
        let key = MetricKey::new("n", "m", &[("a", "b")]);
        for (minute, value) in [(9, 100.0), (10, 1.0), (10, 3.0), (14, 8.0), (15, 100.0)] {
            metrics.add(key.clone(), minute, value);
        }
        let value = |name: &str| metrics.statistic(&key, &Statistic::parse(name).unwrap(), 5, 2).unwrap();
        let all = ["Sum", "Maximum", "Minimum", "Average", "SampleCount", "p50", "p99"].map(value);
        assert_eq!(all, [12.0, 8.0, 1.0, 4.0, 3.0, 3.0, 8.0]);
        assert_eq!(metrics.statistic(&key, &Statistic::Sum, 5, 4), None);
        assert_eq!(Statistic::parse("TM(10%:90%)"), None);
    }

    #[test]
    fn periods_that_the_clock_has_skipped_are_passed() {
        let mut metrics = Metrics::default();
        for minute in [3, 10, 11, 30] {
            metrics.see(minute);
        }
        assert_eq!(metrics.periods(1, 30, 10), [11, 10, 3]);
        assert_eq!(metrics.periods(1, 31, 2), [30, 11]);
        assert_eq!(metrics.periods(5, 31, 10), [2, 0]);
    }
}
