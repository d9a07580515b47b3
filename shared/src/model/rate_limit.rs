//! Sliding windows for rate limits.
//!
//! Small limits are counted in a log of timestamps, which is exact to the millisecond. A log for a large limit would be
//! too large to write with every request, so large limits are counted in [`Slots`] of a sixtieth of the window each. The
//! slot in which the window begins counts as a whole. So no window contains more than the limit, and capacity becomes
//! available at most one slot late.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;

/// A rate limit: at most `limit` in any `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub limit: u32,
    pub window: SignedDuration,
}

impl Allowance {
    pub fn per_minute(limit: u32) -> Self {
        Self { limit, window: SignedDuration::from_mins(1) }
    }

    pub fn per_hour(limit: u32) -> Self {
        Self { limit, window: SignedDuration::from_hours(1) }
    }
}

/// The result of counting one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitCount {
    /// False if the limit was reached, and the request was not counted.
    pub allowed: bool,
    pub limit: u32,
    pub remaining: u32,
    /// Time until the next one is allowed, or until the oldest one leaves the window.
    pub reset: Duration,
}

impl RateLimitCount {
    pub fn rejected(limit: u32, until: Timestamp, now: Timestamp) -> Self {
        Self { allowed: false, limit, remaining: 0, reset: span(now, until) }
    }

    /// `recent` contains the timestamps within the window, including the new one.
    pub fn of_log(allowance: Allowance, recent: &[Timestamp], now: Timestamp) -> Self {
        let limit = allowance.limit;
        // After the operator has lowered a limit, several have to leave the window before the next one is allowed.
        let over = recent.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut sorted = recent.to_vec();
        sorted.sort_unstable();
        let free_at = sorted.get(over).map_or(now, |oldest| saturating_add(*oldest, allowance.window));
        let used = u32::try_from(recent.len()).unwrap_or(u32::MAX);
        Self { allowed: true, limit, remaining: limit.saturating_sub(used), reset: span(now, free_at) }
    }

    /// The rejection by a log whose `recent` timestamps within the window have reached the limit.
    pub fn of_full_log(allowance: Allowance, recent: &[Timestamp], now: Timestamp) -> Self {
        Self { allowed: false, ..Self::of_log(allowance, recent, now) }
    }

    /// `slots` includes the new one.
    pub fn of_slots(allowance: Allowance, slots: &Slots, now: Timestamp) -> Self {
        Self {
            allowed: true,
            limit: allowance.limit,
            remaining: allowance.limit.saturating_sub(slots.total),
            reset: span(now, slots.free_at(allowance.window, now)),
        }
    }

    /// The rejection by slots that have reached the limit.
    pub fn of_full_slots(allowance: Allowance, slots: &Slots, now: Timestamp) -> Self {
        Self { allowed: false, ..Self::of_slots(allowance, slots, now) }
    }
}

/// The timestamps of a log that are within the window.
pub fn within(allowance: Allowance, log: &[Timestamp], now: Timestamp) -> Vec<Timestamp> {
    log.iter().copied().filter(|time| now.duration_since(*time) < allowance.window).collect()
}

/// Slots in the length of a window. A window overlaps one more.
const SLOTS: i64 = 60;
pub const SLOTS_KEPT: usize = 61;

/// Counts in the slots of a window, as a ring buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// Number of the newest slot, counted from 1970.
    pub slot: i64,
    /// The count of each slot; slot `n` has the index `n` modulo [`SLOTS_KEPT`].
    pub counts: Vec<u32>,
    /// The sum of all counts.
    pub total: u32,
}

impl Slots {
    pub fn empty(slot: i64) -> Self {
        Self { slot, counts: vec![0; SLOTS_KEPT], total: 0 }
    }

    /// The number of the slot at a time.
    pub fn number_at(window: SignedDuration, now: Timestamp) -> i64 {
        now.as_millisecond().div_euclid(length_ms(window))
    }

    /// The index of a slot in `counts`.
    pub fn index(slot: i64) -> usize {
        usize::try_from(slot.rem_euclid(i64::try_from(SLOTS_KEPT).unwrap_or(1))).unwrap_or(0)
    }

