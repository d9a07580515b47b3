//! The header `Retry-After` (RFC 9110 section 10.2.3), leniently.

use std::time::Duration;

use jiff::Timestamp;

/// The wait that a `Retry-After` requests: seconds, also with a fraction and however many digits, or a date in one of the
/// three forms of HTTP. A date is relative to the `Date` of the same response, which the clocks of both sides do not affect;
/// without a readable one, to `now`. A date in the past is no wait. `None` if the value has another form.
#[must_use]
pub fn retry_after(value: &str, date: Option<&str>, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        let is_wait = seconds >= 0.0;
        return is_wait.then(|| Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(Duration::MAX));
    }
    // The last hours of the year 9999 exceed a timestamp.
    let parse = |text: &str| {
        let date = httpdate::parse_http_date(text.trim()).ok()?;
        Some(Timestamp::try_from(date).unwrap_or(Timestamp::MAX))
    };
    let sent = date.and_then(parse).unwrap_or(now);
    Some(Duration::try_from(parse(value)?.duration_since(sent)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "1994-11-06T08:49:37Z".parse().expect("valid")
    }

    #[test]
    fn seconds_and_all_forms_of_dates_are_read() {
        let wait = |value| retry_after(value, None, now()).map(|wait| wait.as_secs());
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("1.5", Some(2)),
            ("999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 09:49:37 GMT", Some(3_600)),
            ("Sunday, 06-Nov-94 09:49:37 GMT", Some(3_600)),
            ("Sun Nov  6 09:49:37 1994", Some(3_600)),
            ("Sun, 06 Nov 1994 07:49:37 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(252_618_095_423)),
            ("-5", None),
            ("NaN", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(wait(value), seconds, "{value}");
        }
    }

    #[test]
    fn a_date_is_relative_to_the_date_of_the_response() {
        let date = "Sun, 06 Nov 1994 10:49:37 GMT";
        let wait = |sent| retry_after(date, Some(sent), now()).map(|wait| wait.as_secs());
        assert_eq!(wait("Sun, 06 Nov 1994 10:48:37 GMT"), Some(60));
        assert_eq!(wait("yesterday"), Some(7_200), "relative to the clock");
    }

    proptest! {
        #[test]
        fn no_value_causes_a_panic(value in "\\PC{0,40}", date in proptest::option::of("\\PC{0,40}"), ms in any::<i64>()) {
            let now = Timestamp::from_millisecond(ms % 1_000_000_000_000).expect("in range");
            let _ = retry_after(&value, date.as_deref(), now);
        }

        #[test]
        fn any_number_of_seconds_is_read(seconds in any::<u64>()) {
            let wait = retry_after(&seconds.to_string(), None, now()).expect("a wait");
            prop_assert!(wait.as_secs().abs_diff(seconds) <= seconds >> 50);
        }
    }
}
