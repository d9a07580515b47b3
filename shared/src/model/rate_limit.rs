//! Sliding windows: how many of something there were in the last minute or the last hour.
//!
//! Small limits are counted in a log of moments, which is exact to the millisecond. A log for a large limit would be too
//! big to write with every request, so large limits are counted in the slots of [`Slots`]: a sixtieth of the window each,
//! and the slot in which the window begins counts whole. So a window never holds more than its limit, and what was
//! counted is free again at most one slot later than to the millisecond.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;

/// How many of something are allowed in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How many.
    pub limit: u32,
    /// In how long.
    pub window: SignedDuration,
}

impl Allowance {
    /// So many in a rolling minute.
    pub fn per_minute(limit: u32) -> Self {
        Self { limit, window: SignedDuration::from_mins(1) }
    }

    /// So many in a rolling hour.
    pub fn per_hour(limit: u32) -> Self {
        Self { limit, window: SignedDuration::from_hours(1) }
    }
}

/// What counting one more came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// False if the limit was reached; then it was not counted.
    pub allowed: bool,
    /// How many are allowed in the window.
    pub limit: u32,
    /// How many more are allowed now.
    pub remaining: u32,
    /// When the oldest one that counts leaves the window.
    pub reset: Duration,
}

impl Count {
    /// The outcome of a refusal that lasts until a moment.
    pub fn refused(limit: u32, until: Timestamp, now: Timestamp) -> Self {
        Self { allowed: false, limit, remaining: 0, reset: span(now, until) }
    }

    /// The outcome for a log of moments within the window, the counted one included if it was allowed.
    pub fn of_log(allowance: Allowance, recent: &[Timestamp], allowed: bool, now: Timestamp) -> Self {
        let limit = allowance.limit;
        // After the operator has lowered a limit, more than one has to leave before the next one is allowed.
        let over = recent.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut sorted = recent.to_vec();
        sorted.sort_unstable();
        let frees = sorted.get(over).map_or(now, |oldest| saturating_add(*oldest, allowance.window));
        let used = u32::try_from(recent.len()).unwrap_or(u32::MAX);
        Self { allowed, limit, remaining: limit.saturating_sub(used), reset: span(now, frees) }
    }
}

/// The moments of a log that are still within the window.
pub fn within(allowance: Allowance, log: &[Timestamp], now: Timestamp) -> Vec<Timestamp> {
    log.iter().copied().filter(|time| now.duration_since(*time) < allowance.window).collect()
}

/// Slots of a window; the window touches one more.
const SLOTS: i64 = 60;
/// Slots that are kept.
pub const SLOTS_KEPT: usize = 61;

/// Counts in the slots of a window: a ring, in which `slot` is the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// Number of the newest slot since 1970.
    pub slot: i64,
    /// How many in each slot; slot `n` is at `n` modulo [`SLOTS_KEPT`].
    pub counts: Vec<u32>,
    /// How many in all of them.
    pub total: u32,
}

impl Slots {
    /// Nothing counted yet.
    pub fn empty(slot: i64) -> Self {
        Self { slot, counts: vec![0; SLOTS_KEPT], total: 0 }
    }

    /// The number of the slot that a moment is in.
    pub fn of(window: SignedDuration, now: Timestamp) -> i64 {
        now.as_millisecond().div_euclid(length_ms(window))
    }

    /// Where a slot is in the ring.
    pub fn place(slot: i64) -> usize {
        usize::try_from(slot.rem_euclid(i64::try_from(SLOTS_KEPT).unwrap_or(1))).unwrap_or(0)
    }

    /// The same when `slot` is the newest: what has left the window is gone. A clock that is behind changes nothing.
    #[must_use]
    pub fn moved_to(&self, slot: i64) -> Self {
        let mut moved = self.clone();
        let steps = (slot - self.slot).clamp(0, SLOTS + 1);
        for step in 0..steps {
            let place = Self::place(slot - step);
            moved.total = moved.total.saturating_sub(moved.counts[place]);
            moved.counts[place] = 0;
        }
        moved.slot = self.slot.max(slot);
        moved
    }

