//! Sliding windows for rate limits.
//!
//! Small limits are counted in a log of timestamps, which is exact to the millisecond. A log for a large limit would be
//! too large to write with every request, so large limits, and limits that several parties share, are counted in a
//! [`Tally`], by slots of a thirtieth of the window. The slot in which the window begins counts as a whole. So no window
//! contains more than the limit, and capacity becomes available at most one slot late.

use std::collections::BTreeMap;
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
}

/// The timestamps of a log that are within the window.
pub fn within(allowance: Allowance, log: &[Timestamp], now: Timestamp) -> Vec<Timestamp> {
    log.iter().copied().filter(|time| now.duration_since(*time) < allowance.window).collect()
}

/// What one party may do in a window, and all parties of the counter together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota<'a> {
    pub party: &'a str,
    pub own: u32,
    pub together: u32,
    pub window: SignedDuration,
}

/// Which limit of a [`Quota`] a count is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaScope {
    Own,
    Together,
}

impl Quota<'_> {
    /// One limit, without parties.
    pub fn single(allowance: Allowance) -> Self {
        let Allowance { limit, window } = allowance;
        Self { party: "all", own: limit, together: limit, window }
    }

    pub fn limit(&self, scope: QuotaScope) -> u32 {
        match scope {
            QuotaScope::Own => self.own,
            QuotaScope::Together => self.together,
        }
    }

    /// The share of both limits that one of `shards` counters has; `None` if it has none.
    #[must_use]
    pub fn part(&self, shards: u32, shard: u32) -> Option<Self> {
        let (own, together) = (share(self.own, shards, shard), share(self.together, shards, shard));
        (own > 0 && together > 0).then_some(Self { own, together, ..*self })
    }
}

/// Slots in the length of a window. A window overlaps one more.
const SLOTS: i64 = 30;

/// How often each party of a counter did something in each slot, numbered from 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<(i64, String), u32>);

impl FromIterator<((i64, String), u32)> for Tally {
    fn from_iter<I: IntoIterator<Item = ((i64, String), u32)>>(counts: I) -> Self {
        Self(counts.into_iter().collect())
    }
}

impl Tally {
    /// The number of the slot at a time.
    pub fn slot_at(window: SignedDuration, now: Timestamp) -> i64 {
        now.as_millisecond().div_euclid(slot_ms(window))
    }

    pub fn add(&mut self, slot: i64, party: &str) {
        *self.0.entry((slot, party.to_owned())).or_default() += 1;
    }

    /// Takes back what [`Tally::add`] added.
    pub fn subtract(&mut self, slot: i64, party: &str) {
        let count = self.0.entry((slot, party.to_owned())).or_default();
        *count = count.saturating_sub(1);
    }

    /// Whether the newest one, which is included, is within both limits. The count is that of the limit with less left.
    pub fn count(&self, quota: &Quota<'_>, now: Timestamp) -> (RateLimitCount, QuotaScope) {
        let own = (self.count_of(Some(quota.party), quota.own, quota.window, now), QuotaScope::Own);
        let together = (self.count_of(None, quota.together, quota.window, now), QuotaScope::Together);
        match (own.0.allowed, together.0.allowed) {
            (true, false) => together,
            (false, true) => own,
            (true, true) if together.0.remaining < own.0.remaining => together,
            (false, false) if together.0.reset > own.0.reset => together,
            _ => own,
        }
    }

    fn count_of(
        &self,
        party: Option<&str>,
        limit: u32,
        window: SignedDuration,
        now: Timestamp,
    ) -> RateLimitCount {
        let (total, oldest) = self.within(window, now, party);
        let leaves = oldest.map(|slot| (slot + SLOTS + 1).saturating_mul(slot_ms(window)));
        let free_at = leaves.and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(now);
        RateLimitCount {
            allowed: total <= limit,
            limit,
            remaining: limit.saturating_sub(total),
            reset: span(now, free_at),
        }
    }

    /// The total of all parties in the window.
    pub fn total(&self, window: SignedDuration, now: Timestamp) -> u32 {
        self.within(window, now, None).0
    }

