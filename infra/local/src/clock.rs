//! The clock of the stack: real time plus an offset that only grows, moved by `POST /_local/clock`.

use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Time as the functions, schedules, queues and TTL see it. Copies share the offset.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_seconds: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that is already ahead.
    #[must_use]
    pub fn with_offset(seconds: i64) -> Self {
        Self { offset_seconds: Arc::new(AtomicI64::new(seconds)) }
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let real = Timestamp::now();
        real.checked_add(SignedDuration::from_secs(self.offset_seconds())).unwrap_or(real)
    }

    /// Seconds ahead of real time.
    #[must_use]
    pub fn offset_seconds(&self) -> i64 {
        self.offset_seconds.load(Ordering::SeqCst)
    }

    /// Moves the clock forward.
    pub fn advance(&self, seconds: i64) {
        self.offset_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}