    /// Counts one more in the newest slot.
    pub fn add(&mut self) {
        self.counts[Self::place(self.slot)] += 1;
        self.total += 1;
    }

    /// When the oldest that is counted leaves the window; `now` if nothing is.
    pub fn frees(&self, window: SignedDuration, now: Timestamp) -> Timestamp {
        let oldest = (0..=SLOTS)
            .rev()
            .map(|back| self.slot - back)
            .find(|slot| self.counts.get(Self::place(*slot)).is_some_and(|count| *count > 0));
        let Some(oldest) = oldest else { return now };
        let leaves = (oldest + SLOTS + 1).saturating_mul(length_ms(window));
        Timestamp::from_millisecond(leaves).unwrap_or(now).max(now)
    }
}

fn length_ms(window: SignedDuration) -> i64 {
    i64::try_from(window.as_millis() / i128::from(SLOTS)).unwrap_or(i64::MAX).max(1)
}

/// How a limit is spread over counters, so that none is written too often: at most `each` for one of them.
pub fn shards(limit: u32, each: u32) -> u32 {
    limit.div_ceil(each).max(1)
}

/// The part of a limit that one of its counters has; all parts together are the limit.
pub fn part(limit: u32, shards: u32, shard: u32) -> u32 {
    limit / shards + u32::from(shard < limit % shards)
}

/// From one moment to another; nothing if it has passed.
fn span(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    fn ms(at: i64) -> Timestamp {
        Timestamp::from_millisecond(at).unwrap()
    }

    #[test]
    fn a_log_frees_when_its_oldest_moment_leaves_the_window() {
        let allowance = Allowance::per_minute(2);
        let log = [ms(1_000), ms(31_000)];
        let full = Count::of_log(allowance, &log, false, ms(40_000));
        assert_eq!((full.remaining, full.reset), (0, Duration::from_secs(21)));
        assert_eq!(within(allowance, &log, ms(60_999)).len(), 2);
        assert_eq!(within(allowance, &log, ms(61_000)).len(), 1);
    }

    #[test]
    fn a_lowered_limit_waits_until_enough_have_left() {
        let log = [ms(0), ms(10_000), ms(20_000)];
        let count = Count::of_log(Allowance::per_minute(1), &log, false, ms(30_000));
        assert_eq!(count.reset, Duration::from_secs(50));
    }

    #[test]
    fn the_parts_of_a_limit_are_the_limit() {
        for limit in [1, 499, 30_000, 30_001, 1_000_000] {
            let shards = shards(limit, 30_000);
            assert_eq!((0..shards).map(|shard| part(limit, shards, shard)).sum::<u32>(), limit);
        }
        assert_eq!(shards(1_000_000, 30_000), 34);
    }

    proptest! {
        /// Whatever comes when: no minute holds more than the limit, and what is refused is told when to come again.
        #[test]
        fn no_window_holds_more_than_its_limit(gaps in prop::collection::vec(0_i64..4_000, 1..400), limit in 1_u32..40) {
            let (mut now, mut slots) = (1_000_000, Slots::empty(0));
            let mut admitted: Vec<i64> = Vec::new();
            for gap in gaps {
                now += gap;
                slots = slots.moved_to(Slots::of(MINUTE, ms(now)));
                if slots.total < limit {
                    slots.add();
                    admitted.push(now);
                } else {
                    let frees = slots.frees(MINUTE, ms(now));
                    let then = slots.moved_to(Slots::of(MINUTE, frees));
                    prop_assert!(frees > ms(now) && then.total < limit);
                }
            }
            for (at, start) in admitted.iter().enumerate() {
                let in_window = admitted[at..].iter().filter(|time| **time - start < 60_000).count();
                prop_assert!(in_window <= usize::try_from(limit).unwrap());
            }
        }
    }
}
