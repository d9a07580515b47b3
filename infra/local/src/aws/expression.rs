//! Schedule expressions: `at(...)`, `rate(...)` and `cron(...)`, parsed strictly, because no validator before the
//! deployment looks at them.

use jiff::civil::{self, Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use std::collections::BTreeSet;

/// A schedule expression.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expression {
    /// Once, at this local time.
    At(DateTime),
    /// Again and again, this far apart.
    Rate(SignedDuration),
    /// When the calendar fits.
    Cron(Box<Cron>),
}

/// The six fields of a `cron` expression.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cron {
    minutes: BTreeSet<i16>,
    hours: BTreeSet<i16>,
    days: Days,
    months: BTreeSet<i16>,
    years: BTreeSet<i16>,
}

/// Which days fit: by month or by week; the other field is `?`.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Days {
    OfMonth(BTreeSet<i16>),
    LastOfMonth,
    NearestWeekday(i16),
    LastWeekday,
    OfWeek(BTreeSet<i16>),
    LastOfWeek(i16),
    NthOfWeek(i16, i16),
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Expression {
    /// Parses an expression; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("Invalid Schedule Expression {text}: {why}.");
        let (kind, rest) =
            text.split_once('(').ok_or_else(|| wrong("it is none of at(), rate() and cron()"))?;
        let inner = rest.strip_suffix(')').ok_or_else(|| wrong("the closing bracket is missing"))?;
        match kind {
            "at" => {
                let shape = inner.len() == 19 && inner.as_bytes()[10] == b'T';
                let time = inner.parse::<DateTime>().ok().filter(|_| shape);
                time.map(Self::At).ok_or_else(|| wrong("at() takes yyyy-mm-ddThh:mm:ss"))
            }
            "rate" => rate(inner).map(Self::Rate).map_err(wrong),
            "cron" => cron(inner).map(|cron| Self::Cron(Box::new(cron))).map_err(|why| wrong(&why)),
            _ => Err(wrong("it is none of at(), rate() and cron()")),
        }
    }

    /// The first time after `after`; `start` is where a rate counts from.
    #[must_use]
    pub fn next(&self, after: Timestamp, start: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::At(time) => {
                zone.to_zoned(*time).ok().map(|zoned| zoned.timestamp()).filter(|at| *at > after)
            }
            Self::Rate(period) => {
                let passed = after.duration_since(start).as_secs();
                let periods = if passed < 0 { 1 } else { passed / period.as_secs() + 1 };
                start.checked_add(SignedDuration::from_secs(periods * period.as_secs())).ok()
            }
            Self::Cron(cron) => cron.next(after, zone),
        }
    }

    /// Whether it happens only once.
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
        .ok_or("it is too long")
}

fn cron(inner: &str) -> Result<Cron, String> {
    let fields: Vec<&str> = inner.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays, years] = fields.as_slice() else {
        return Err("cron() takes six fields: minutes hours day-of-month month day-of-week year".to_owned());
    };
    if (*days == "?") == (*weekdays == "?") {
        return Err("exactly one of day-of-month and day-of-week must be ?".to_owned());
    }
    Ok(Cron {
        minutes: set(minutes, 0, 59, &[], "minutes")?,
        hours: set(hours, 0, 23, &[], "hours")?,
        days: if *weekdays == "?" { days_of_month(days)? } else { days_of_week(weekdays)? },
        months: set(months, 1, 12, &MONTHS, "month")?,
        years: set(years, 1970, 2199, &[], "year")?,
    })
}

fn days_of_month(field: &str) -> Result<Days, String> {
    match field {
        "L" => return Ok(Days::LastOfMonth),
        "LW" => return Ok(Days::LastWeekday),
        _ => {}
    }
    if let Some(day) = field.strip_suffix('W') {
        return number(day, 1, 31, &[], "day-of-month").map(Days::NearestWeekday);
    }
    set(field, 1, 31, &[], "day-of-month").map(Days::OfMonth)
}

fn days_of_week(field: &str) -> Result<Days, String> {
    if let Some((day, nth)) = field.split_once('#') {
        let day = number(day, 1, 7, &WEEKDAYS, "day-of-week")?;
        return Ok(Days::NthOfWeek(day, number(nth, 1, 5, &[], "day-of-week")?));
    }
    match field.strip_suffix('L') {
        Some("") => Ok(Days::OfWeek(BTreeSet::from([7]))),
        Some(day) => number(day, 1, 7, &WEEKDAYS, "day-of-week").map(Days::LastOfWeek),
        None => set(field, 1, 7, &WEEKDAYS, "day-of-week").map(Days::OfWeek),
    }
}

/// A list of numbers, ranges and steps.
fn set(field: &str, low: i16, high: i16, words: &[&str], name: &str) -> Result<BTreeSet<i16>, String> {
    let mut values = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step, 1, high.max(1), &[], name)?)),
            None => (part, None),
        };
        let (first, last) = if range == "*" {
            (low, high)
        } else if let Some((first, last)) = range.split_once('-') {
            (number(first, low, high, words, name)?, number(last, low, high, words, name)?)
        } else {
            let only = number(range, low, high, words, name)?;
            (only, if step.is_some() { high } else { only })
        };
        if first > last {
            return Err(format!("{name}: {range} ends before it begins"));
        }
        values.extend((first..=last).step_by(usize::try_from(step.unwrap_or(1)).unwrap_or(1)));
    }
    Ok(values)
}

