//! Which messages a caller wants to see.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::model::message::{Direction, MessageStatus};
use crate::store::MessageFilter;

/// Reads a filter from the parameters of a query.
///
/// # Errors
/// [`Error::InvalidQuery`] for a word, number or time that is none.
pub fn filter(parameter: impl Fn(&str) -> Option<String>) -> Result<MessageFilter> {
    let wrong = |field: &str| Error::InvalidQuery { field: field.to_owned() };
    let number =
        |field: &str| parameter(field).map(|text| number(&text).ok_or_else(|| wrong(field))).transpose();
    let word = parameter("direction");
    let direction = word.map(|word| Direction::parse(&word).ok_or_else(|| wrong("direction"))).transpose()?;
    let word = parameter("status");
    let status = word.map(|word| MessageStatus::parse(&word).ok_or_else(|| wrong("status"))).transpose()?;
    let start = parameter("startDate");
    let start = start.map(|text| moment(&text, false).ok_or_else(|| wrong("startDate"))).transpose()?;
    let end = parameter("endDate");
    let end = end.map(|text| moment(&text, true).ok_or_else(|| wrong("endDate"))).transpose()?;
    if let (Some(start), Some(end)) = (start, end)
        && end < start
    {
        return Err(wrong("endDate"));
    }
    Ok(MessageFilter { direction, status, from: number("from")?, to: number("to")?, start, end })
}

/// A number; a plus in a query that was not encoded arrives as a space. Short codes have none.
fn number(text: &str) -> Option<String> {
    let digits = text.trim_start_matches(['+', ' ']);
    let is_number = (3..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| if digits.len() < 7 { digits.to_owned() } else { format!("+{digits}") })
}

/// A time, or a day in UTC: its begin, or where it is an end, the begin of the next.
fn moment(text: &str, is_end: bool) -> Option<Timestamp> {
    if let Ok(time) = text.replace(' ', "+").parse() {
        return Some(time);
    }
    let day: Date = text.parse().ok()?;
    let begin = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(if is_end { saturating_add(begin, SignedDuration::from_hours(24)) } else { begin })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<MessageFilter> {
        filter(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for (name, value) in [
            ("direction", "up"),
            ("status", "lost"),
            ("from", "me"),
            ("to", "+1234567890123456"),
            ("startDate", "yesterday"),
            ("endDate", "2026-13-01"),
        ] {
            assert!(
                matches!(read(name, value), Err(Error::InvalidQuery { field }) if field == name),
                "{value}"
            );
        }
    }

    #[test]
    fn days_and_numbers_are_read_as_people_write_them() {
        let seconds = |at: Option<Timestamp>| at.map(Timestamp::as_second);
        assert_eq!(seconds(read("startDate", "1970-01-02").unwrap().start), Some(86_400));
        assert_eq!(seconds(read("endDate", "1970-01-02").unwrap().end), Some(2 * 86_400));
        assert_eq!(seconds(read("endDate", "1970-01-02T00:00:00Z").unwrap().end), Some(86_400));
        assert_eq!(read("from", " 14155550100").unwrap().from.as_deref(), Some("+14155550100"));
        assert_eq!(read("to", "12345").unwrap().to.as_deref(), Some("12345"));
    }
}