    /// The counts with `slot` as the newest slot, without those that have left the window. An older `slot` changes nothing.
    #[must_use]
    pub fn moved_to(&self, slot: i64) -> Self {
        let mut moved = self.clone();
        let steps = (slot - self.slot).clamp(0, SLOTS + 1);
        for step in 0..steps {
            let index = Self::index(slot - step);
            moved.total = moved.total.saturating_sub(moved.counts[index]);
            moved.counts[index] = 0;
        }
        moved.slot = self.slot.max(slot);
        moved
    }

    /// Increments the newest slot.
    pub fn add(&mut self) {
        self.counts[Self::index(self.slot)] += 1;
        self.total += 1;
    }

    /// When the oldest slot with a count leaves the window; `now` if all are empty.
    pub fn free_at(&self, window: SignedDuration, now: Timestamp) -> Timestamp {
        let oldest = (0..=SLOTS)
            .rev()
            .map(|back| self.slot - back)
            .find(|slot| self.counts.get(Self::index(*slot)).is_some_and(|count| *count > 0));
        let Some(oldest) = oldest else { return now };
        let leaves = (oldest + SLOTS + 1).saturating_mul(length_ms(window));
        Timestamp::from_millisecond(leaves).unwrap_or(now).max(now)
    }
}

fn length_ms(window: SignedDuration) -> i64 {
    i64::try_from(window.as_millis() / i128::from(SLOTS)).unwrap_or(i64::MAX).max(1)
}

/// The number of counters that a limit is sharded over, with at most `max_share` for each.
pub fn shards(limit: u32, max_share: u32) -> u32 {
    limit.div_ceil(max_share).max(1)
}

/// The share of a limit that one of its counters has. The sum of all shares is the limit.
pub fn share(limit: u32, shards: u32, shard: u32) -> u32 {
    limit / shards + u32::from(shard < limit % shards)
}

/// The time from `now` to `until`; zero if it has passed.
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
    fn a_log_has_room_when_its_oldest_entry_leaves_the_window() {
        let allowance = Allowance::per_minute(2);
        let log = [ms(1_000), ms(31_000)];
        let full = RateLimitCount::of_full_log(allowance, &log, ms(40_000));
        assert_eq!((full.remaining, full.reset), (0, Duration::from_secs(21)));
        assert_eq!(within(allowance, &log, ms(60_999)).len(), 2);
        assert_eq!(within(allowance, &log, ms(61_000)).len(), 1);
    }

    #[test]
    fn after_a_limit_is_lowered_several_entries_have_to_leave() {
        let log = [ms(0), ms(10_000), ms(20_000)];
        let count = RateLimitCount::of_full_log(Allowance::per_minute(1), &log, ms(30_000));
        assert_eq!(count.reset, Duration::from_secs(50));
    }

    #[test]
    fn the_shares_of_a_limit_add_up_to_it() {
        for limit in [1, 499, 30_000, 30_001, 1_000_000] {
            let shards = shards(limit, 30_000);
            assert_eq!((0..shards).map(|shard| share(limit, shards, shard)).sum::<u32>(), limit);
        }
        assert_eq!(shards(1_000_000, 30_000), 34);
    }

    proptest! {
        /// For any sequence of requests, no minute contains more than the limit, and a rejection states when there is room.
        #[test]
        fn no_window_contains_more_than_its_limit(gaps in prop::collection::vec(0_i64..4_000, 1..400), limit in 1_u32..40) {
            let (mut now, mut slots) = (1_000_000, Slots::empty(0));
            let mut admitted: Vec<i64> = Vec::new();
            for gap in gaps {
                now += gap;
                slots = slots.moved_to(Slots::number_at(MINUTE, ms(now)));
                if slots.total < limit {
                    slots.add();
                    admitted.push(now);
                } else {
                    let free_at = slots.free_at(MINUTE, ms(now));
                    let then = slots.moved_to(Slots::number_at(MINUTE, free_at));
                    prop_assert!(free_at > ms(now) && then.total < limit);
                }
            }
            for (at, start) in admitted.iter().enumerate() {
                let in_window = admitted[at..].iter().filter(|time| **time - start < 60_000).count();
                prop_assert!(in_window <= usize::try_from(limit).unwrap());
            }
        }
    }
}
