//! Silence of the token endpoint for more than one user.
//!
//! RingCentral's guide counts token calls for each user; an announcement of its community counts them for the app. Every
//! call within a penalty restarts it, so when the second holds, each connection that learns of the penalty by itself makes
//! it longer for all. So whoever is told to wait says so to its circle: the members of a tenant are its users, the members
//! of the app are its tenants. What a tenant can bring about as often as it likes, signing in and ending sessions, is told
//! to the tenant's circle alone. One member in a penalty concerns nobody else; a second one within a minute closes the
//! circle. Afterwards one call goes ahead, and if it is answered, the others follow slowly at first.

use jiff::{SignedDuration, Timestamp};

use crate::limits;
use crate::model::rate::later;

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
    /// As one of so many in this minute, for the silence is not long over. The minutes are numbered.
    Slow {
        /// Which minute.
        minute: i64,
        /// How many calls in it.
        calls: u32,
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
        let minute = self.opened_at.map(|at| now.duration_since(at).as_mins());
        let share = minute.and_then(|minute| limits::TOKEN_RAMP_SHARES.get(usize::try_from(minute).ok()?));
        match (minute, share) {
            (Some(minute), Some(share)) => Gate::Slow { minute, calls: (budget / share).max(1) },
            _ => Gate::Open,
        }
    }

    /// True if the circle closes when, after all this, `member` is told to wait.
    pub fn closes(&self, member: &str, now: Timestamp) -> bool {
        let another = self.told.as_ref().is_some_and(|(who, at)| {
            who != member && later(*at, SignedDuration::from_secs(limits::TOKEN_PENALTY_NEWS_SECONDS)) > now
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
        assert_eq!(opened.gate(300, at(301)), Gate::Slow { minute: 0, calls: 30 });
        assert_eq!(opened.gate(5, at(301)), Gate::Slow { minute: 0, calls: 1 });
        assert_eq!(opened.gate(300, at(361)), Gate::Slow { minute: 1, calls: 100 });
        assert!(opened.closes("a", at(361)));
        assert_eq!(opened.gate(300, at(421)), Gate::Open);
    }
}
