//! The circuit breaker of RingCentral's token endpoint.
//!
//! RingCentral's guide counts token calls for each user; a community announcement counts them for the app. Every call
//! during a penalty restarts it. If the limit belongs to the app, connections that learn of the penalty one by one prolong
//! it for all. So each rate-limited caller records that in its scopes: a tenant's scope covers the tenant's users, the
//! app's scope covers its tenants. Signing in and ending sessions, which a tenant can trigger as often as it likes, is
//! recorded in the tenant's scope alone.
//!
//! One rate-limited member of a scope affects no other member. A second one within a minute opens the scope's breaker.
//! When the penalty has ended, a single probe call is made. If it succeeds, the call rate ramps up over a few minutes.

use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::limits;

/// What is stored of a scope's breaker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BreakerRecord {
    /// The member that was rate limited last, and when.
    pub last_limited: Option<(String, Timestamp)>,
    /// No calls before this time; then one probe at a time, until one succeeds.
    pub open_until: Option<Timestamp>,
    /// When a probe succeeded.
    pub recovered_at: Option<Timestamp>,
}

/// Whether calls are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// All calls are allowed.
    Closed,
    /// One call is allowed in each slot. Without slots, many callers would exceed the limit at the same moment, and all
    /// but the first call would fall into the penalty.
    RampUp {
        /// Whole minutes since the recovery.
        minute: i64,
        /// Number of the slot in that minute.
        slot: i64,
    },
    /// The penalty has ended, but no call has succeeded since. One probe is allowed.
    HalfOpen,
    /// No call before this time.
    Open(Timestamp),
}

impl BreakerRecord {
    /// The state at `now`. `budget` is the number of calls a minute that are allowed while the breaker is closed.
    pub fn state(&self, budget: u32, now: Timestamp) -> BreakerState {
        if let Some(until) = self.open_until {
            return if until > now { BreakerState::Open(until) } else { BreakerState::HalfOpen };
        }
        let ramp_up = |recovered_at: Timestamp| {
            let since = now.duration_since(recovered_at);
            let minute = since.as_mins();
            let share = limits::TOKEN_RAMP_SHARES.get(usize::try_from(minute).ok()?)?;
            let slots = i64::from(budget / share).max(1);
            let ms = i64::try_from(since.as_millis() % 60_000).unwrap_or(0);
            Some(BreakerState::RampUp { minute, slot: ms * slots / 60_000 })
        };
        self.recovered_at.and_then(ramp_up).unwrap_or(BreakerState::Closed)
    }

    /// True if the breaker opens when `member` is rate limited at `now`, given what was stored before.
    pub fn trips(&self, member: &str, now: Timestamp) -> bool {
        let another = self.last_limited.as_ref().is_some_and(|(last, at)| {
            let window = SignedDuration::from_secs(limits::TOKEN_PENALTY_CORRELATION_SECONDS);
            last != member && saturating_add(*at, window) > now
        });
        // A probe and the calls of the ramp-up stand for all members.
        another || !matches!(self.state(1, now), BreakerState::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_breaker_opens_when_a_second_member_is_rate_limited_within_a_minute() {
        let record = BreakerRecord { last_limited: Some(("a".into(), at(100))), ..BreakerRecord::default() };
        assert!(!BreakerRecord::default().trips("a", at(100)));
        assert!(!record.trips("a", at(101)));
        assert!(record.trips("b", at(101)));
        assert!(!record.trips("b", at(161)), "a minute has passed");
    }

    #[test]
    fn after_a_penalty_one_probe_is_allowed_and_then_the_rate_ramps_up() {
        let open = BreakerRecord { open_until: Some(at(200)), ..BreakerRecord::default() };
        assert_eq!(open.state(300, at(199)), BreakerState::Open(at(200)));
        assert_eq!(open.state(300, at(200)), BreakerState::HalfOpen);
        assert!(open.trips("a", at(300)), "the probe was rate limited");
        let recovered = BreakerRecord { recovered_at: Some(at(300)), ..BreakerRecord::default() };
        assert_eq!(recovered.state(300, at(301)), BreakerState::RampUp { minute: 0, slot: 0 });
        assert_eq!(recovered.state(300, at(303)), BreakerState::RampUp { minute: 0, slot: 1 });
        assert_eq!(recovered.state(300, at(359)), BreakerState::RampUp { minute: 0, slot: 29 });
        assert_eq!(
            recovered.state(5, at(359)),
            BreakerState::RampUp { minute: 0, slot: 0 },
            "one slot a minute"
        );
        assert_eq!(recovered.state(300, at(419)), BreakerState::RampUp { minute: 1, slot: 98 });
        assert!(recovered.trips("a", at(361)));
        assert_eq!(recovered.state(300, at(421)), BreakerState::Closed);
    }
}
