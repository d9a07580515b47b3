//! The filter of a message list, from the parameters of a query.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::clock::{parse_time, saturating_add};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::media::MessageKind;
use crate::model::message::{Direction, MessageStatus};
use crate::model::phone::E164;
use crate::store::MessageFilter;

/// Parses a filter. `parameter` returns the value of a query parameter.
///
/// # Errors
/// [`Error::InvalidQuery`] for an invalid value.
pub fn filter(parameter: impl Fn(&str) -> Option<String>) -> Result<MessageFilter> {
    let invalid = |field: &str| Error::InvalidQuery { field: field.to_owned() };
    let number =
        |field: &str| parameter(field).map(|text| number(&text).ok_or_else(|| invalid(field))).transpose();
    let direction = parameter("direction");
    let direction =
        direction.map(|text| Direction::parse(&text).ok_or_else(|| invalid("direction"))).transpose()?;
    let status = parameter("status");
    let status =
        status.map(|text| MessageStatus::parse(&text).ok_or_else(|| invalid("status"))).transpose()?;
    let kind = parameter("kind");
    let kind = kind.map(|text| MessageKind::parse(&text).ok_or_else(|| invalid("kind"))).transpose()?;
    let start = parameter("startDate");
    let start =
        start.map(|text| time(&text, Bound::Start).ok_or_else(|| invalid("startDate"))).transpose()?;
    let end = parameter("endDate");
    // An end date is the midnight after it, which the range excludes.
    let excludes_end = end.as_deref().is_some_and(is_date);
    let end = end.map(|text| time(&text, Bound::End).ok_or_else(|| invalid("endDate"))).transpose()?;
    if let (Some(start), Some(end)) = (start, end)
        && (end < start || end == start && excludes_end)
    {
        return Err(invalid("endDate"));
    }
    Ok(MessageFilter { direction, status, kind, from: number("from")?, to: number("to")?, start, end })
}

/// Parses a phone number in any spelling, a short code, or an alphanumeric sender such as `SUPPORT`. A plus that was not
/// percent-encoded arrives as a space.
fn number(text: &str) -> Option<String> {
    let unencoded =
        text.strip_prefix(' ').filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    let text = unencoded.map_or_else(|| text.trim().to_owned(), |digits| format!("+{digits}"));
    if let Some(number) = E164::read(&text, None) {
        return Some(number.to_string());
    }
    let is_short_code = (3..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = text.chars().count() <= limits::SENDER_NAME_CHARS
        && text.starts_with(|first: char| first != '+')
        && text.contains(char::is_alphabetic)
        && !text.contains(char::is_control);
    (is_short_code || is_name).then_some(text)
}

/// The bound of a filter that a date stands for.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// The date's midnight, UTC.
    Start,
    /// The midnight after the date: the date is included.
    End,
}

/// A longer text has a time, which the parser of dates would ignore.
fn is_date(text: &str) -> bool {
    text.len() == "2026-11-30".len()
}

/// Parses an exact moment, or a date.
fn time(text: &str, bound: Bound) -> Option<Timestamp> {
    if let Some(time) = parse_time(text) {
        return Some(time);
    }
    let day: Date = text.parse().ok().filter(|_| is_date(text))?;
    let midnight = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(match bound {
        Bound::Start => midnight,
        Bound::End => saturating_add(midnight, SignedDuration::from_hours(24)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<MessageFilter> {
        filter(|parameter| (parameter == name).then(|| value.to_owned()))
    }

    #[test]
    fn invalid_filters_are_rejected() {
        for (name, value) in [
            ("direction", "up"),
            ("status", "lost"),
            ("kind", "fax"),
            ("from", "+me"),
            ("to", "+1234567890123456"),
            ("startDate", "yesterday"),
            ("endDate", "2026-13-01"),
            ("startDate", "2026-11-30T14:30:00"),
            ("startDate", "2026-11-30 14:30:00"),
            ("endDate", "2026-11-30T"),
            ("endDate", "2026-W49-1"),
            ("endDate", "20261130"),
            ("endDate", "2026-11-30[UTC]"),
            ("startDate", ""),
            ("startDate", "2026-11-30T14:30:00+25:00"),
        ] {
            assert!(
                matches!(read(name, value), Err(Error::InvalidQuery { field }) if field == name),
                "{value}"
            );
        }
    }

    #[test]
    fn a_range_ends_after_its_start() {
        let range = |start: &str, end: &str| {
            let value = |name: &str| match name {
                "startDate" => Some(start.to_owned()),
                "endDate" => Some(end.to_owned()),
                _ => None,
            };
            filter(value).is_ok()
        };
        assert!(range("2026-11-30", "2026-11-30"));
        assert!(range("2026-11-30T00:00:00Z", "2026-11-30T00:00:00Z"));
        assert!(!range("2026-11-30", "2026-11-29"));
        assert!(!range("2026-11-30T00:00:00Z", "2026-11-29"));
    }

    #[test]
    fn dates_and_unencoded_plus_signs_are_accepted() {
        let seconds = |at: Option<Timestamp>| at.map(Timestamp::as_second);
        assert_eq!(seconds(read("startDate", "1970-01-02").unwrap().start), Some(86_400));
        assert_eq!(seconds(read("endDate", "1970-01-02").unwrap().end), Some(2 * 86_400));
        assert_eq!(seconds(read("endDate", "1970-01-02T00:00:00Z").unwrap().end), Some(86_400));
        assert_eq!(seconds(read("endDate", "1970-01-02 01:00:00 01:00").unwrap().end), Some(86_400));
        assert_eq!(read("from", " 14155550100").unwrap().from.as_deref(), Some("+14155550100"));
        for (text, number) in [
            ("12345", "12345"),
            ("SUPPORT", "SUPPORT"),
            ("Acme Inc.", "Acme Inc."),
            ("(415) 555-0100", "+14155550100"),
            (" 4512345678", "+4512345678"),
        ] {
            assert_eq!(read("to", text).unwrap().to.as_deref(), Some(number), "{text}");
        }
    }
}
