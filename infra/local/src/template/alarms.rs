//! Alarms and metric filters of the template.

use crate::aws::cloudwatch::expression::Expression;
use crate::aws::cloudwatch::filter::FilterPattern;
use crate::aws::cloudwatch::metrics::{MetricKey, Statistic};
use anyhow::{Context, Result, bail};
use serde_json::Value;

#[derive(Clone, Debug)]
pub struct AlarmResource {
    pub name: String,
    /// What the alarm computes with, by id.
    pub series: SeriesById,
    /// The id of the series that is compared.
    pub returned: String,
    pub period_minutes: i64,
    pub evaluation_periods: usize,
    pub datapoints_to_alarm: usize,
    pub threshold: f64,
    pub comparison: Comparison,
    pub missing_data: MissingData,
}

#[derive(Clone, Debug)]
pub enum AlarmSeries {
    Metric(MetricKey, Statistic),
    Expression(Expression),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Comparison {
    AtLeast,
    Greater,
    Less,
    AtMost,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MissingData {
    Missing,
    Ignore,
    Breaching,
    NotBreaching,
}

/// A metric filter of the functions' log.
#[derive(Clone, Debug)]
pub struct MetricFilterResource {
    pub pattern: FilterPattern,
    pub metric: MetricKey,
    pub value: f64,
}

impl AlarmResource {
    pub fn parse(name: &str, properties: &Value) -> Result<Self> {
        let (series, returned, period) = match properties["Metrics"].as_array() {
            Some(metrics) => of_metrics(metrics)?,
            None => {
                let series = AlarmSeries::Metric(metric_key(properties)?, statistic(properties)?);
                (vec![("m".to_owned(), series)], "m".to_owned(), number(properties, "Period")?)
            }
        };
        if period < 60.0 || period % 60.0 > 0.0 {
            bail!("the local stack supports periods of whole minutes only");
        }
        let evaluation_periods = count(properties, "EvaluationPeriods")?;
        Ok(Self {
            name: name.to_owned(),
            series,
            returned,
            #[expect(clippy::cast_possible_truncation, reason = "a whole number of minutes")]
            period_minutes: (period / 60.0) as i64,
            evaluation_periods,
            datapoints_to_alarm: match properties.get("DatapointsToAlarm") {
                Some(_) => count(properties, "DatapointsToAlarm")?,
                None => evaluation_periods,
            },
            threshold: number(properties, "Threshold")?,
            comparison: match properties["ComparisonOperator"].as_str().unwrap_or_default() {
                "GreaterThanOrEqualToThreshold" => Comparison::AtLeast,
                "GreaterThanThreshold" => Comparison::Greater,
                "LessThanThreshold" => Comparison::Less,
                "LessThanOrEqualToThreshold" => Comparison::AtMost,
                other => bail!("the local stack does not support the comparison {other}"),
            },
            missing_data: match properties["TreatMissingData"].as_str().unwrap_or("missing") {
                "missing" => MissingData::Missing,
                "ignore" => MissingData::Ignore,
                "breaching" => MissingData::Breaching,
                "notBreaching" => MissingData::NotBreaching,
                other => bail!("TreatMissingData: {other}"),
            },
        })
    }
}

type SeriesById = Vec<(String, AlarmSeries)>;

/// The series of `Metrics`, the id of the returned one, and the period.
fn of_metrics(metrics: &[Value]) -> Result<(SeriesById, String, f64)> {
    let (mut series, mut returned, mut period) = (Vec::new(), None, None);
    for metric in metrics {
        let id = metric["Id"].as_str().context("a metric has no Id")?.to_owned();
        if metric["ReturnData"] != false {
            returned = Some(id.clone());
        }
        series.push(match metric["Expression"].as_str() {
            Some(expression) => (id, AlarmSeries::Expression(Expression::parse(expression)?)),
            None => {
                let stat = &metric["MetricStat"];
                let of_metric = number(stat, "Period")?;
                if *period.get_or_insert(of_metric) != of_metric {
                    bail!("the local stack supports a single period for all metrics of an alarm");
                }
                (id, AlarmSeries::Metric(metric_key(&stat["Metric"])?, statistic(stat)?))
            }
        });
    }
    let returned = returned.context("no metric of the alarm has ReturnData")?;
    Ok((series, returned, period.context("the alarm has no metric")?))
}

/// The filters of a `AWS::Logs::MetricFilter`, one for each transformation.
pub fn metric_filters(properties: &Value) -> Result<Vec<MetricFilterResource>> {
    let pattern = properties["FilterPattern"].as_str().context("FilterPattern is required")?;
    let transformations = properties["MetricTransformations"].as_array().into_iter().flatten();
    let filters = transformations.map(|transformation| {
        let text = |key: &str| transformation[key].as_str().with_context(|| format!("{key} is required"));
        for key in ["DefaultValue", "Dimensions"] {
            if transformation.get(key).is_some() {
                bail!("the local stack does not support {key} of metric filters");
            }
        }
        Ok(MetricFilterResource {
            pattern: FilterPattern::parse(pattern)?,
            metric: MetricKey::new(text("MetricNamespace")?, text("MetricName")?, &[]),
            value: text("MetricValue")?.parse().context("MetricValue must be a number")?,
        })
    });
    filters.collect()
}

fn metric_key(properties: &Value) -> Result<MetricKey> {
    let text = |key: &str| properties[key].as_str().with_context(|| format!("{key} is required"));
    let dimensions = properties["Dimensions"].as_array().into_iter().flatten();
    let dimensions: Vec<(&str, &str)> = dimensions
        .map(|dimension| {
            (dimension["Name"].as_str().unwrap_or_default(), dimension["Value"].as_str().unwrap_or_default())
        })
        .collect();
    Ok(MetricKey::new(text("Namespace")?, text("MetricName")?, &dimensions))
}

fn statistic(properties: &Value) -> Result<Statistic> {
    let names = ["Statistic", "ExtendedStatistic", "Stat"];
    let name =
        names.into_iter().find_map(|key| properties[key].as_str()).context("a statistic is required")?;
    Statistic::parse(name).with_context(|| format!("the local stack does not support the statistic {name}"))
}

fn number(properties: &Value, key: &str) -> Result<f64> {
    let value = &properties[key];
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    number.with_context(|| format!("{key} must be a number"))
}

fn count(properties: &Value, key: &str) -> Result<usize> {
    let number = properties[key].as_u64().and_then(|number| usize::try_from(number).ok());
    number.filter(|number| *number > 0).with_context(|| format!("{key} must be a positive number"))
}
