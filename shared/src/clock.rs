//! The one clock. Code that decides by time receives `now` as a value read here.

use jiff::{SignedDuration, Timestamp};

pub use ringbridge_ringcentral::clock::{Clock, SystemClock};

/// `at + by`, clamped to the range of [`Timestamp`].
pub fn saturating_add(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}
