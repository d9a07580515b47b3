//! The stack's clock: real time plus an offset that only grows, moved by `POST /_local/clock`.

use jiff::{SignedDuration, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The time of functions, schedules, queues and TTL. Clones share the offset.
#[derive(Clone, Debug, Default)]
pub struct StackClock {
    offset_seconds: Arc<AtomicI64>,
    /// For each move, its real time and the offset before it.
    moves: Arc<Mutex<Vec<(Timestamp, i64)>>>,
}

impl StackClock {
    #[must_use]
    pub fn with_offset(seconds: i64) -> Self {
        Self { offset_seconds: Arc::new(AtomicI64::new(seconds)), moves: Arc::default() }
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        let real = Timestamp::now();
        real.checked_add(SignedDuration::from_secs(self.offset_seconds())).unwrap_or(real)
    }

    #[must_use]
    pub fn offset_seconds(&self) -> i64 {
        self.offset_seconds.load(Ordering::SeqCst)
    }

    /// The offset at a real time. Moves made before this process started are not known.
    #[must_use]
    pub fn offset_at(&self, real: Timestamp) -> i64 {
        let moves = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        let later = moves.iter().find(|(moved, _)| *moved > real);
        later.map_or_else(|| self.offset_seconds(), |(_, before)| *before)
    }

    pub fn advance(&self, seconds: i64) {
        let mut moves = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        moves.push((Timestamp::now(), self.offset_seconds()));
        self.offset_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}
