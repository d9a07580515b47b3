//! The clock of the stack: real time plus an offset that only grows, moved by `POST /_local/clock`.

use jiff::{SignedDuration, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Time as the functions, schedules, queues and TTL see it. Copies share the offset.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_seconds: Arc<AtomicI64>,
    /// When it was moved, by real time, and how far it was ahead until then.
    moves: Arc<Mutex<Vec<(Timestamp, i64)>>>,
}

impl Clock {
    /// A clock that is already ahead.
    #[must_use]
    pub fn with_offset(seconds: i64) -> Self {
        Self { offset_seconds: Arc::new(AtomicI64::new(seconds)), moves: Arc::default() }
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

    /// How far it was ahead at a moment of real time, as far as this process has seen it move.
    #[must_use]
    pub fn offset_at(&self, real: Timestamp) -> i64 {
        let moves = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        let later = moves.iter().find(|(moved, _)| *moved > real);
        later.map_or_else(|| self.offset_seconds(), |(_, before)| *before)
    }

    /// Moves the clock forward.
    pub fn advance(&self, seconds: i64) {
        let mut moves = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        moves.push((Timestamp::now(), self.offset_seconds()));
        self.offset_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}