fn number(text: &str, low: i16, high: i16, words: &[&str], name: &str) -> Result<i16, String> {
    let upper = text.to_ascii_uppercase();
    let word = words.iter().position(|word| *word == upper).and_then(|index| i16::try_from(index).ok());
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = word.map(|index| index + low).or_else(|| text.parse().ok().filter(|_| digits));
    value
        .filter(|value| (low..=high).contains(value))
        .ok_or_else(|| format!("{name}: \"{text}\" is not from {low} to {high}"))
}

impl Cron {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut day = zone.to_datetime(after).date();
        let last = i16::try_from(2199).ok()?;
        while day.year() <= last {
            if !self.years.contains(&day.year()) {
                day = civil::date(*self.years.range(day.year()..).next()?, 1, 1);
                continue;
            }
            if self.fits(day) {
                for hour in &self.hours {
                    for minute in &self.minutes {
                        let time = day.at(i8::try_from(*hour).ok()?, i8::try_from(*minute).ok()?, 0, 0);
                        // A time that the change to summer time leaves out does not happen.
                        let ambiguous = zone.to_ambiguous_timestamp(time);
                        if matches!(ambiguous.offset(), jiff::tz::AmbiguousOffset::Gap { .. }) {
                            continue;
                        }
                        match ambiguous.earlier() {
                            Ok(at) if at > after => return Some(at),
                            _ => {}
                        }
                    }
                }
            }
            day = day.checked_add(1.day()).ok()?;
        }
        None
    }

    fn fits(&self, day: Date) -> bool {
        if !self.months.contains(&i16::from(day.month())) {
            return false;
        }
        let weekday = |day: Date| i16::from(day.weekday().to_sunday_one_offset());
        match &self.days {
            Days::OfMonth(days) => days.contains(&i16::from(day.day())),
            Days::LastOfMonth => day == day.last_of_month(),
            Days::NearestWeekday(target) => nearest_weekday(day.first_of_month(), *target) == Some(day),
            Days::LastWeekday => {
                nearest_weekday(day.first_of_month(), i16::from(day.days_in_month())) == Some(day)
            }
            Days::OfWeek(days) => days.contains(&weekday(day)),
            Days::LastOfWeek(target) => weekday(day) == *target && day.day() > day.days_in_month() - 7,
            Days::NthOfWeek(target, nth) => {
                weekday(day) == *target && i16::from((day.day() - 1) / 7 + 1) == *nth
            }
        }
    }
}

/// The weekday of the month that is nearest to a day of it.
fn nearest_weekday(first: Date, target: i16) -> Option<Date> {
    let target = i8::try_from(target).ok().filter(|target| *target <= first.days_in_month())?;
    let day = Date::new(first.year(), first.month(), target).ok()?;
    let moved = match day.weekday() {
        Weekday::Saturday if target == 1 => 2,
        Weekday::Saturday => -1,
        Weekday::Sunday if target == first.days_in_month() => -2,
        Weekday::Sunday => 1,
        _ => 0,
    };
    day.checked_add(moved.days()).ok()
}

#[cfg(test)]
mod tests {
    use super::Expression;
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    fn next(expression: &str, after: &str) -> Option<String> {
        let after: Timestamp = after.parse().unwrap();
        Expression::parse(expression).unwrap().next(after, after, &TimeZone::UTC).map(|at| at.to_string())
    }

    #[test]
    fn expressions_say_when_they_are_next() {
        let now = "2026-01-15T10:30:00Z";
        for (expression, expected) in [
            ("at(2026-01-15T10:30:01)", Some("2026-01-15T10:30:01Z")),
            ("at(2026-01-15T10:30:00)", None),
            ("rate(5 minutes)", Some("2026-01-15T10:35:00Z")),
            ("rate(1 day)", Some("2026-01-16T10:30:00Z")),
            ("cron(0 8 * * ? *)", Some("2026-01-16T08:00:00Z")),
            ("cron(0/15 * * * ? *)", Some("2026-01-15T10:45:00Z")),
            ("cron(15 10 ? * 6L 2026-2027)", Some("2026-01-30T10:15:00Z")),
            ("cron(0 0 ? * MON-FRI *)", Some("2026-01-16T00:00:00Z")),
            ("cron(0 0 L FEB ? *)", Some("2026-02-28T00:00:00Z")),
            ("cron(0 0 ? * 2#1 *)", Some("2026-02-02T00:00:00Z")),
            ("cron(0 0 15W 8 ? *)", Some("2026-08-14T00:00:00Z")),
            ("cron(0 0 29 2 ? *)", Some("2028-02-29T00:00:00Z")),
            ("cron(0 0 1 1 ? 2025)", None),
        ] {
            assert_eq!(next(expression, now).as_deref(), expected, "{expression}");
        }
    }

    #[test]
    fn bad_expressions_are_refused() {
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
            "cron(* * * * *)",
            "cron(0 8 * * * *)",
            "cron(0 8 ? * ? *)",
            "cron(60 8 * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 8 32 * ? *)",
            "cron(0 8 * 13 ? *)",
            "cron(0 8 ? * 8 *)",
            "every(5 minutes)",
            "rate(5 minutes",
        ] {
            assert!(Expression::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_keeps_its_beat_after_a_long_pause() {
        let rate = Expression::parse("rate(10 minutes)").unwrap();
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let late: Timestamp = "2026-01-03T00:07:00Z".parse().unwrap();
        let next = rate.next(late, start, &TimeZone::UTC).unwrap();
        assert_eq!(next.to_string(), "2026-01-03T00:10:00Z");
    }
}
