//! The one clock. Code that decides by time receives `now` as a value read here.

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
    fn a_plausible_expiry_is_kept() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        for (reported, stored) in [(1, 1), (3_600, 3_600), (3_601, 60), (0, 60), (-1, 60)] {
            assert_eq!(plausible_expiry(Some(at(reported)), now, 60, 3_600), at(stored), "{reported}");
        }
    }
}
