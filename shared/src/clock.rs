//! The one clock. Code that decides by time receives `now` as a value that was read here. This module also parses
//! times in requests.

use jiff::{SignedDuration, Timestamp};

pub use ringbridge_ringcentral::clock::{Clock, SystemClock};
pub use ringbridge_ringcentral::retry_after;

/// `at + by`, clamped to the range of [`Timestamp`].
pub fn saturating_add(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

/// An expiry that another party reports, if the lifetime is positive and at most `max_seconds`; otherwise the end of the
/// default lifetime.
pub fn plausible_expiry(
    reported: Option<Timestamp>,
    now: Timestamp,
    default_seconds: i64,
    max_seconds: i64,
) -> Timestamp {
    let after = |seconds| saturating_add(now, SignedDuration::from_secs(seconds));
    reported.filter(|at| *at > now && *at <= after(max_seconds)).unwrap_or_else(|| after(default_seconds))
}

/// Parses an exact moment in ISO 8601: date, time and offset, `2026-11-30T14:30:00Z` or `2026-11-30 14:30+01:00`. A time without an
/// offset is rejected.
///
/// In a query, a `+` that was not percent-encoded arrives as a space, so a space before the offset is read as a plus.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let is_date = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let at = time.find(['Z', 'z', '+', '-', ' '])?;
    let (time, offset) = time.split_at(at);
    let is_time = time.len() >= 5
        && time.bytes().enumerate().all(|(at, byte)| match at {
            2 | 5 => byte == b':',
            8 => byte == b'.',
            _ => byte.is_ascii_digit(),
        });
    let is_offset = match offset.split_at_checked(1)? {
        ("Z" | "z", "") => true,
        ("+" | "-" | " ", digits) => {
            matches!(digits.len(), 2 | 4 | 5)
                && digits.get(..2).is_some_and(|hours| hours < "24")
                && digits.bytes().enumerate().all(|(at, byte)| match (at, digits.len()) {
                    (2, 5) => byte == b':',
                    _ => byte.is_ascii_digit(),
                })
        }
        _ => false,
    };
    // A leap second has no timestamp.
    let is_leap_second = time.get(6..8) == Some("60");
    if !is_date || !is_time || !is_offset || is_leap_second {
        return None;
    }
    format!("{date}T{time}{}", offset.replace(' ', "+")).parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stored_expiry_is_in_the_future_and_plausible(ms in any::<i64>(), seconds in any::<i64>()) {
            let now = Timestamp::from_second(1_800_000_000).unwrap();
            let absolute = Timestamp::from_millisecond(ms % 200_000_000_000_000).ok();
            let relative = saturating_add(now, SignedDuration::from_secs(seconds));
            for reported in [absolute, Some(relative), None] {
                let expiry = plausible_expiry(reported, now, 60, 3_600);
                let lifetime = expiry.duration_since(now).as_secs();
                prop_assert!((0..=3_600).contains(&lifetime), "{reported:?} {expiry}");
            }
        }
    }

    #[test]
    fn a_time_with_an_offset_is_exact() {
        let exact: Timestamp = "2026-11-30T14:30:00Z".parse().unwrap();
        for text in [
            "2026-11-30T14:30:00Z",
            "2026-11-30t14:30:00z",
            "2026-11-30 14:30:00Z",
            "2026-11-30T14:30Z",
            "2026-11-30T14:30:00.000Z",
            "2026-11-30T15:30:00+01:00",
            "2026-11-30T15:30:00 01:00",
            "2026-11-30 15:30:00 01:00",
            "2026-11-30T15:30:00+0100",
            "2026-11-30T15:30+01",
            "2026-11-30T15:30 01",
            "2026-11-30T08:00:00-06:30",
        ] {
            assert_eq!(parse_time(text), Some(exact), "{text}");
        }
    }

    #[test]
    fn a_plausible_expiry_is_kept() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        for (reported, stored) in [(1, 1), (3_600, 3_600), (3_601, 60), (0, 60), (-1, 60)] {
            assert_eq!(plausible_expiry(Some(at(reported)), now, 60, 3_600), at(stored), "{reported}");
        }
    }

    #[test]
    fn a_time_that_is_not_exact_is_no_time() {
        for text in [
            "",
            "yesterday",
            "1764513000",
            "2026-11-30",
            "2026-11-30T",
            "2026-11-30Z",
            "2026-11-30T14Z",
            "20261130T143000Z",
            "2026-11-30T14:30:00",
            "2026-11-30 14:30:00",
            "2026-11-30T14:30",
            "2026-11-30T14:30:00 Z",
            "2026-11-30  14:30:00Z",
            " 2026-11-30T14:30:00Z",
            "2026-11-30T14:30:00Z ",
            "2026-11-30T14:30:00+",
            "2026-11-30T14:30:00+1",
            "2026-11-30T14:30:00\u{2212}01:00",
            "2026-11-30T14:30:00+01:00[Europe/Paris]",
            "2026-11-30T14:30:00[UTC]",
            "2026-11-30T24:00:00Z",
            "2026-11-30T23:59:60Z",
            "2026-11-30T14:60:00Z",
            "2026-02-30T14:30:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-30T14:30:00.Z",
            "2026-11-30T14:30:0Z",
            "2026-W49-1T14:30:00Z",
            "-002026-11-30T14:30:00Z",
            "2026-11-30T14:30:00.1234567890123Z",
            "2026\u{2010}11\u{2010}30T14:30:00Z",
            "\u{661}026-11-30T14:30:00Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse_time(&text);
        }

        #[test]
        fn every_time_that_the_api_writes_is_read(second in 0_i64..4_000_000_000, millisecond in 0_i64..1_000) {
            let at = Timestamp::from_millisecond(second * 1_000 + millisecond).unwrap();
            prop_assert_eq!(parse_time(&format!("{at:.3}")), Some(at));
        }
    }
}
