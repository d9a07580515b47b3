//! The simulator's clock: the machine's time plus an offset that `POST /_sim/clock` advances.
//!
//! Every expiry and due time follows this clock, so tests advance time instead of waiting. Only network delays (latency
//! faults, webhook timeouts) take real time.

use std::sync::atomic::{AtomicI64, Ordering};

/// A point in time, in milliseconds since 1970 UTC, or a duration in milliseconds.
pub type Millis = i64;

pub const SECOND: Millis = 1_000;
pub const MINUTE: Millis = 60 * SECOND;
pub const HOUR: Millis = 60 * MINUTE;
pub const DAY: Millis = 24 * HOUR;

#[derive(Debug, Default)]
pub struct SimulatorClock {
    offset: AtomicI64,
}

impl SimulatorClock {
    #[must_use]
    pub fn with_offset(offset: Millis) -> Self {
        Self { offset: AtomicI64::new(offset) }
    }

    #[must_use]
    pub fn now(&self) -> Millis {
        jiff::Timestamp::now().as_millisecond() + self.offset()
    }

    /// How far this clock is ahead of the machine's.
    #[must_use]
    pub fn offset(&self) -> Millis {
        self.offset.load(Ordering::SeqCst)
    }

    pub fn advance(&self, seconds: i64) {
        self.offset.fetch_add(seconds.saturating_mul(SECOND), Ordering::SeqCst);
    }

    /// Sets the clock back to the machine's time.
    pub fn reset(&self) {
        self.offset.store(0, Ordering::SeqCst);
    }
}

/// The time in RingCentral's format: `2026-02-03T10:05:09.034Z`.
#[must_use]
pub fn format_time(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(
        |_| "1970-01-01T00:00:00.000Z".to_owned(),
        |t| t.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
    )
}

/// Parses an RFC 3339 time with any offset, or a bare date, which means midnight UTC.
#[must_use]
pub fn parse_time(text: &str) -> Option<Millis> {
    if let Ok(t) = text.parse::<jiff::Timestamp>() {
        return Some(t.as_millisecond());
    }
    // The samples of the JavaScript SDK send a bare date.
    let date = text.parse::<jiff::civil::Date>().ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// Whole seconds from `now` until `at`, never negative.
#[must_use]
pub fn seconds_until(at: Millis, now: Millis) -> i64 {
    ((at - now) / SECOND).max(0)
}
