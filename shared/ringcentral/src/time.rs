//! Times in the spellings of RingCentral's responses and of what stands between.

use jiff::{SignedDuration, Timestamp};

/// Parses a time: ISO 8601 with any offset, or none, which is UTC; RFC 2822; or the seconds, milliseconds, microseconds or
/// nanoseconds since 1970.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')) && !is_date(text) {
        return since_epoch(text);
    }
    text.parse()
        .ok()
        .or_else(|| iso(text))
        .or_else(|| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok())
}

/// True if the text begins with a year and a hyphen.
fn is_date(text: &str) -> bool {
    text.as_bytes().get(4) == Some(&b'-')
}

/// ISO 8601 with a space before the offset, without an offset, with a zone name, or with a fraction of any length.
fn iso(text: &str) -> Option<Timestamp> {
    // Java appends the name of the zone: 2026-02-03T10:05:08Z[UTC].
    let text = text.split('[').next()?.trim();
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], text[at + 1..].trim()),
        None => (text, "00:00"),
    };
    let end = time
        .find(|char: char| !(char.is_ascii_digit() || matches!(char, ':' | '.' | ',')))
        .unwrap_or(time.len());
    let (clock, offset) = (&time[..end], time[end..].trim());
    let offset = match offset {
        "" | "UTC" | "GMT" | "z" => "Z",
        other => other,
    };
    // More than nine digits of a fraction are below a nanosecond.
    let clock = match clock.split_once(['.', ',']) {
        Some((seconds, fraction)) => {
            format!("{seconds}.{:.9}", if fraction.is_empty() { "0" } else { fraction })
        }
        None => clock.to_owned(),
    };
    format!("{date}T{clock}{offset}").parse().ok()
}

/// The size determines the unit: seconds reach 10^11 in the year 5138.
fn since_epoch(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = whole.parse().ok()?;
    match whole.unsigned_abs() {
        0..100_000_000_000 => {
            let nanoseconds: i64 = format!("{fraction:0<9.9}").parse().ok()?;
            let at = Timestamp::from_second(whole).ok()?;
            let nanoseconds = SignedDuration::from_nanos(if whole < 0 { -nanoseconds } else { nanoseconds });
            at.checked_add(nanoseconds).ok()
        }
        100_000_000_000..100_000_000_000_000 => Timestamp::from_millisecond(whole).ok(),
        100_000_000_000_000..100_000_000_000_000_000 => Timestamp::from_microsecond(whole).ok(),
        _ => Timestamp::from_nanosecond(whole.into()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_is_read_in_each_spelling() {
        for text in [
            "2026-02-03T10:05:08Z",
            "2026-02-03T10:05:08.000Z",
            "2026-02-03T10:05:08z",
            "2026-02-03T10:05:08",
            "2026-02-03 10:05:08",
            "2026-02-03 10:05:08Z",
            "2026-02-03 10:05:08 Z",
            "2026-02-03 10:05:08 UTC",
            "2026-02-03T10:05:08+0000",
            "2026-02-03T10:05:08+00",
            "2026-02-03T10:05:08 +00:00",
            "2026-02-03T12:05:08+02:00",
            "2026-02-03T04:05:08-0600",
            "2026-02-03T10:05:08.0000000000000Z",
            "2026-02-03T10:05:08,000",
            "2026-02-03T10:05:08.Z",
            "2026-02-03T10:05:08Z[UTC]",
            " 2026-02-03T10:05:08Z ",
            "Tue, 03 Feb 2026 10:05:08 GMT",
            "Tue, 03 Feb 2026 10:05:08 +0000",
            "1770113108",
            "1770113108.000",
            "1770113108000",
            "1770113108000000",
            "1770113108000000000",
        ] {
            assert_eq!(parse(text).map(Timestamp::as_millisecond), Some(1_770_113_108_000), "{text}");
        }
        assert_eq!(parse("2026-02-03").map(Timestamp::as_second), Some(1_770_076_800));
        assert_eq!(parse("2026-02-03T10:05").map(Timestamp::as_second), Some(1_770_113_100));
        assert_eq!(
            parse("2026-02-03T10:05:08.1234567891234Z").map(Timestamp::subsec_nanosecond),
            Some(123_456_789)
        );
        assert_eq!(parse("1770113108.5").map(Timestamp::as_millisecond), Some(1_770_113_108_500));
    }

    #[test]
    fn what_is_no_time_is_rejected() {
        for text in [
            "",
            "soon",
            "2026-13-01T00:00:00Z",
            "2026-02-30",
            "-",
            ".",
            "10:05:08",
            "99999999999999999999",
            "T",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "[0-9TZtz:.,+ \\[\\]é-]{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn every_time_is_read_back(ms in -62_135_596_800_000_i64..253_402_300_799_999) {
            let at = Timestamp::from_millisecond(ms).expect("in range");
            prop_assert_eq!(parse(&at.to_string()), Some(at));
            let without_offset = at.to_string().replace('Z', "");
            prop_assert_eq!(parse(&without_offset), Some(at));
        }
    }
}
