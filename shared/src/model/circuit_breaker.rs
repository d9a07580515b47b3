//! Silence of the token endpoint for more than one user.
//!
//! RingCentral's guide counts token calls for each user; an announcement of its community counts them for the app. Every
//! call within a penalty restarts it, so when the second holds, each connection that learns of the penalty by itself makes
//! it longer for all. So whoever is told to wait says so to its circle: the members of a tenant are its users, the members
//! of the app are its tenants. What a tenant can bring about as often as it likes, signing in and ending sessions, is told
//! to the tenant's circle alone. One member in a penalty concerns nobody else; a second one within a minute closes the
//! circle. Afterwards one call goes ahead, and if it is answered, the others follow slowly at first.

use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::limits;

/// What a circle knows of penalties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Penalty {
    /// Who was told to wait last, and when.
    pub told: Option<(String, Timestamp)>,
    /// No calls before this moment; afterwards one at a time, until one is answered.
    pub closed_until: Option<Timestamp>,
    /// When a call was answered after the silence.
    pub opened_at: Option<Timestamp>,
}

/// Whether a member may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Open,
    /// If nobody else has in this turn, for the silence is not long over: calls at the same moment would meet the limit
    /// together, and all but the first of them within the penalty.
    Turn {
        /// The minute after the silence.
        minute: i64,
        /// The number of the turn in it.
        turn: i64,
    },
    /// The silence is over, but nobody has had an answer since: the one that goes ahead may.
    Ahead,
    /// Not before this moment.
    Closed(Timestamp),
}

impl Penalty {
    /// Whether a member may call, where `budget` calls a minute are allowed in good times.
    pub fn gate(&self, budget: u32, now: Timestamp) -> Gate {
        if let Some(until) = self.closed_until {
            return if until > now { Gate::Closed(until) } else { Gate::Ahead };
        }
        let turn = |at: Timestamp| {
            let since = now.duration_since(at);
            let minute = since.as_mins();
            let share = limits::TOKEN_RAMP_SHARES.get(usize::try_from(minute).ok()?)?;
            let turns = i64::from(budget / share).max(1);
            let within = i64::try_from(since.as_millis() % 60_000).unwrap_or(0);
            Some(Gate::Turn { minute, turn: within * turns / 60_000 })
        };
        self.opened_at.and_then(turn).unwrap_or(Gate::Open)
    }

    /// True if the circle closes when, after all this, `member` is told to wait.
    pub fn closes(&self, member: &str, now: Timestamp) -> bool {
        let another = self.told.as_ref().is_some_and(|(who, at)| {
            who != member
                && saturating_add(*at, SignedDuration::from_secs(limits::TOKEN_PENALTY_NEWS_SECONDS)) > now
        });
        // Whoever goes ahead, or follows slowly, speaks for all.
        another || !matches!(self.gate(1, now), Gate::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn one_member_concerns_nobody_and_a_second_one_closes_the_circle() {
        let told = Penalty { told: Some(("a".into(), at(100))), ..Penalty::default() };
        assert!(!Penalty::default().closes("a", at(100)));
        assert!(!told.closes("a", at(101)));
        assert!(told.closes("b", at(101)));
        assert!(!told.closes("b", at(161)), "the news is old");
    }

    #[test]
    fn after_the_silence_one_goes_ahead_and_the_others_follow_slowly() {
        let closed = Penalty { closed_until: Some(at(200)), ..Penalty::default() };
        assert_eq!(closed.gate(300, at(199)), Gate::Closed(at(200)));
        assert_eq!(closed.gate(300, at(200)), Gate::Ahead);
        assert!(closed.closes("a", at(300)), "the one that went ahead was told to wait");
        let opened = Penalty { opened_at: Some(at(300)), ..Penalty::default() };
        assert_eq!(opened.gate(300, at(301)), Gate::Turn { minute: 0, turn: 0 });
        assert_eq!(opened.gate(300, at(303)), Gate::Turn { minute: 0, turn: 1 });
        assert_eq!(opened.gate(300, at(359)), Gate::Turn { minute: 0, turn: 29 });
        assert_eq!(opened.gate(5, at(359)), Gate::Turn { minute: 0, turn: 0 }, "one call in this minute");
        assert_eq!(opened.gate(300, at(419)), Gate::Turn { minute: 1, turn: 98 });
        assert!(opened.closes("a", at(361)));
        assert_eq!(opened.gate(300, at(421)), Gate::Open);
    }
}
