//! Times in arguments: exact, or relative to now.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::args;
use crate::environment;
use crate::error::{CliError, CliResult};

/// Parses a time with its offset, `+90m` or `-2h`. Returns it as the API takes it.
pub fn parse(text: &str) -> CliResult<String> {
    let relative = text
        .strip_prefix('+')
        .map(|rest| (1, rest))
        .or_else(|| text.strip_prefix('-').map(|rest| (-1, rest)));
    if let Some((sign, rest)) = relative {
        let distance = args::duration(rest).map_err(CliError::usage)?;
        return Ok(iso(after(environment::now(), distance, sign)));
    }
    let time: Timestamp = text.parse().map_err(|_| {
        CliError::usage(format!("{text} is not a time such as 2026-12-01T09:00:00Z, +90m or -2h"))
    })?;
    Ok(iso(time))
}

/// A day as it is, otherwise a time.
pub fn day_or_time(text: &str) -> CliResult<String> {
    if text.parse::<jiff::civil::Date>().is_ok() && !text.contains(['T', ' ']) {
        Ok(text.to_owned())
    } else {
        parse(text)
    }
}

fn after(time: Timestamp, distance: Duration, sign: i32) -> Timestamp {
    let distance = SignedDuration::try_from(distance).unwrap_or(SignedDuration::MAX);
    time.saturating_add(distance * sign).unwrap_or(if sign > 0 { Timestamp::MAX } else { Timestamp::MIN })
}

pub fn iso(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// A time of the API for people: local, to the second.
pub fn shown(text: &str) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A duration for people.
pub fn shown_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds.div_ceil(60)),
        3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_or_relative() {
        assert_eq!(parse("2026-12-01T10:00:00+01:00").unwrap(), "2026-12-01T09:00:00.000Z");
        let in_an_hour: Timestamp = parse("+1h").unwrap().parse().unwrap();
        let wait = in_an_hour.duration_since(environment::now()).as_secs();
        assert!((3_590..=3_600).contains(&wait), "{wait}");
        assert!(parse("tomorrow").is_err() && parse("2026-12-01").is_err() && parse("+1").is_err());
        assert_eq!(day_or_time("2026-12-01").unwrap(), "2026-12-01");
    }
}
