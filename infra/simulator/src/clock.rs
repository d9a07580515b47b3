//! The simulator's clock: the machine's time plus an offset that `POST /_sim/clock` moves.
//!
//! Everything that expires or falls due is decided by this clock, so a test moves time instead of waiting for it.
//! Only delays on the wire (latency faults, webhook time-outs) run on the machine's own timer.

use std::sync::atomic::{AtomicI64, Ordering};

/// A point in time, in milliseconds since 1970 UTC.
pub type Millis = i64;

/// One second, in [`Millis`].
pub const SECOND: Millis = 1_000;
/// One minute, in [`Millis`].
pub const MINUTE: Millis = 60 * SECOND;
/// One hour, in [`Millis`].
pub const HOUR: Millis = 60 * MINUTE;
/// One day, in [`Millis`].
pub const DAY: Millis = 24 * HOUR;

/// A clock that can be moved.
#[derive(Debug, Default)]
pub struct Clock {
    offset: AtomicI64,
}

impl Clock {
    /// A clock that is `offset` milliseconds ahead of the machine's.
    #[must_use]
    pub fn with_offset(offset: Millis) -> Self {
        Self { offset: AtomicI64::new(offset) }
    }

    /// The time by this clock.
    #[must_use]
    pub fn now(&self) -> Millis {
        jiff::Timestamp::now().as_millisecond() + self.offset()
    }

    /// How far this clock is ahead of the machine's, in milliseconds.
    #[must_use]
    pub fn offset(&self) -> Millis {
        self.offset.load(Ordering::SeqCst)
    }

    /// Moves the clock by so many seconds.
    pub fn advance(&self, seconds: i64) {
        self.offset.fetch_add(seconds.saturating_mul(SECOND), Ordering::SeqCst);
    }

    /// Puts the clock back to the machine's time.
    pub fn reset(&self) {
        self.offset.store(0, Ordering::SeqCst);
    }
}

/// The time as RingCentral writes it: `2026-02-03T10:05:09.034Z`.
#[must_use]
pub fn iso(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(
        |_| "1970-01-01T00:00:00.000Z".to_owned(),
        |t| t.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
    )
}

/// Reads a time as RingCentral's clients write it; an offset in place of `Z` is understood.
#[must_use]
pub fn parse_iso(text: &str) -> Option<Millis> {
    if let Ok(t) = text.parse::<jiff::Timestamp>() {
        return Some(t.as_millisecond());
    }
    // The JavaScript SDK's samples send a bare date.
    let date = text.parse::<jiff::civil::Date>().ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// Whole seconds from `now` until `at`, never negative.
#[must_use]
pub fn seconds_left(at: Millis, now: Millis) -> i64 {
    ((at - now) / SECOND).max(0)
}
