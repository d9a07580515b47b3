//! The clock that the client reads. Tests replace it with one that they can move.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

/// Returns the current time.
///
/// It decides whether tokens are still valid. Waiting times and timeouts are measured by tokio's monotonic timer
/// instead.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The current time in UTC.
    fn now(&self) -> Timestamp;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The system's clock, shifted by a fixed number of seconds.
///
/// The offset is zero by default; a test against a simulator uses it to let days pass at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock {
    /// Seconds added to the system's time; may be negative.
    pub offset_seconds: i64,
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "all other code reads the time through this trait")]
    fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_secs(self.offset_seconds);
        let limit = if offset.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::now().checked_add(offset).unwrap_or(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
