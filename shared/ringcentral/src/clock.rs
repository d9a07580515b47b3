//! The one clock. Whatever decides something receives `now` as a value that was asked here.
//!
//! Durations (how long to wait, when a call is given up) are measured by the runtime's own monotonic timer
//! and are no business of this module.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Tells what time it is.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present moment, in UTC.
    fn now(&self) -> Timestamp;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The machine's clock, moved by a fixed number of seconds.
///
/// The offset is zero in production; the local stack uses it to let days pass in a test.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock {
    /// Seconds added to the machine's time; may be negative.
    pub offset_seconds: i64,
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock that everything else asks")]
    fn now(&self) -> Timestamp {
        moved(Timestamp::now(), SignedDuration::from_secs(self.offset_seconds))
    }
}

/// A clock that stands still until it is moved by hand. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<Mutex<Timestamp>>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { now: Arc::new(Mutex::new(now)) }
    }

    /// Moves the clock; a negative duration moves it back.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = moved(*now, by);
    }

    /// Moves the clock by whole seconds; a negative number moves it back.
    pub fn advance_seconds(&self, seconds: i64) {
        self.advance(SignedDuration::from_secs(seconds));
    }

    /// Sets the clock.
    pub fn set(&self, now: Timestamp) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `at` moved by a duration, stopping at the ends of representable time.
fn moved(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_its_clones_with_it() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let other = clock.clone();
        clock.advance_seconds(90);
        assert_eq!(other.now().as_second(), 90);
        other.advance_seconds(-30);
        assert_eq!(clock.now().as_second(), 60);
    }

    #[test]
    fn the_system_clock_adds_its_offset() {
        let ahead = SystemClock { offset_seconds: 3600 }.now();
        let plain = SystemClock::default().now();
        let difference = ahead.as_second() - plain.as_second();
        assert!((3595..=3600).contains(&difference), "{difference}");
    }

    #[test]
    fn no_offset_can_overflow() {
        assert_eq!(SystemClock { offset_seconds: i64::MAX }.now(), Timestamp::MAX);
        assert_eq!(SystemClock { offset_seconds: i64::MIN }.now(), Timestamp::MIN);
    }
}