    /// The total of a party, or of all, in the window, and its oldest slot with a count.
    fn within(&self, window: SignedDuration, now: Timestamp, party: Option<&str>) -> (u32, Option<i64>) {
        let first = Self::slot_at(window, now) - SLOTS;
        let counts = self
            .0
            .range((first, String::new())..)
            .filter(|((_, counted), count)| **count > 0 && party.is_none_or(|party| party == counted));
        let (mut total, mut oldest) = (0_u32, None);
        for ((slot, _), count) in counts {
            total = total.saturating_add(*count);
            oldest.get_or_insert(*slot);
        }
        (total, oldest)
    }

    /// The slots and parties that no window includes any more, also by a clock that is a slot behind.
    pub fn outdated(&self, window: SignedDuration, now: Timestamp) -> impl Iterator<Item = (i64, &str)> {
        let first = Self::slot_at(window, now) - SLOTS - 1;
        self.0.range(..(first, String::new())).map(|((slot, party), _)| (*slot, party.as_str()))
    }

    pub fn remove_outdated(&mut self, window: SignedDuration, now: Timestamp) {
        let first = Self::slot_at(window, now) - SLOTS - 1;
        self.0.retain(|(slot, _), _| *slot >= first);
    }
}

fn slot_ms(window: SignedDuration) -> i64 {
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

    fn quota(party: &str, own: u32, together: u32) -> Quota<'_> {
        Quota { party, own, together, window: MINUTE }
    }

    /// Counts like a process: what is over a limit is taken back.
    fn admit(tally: &mut Tally, quota: &Quota<'_>, now: i64) -> RateLimitCount {
        let slot = Tally::slot_at(MINUTE, ms(now));
        tally.add(slot, quota.party);
        let (count, _) = tally.count(quota, ms(now));
        if !count.allowed {
            tally.subtract(slot, quota.party);
        }
        count
    }

    #[test]
    fn each_party_has_a_limit_and_all_parties_share_one() {
        let mut tally = Tally::default();
        for (party, allowed, limit, remaining) in
            [("a", true, 2, 1), ("a", true, 2, 0), ("a", false, 2, 0), ("b", true, 3, 0), ("c", false, 3, 0)]
        {
            let count = admit(&mut tally, &quota(party, 2, 3), 60_500);
            assert_eq!((count.allowed, count.limit, count.remaining), (allowed, limit, remaining), "{party}");
        }
        assert!(!admit(&mut tally, &quota("c", 2, 3), 121_999).allowed);
        assert!(admit(&mut tally, &quota("c", 2, 3), 122_000).allowed);
        let outdated: Vec<_> = tally.outdated(MINUTE, ms(124_000)).map(|(_, party)| party).collect();
        assert_eq!(outdated, ["a", "b", "c"]);
    }

    proptest! {
        /// For any sequence of requests, no minute contains more than the limits, and a rejection states when there is room.
        #[test]
        fn no_window_contains_more_than_its_limits(
            requests in prop::collection::vec((0_i64..4_000, 0_usize..3), 1..400),
            own in 1_u32..40,
            together in 1_u32..60,
        ) {
            let (mut now, mut tally) = (1_000_000, Tally::default());
            let mut admitted: Vec<(i64, usize)> = Vec::new();
            for (gap, party) in requests {
                now += gap;
                tally.remove_outdated(MINUTE, ms(now));
                let quota = quota(["a", "b", "c"][party], own, together);
                let count = admit(&mut tally, &quota, now);
                if count.allowed {
                    admitted.push((now, party));
                } else {
                    let free_at = now + i64::try_from(count.reset.as_millis()).unwrap();
                    prop_assert!(free_at > now);
                    let mut then = tally.clone();
                    then.remove_outdated(MINUTE, ms(free_at));
                    // Both limits may be reached; the count is that of the one that has room later.
                    prop_assert!(admit(&mut then, &quota, free_at).allowed);
                }
            }
            for (at, (start, party)) in admitted.iter().enumerate() {
                let window: Vec<_> = admitted[at..].iter().filter(|(time, _)| time - start < 60_000).collect();
                let of_party = window.iter().filter(|(_, other)| other == party).count();
                prop_assert!(window.len() <= usize::try_from(together).unwrap());
                prop_assert!(of_party <= usize::try_from(own).unwrap());
            }
        }
    }
}
