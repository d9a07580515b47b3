//! How often a connection's messages are synced: the more recent its last message, the more often. A sync needs a valid
//! access token, so an idle connection that was synced often would be refreshed often.

use jiff::{SignedDuration, Timestamp};

use super::ids::ConnectionId;
use crate::clock::saturating_add;
use crate::limits;

/// How recently a connection has sent or received a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Within the last hour.
    Active,
    /// Within the last day.
    Recent,
    Idle,
}

impl Activity {
    pub fn at(last_message: Option<Timestamp>, now: Timestamp) -> Self {
        match last_message.map(|at| now.duration_since(at).as_secs()) {
            Some(..limits::ACTIVE_FOR_SECONDS) => Self::Active,
            Some(..limits::RECENT_FOR_SECONDS) => Self::Recent,
            Some(_) | None => Self::Idle,
        }
    }
}

/// The intervals between two syncs of a connection, by its activity. Each connection varies them, up to a fifth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncIntervals {
    pub active_seconds: i64,
    pub recent_seconds: i64,
    pub idle_seconds: i64,
}

impl SyncIntervals {
    /// When a connection is synced next, if nothing makes the sync due earlier. A sync that would need another access token
    /// than this one joins the daily check (`next_check`) if that comes first, so that both share a token.
    pub fn next_sync(
        &self,
        connection: &ConnectionId,
        last_message: Option<Timestamp>,
        next_check: Option<Timestamp>,
        now: Timestamp,
    ) -> Timestamp {
        let seconds = match Activity::at(last_message, now) {
            Activity::Active => return self.next_while_active(connection, now),
            Activity::Recent => self.recent_seconds,
            Activity::Idle => self.idle_seconds,
        };
        let due = saturating_add(now, connection.spread_interval(seconds));
        let with_check = next_check
            .map(|at| saturating_add(at, SignedDuration::from_secs(limits::SYNC_AFTER_CHECK_SECONDS)));
        let needs_token_from = saturating_add(now, SignedDuration::from_secs(limits::ACCESS_TOKEN_SECONDS));
        with_check.filter(|at| *at >= needs_token_from).map_or(due, |at| due.min(at))
    }

    /// When an active connection is synced next. One that sends or receives a message is synced by then.
    pub fn next_while_active(&self, connection: &ConnectionId, now: Timestamp) -> Timestamp {
        saturating_add(now, connection.spread_interval(self.active_seconds))
    }
}

/// When a connection is synced next while the delivery of its last sent message is not reported: the time since the message
/// doubles, so that a report is noticed after at most as long again as it took.
pub fn follow_up(since: Timestamp, now: Timestamp) -> Timestamp {
    let least = SignedDuration::from_secs(limits::STATUS_FOLLOW_UP_SECONDS);
    saturating_add(now, now.duration_since(since).max(least))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVALS: SyncIntervals =
        SyncIntervals { active_seconds: 600, recent_seconds: 7_200, idle_seconds: 43_200 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn the_interval_follows_the_last_message() {
        for (ago, activity) in [
            (Some(-5), Activity::Active),
            (Some(3_599), Activity::Active),
            (Some(3_600), Activity::Recent),
            (Some(86_399), Activity::Recent),
            (Some(86_400), Activity::Idle),
            (None, Activity::Idle),
        ] {
            assert_eq!(Activity::at(ago.map(|ago| at(-ago)), at(0)), activity, "{ago:?}");
        }
    }

    proptest! {
        #[test]
        fn no_interval_is_more_than_a_fifth_longer(
            ago in proptest::option::of(-100_i64..200_000), check in proptest::option::of(-90_000_i64..90_000)
        ) {
            let id = ConnectionId::generate();
            let last_message = ago.map(|ago| at(-ago));
            let next = INTERVALS.next_sync(&id, last_message, check.map(at), at(0));
            let seconds = match Activity::at(last_message, at(0)) {
                Activity::Active => INTERVALS.active_seconds,
                Activity::Recent => INTERVALS.recent_seconds,
                Activity::Idle => INTERVALS.idle_seconds,
            };
            let interval = next.duration_since(at(0)).as_secs();
            prop_assert!(interval <= seconds * 6 / 5, "{interval}");
            prop_assert!(interval >= (seconds * 4 / 5).min(limits::ACCESS_TOKEN_SECONDS), "{interval}");
        }

        /// Each sync begins up to a minute after it is due.
        #[test]
        fn a_late_report_is_noticed_a_minute_after_as_long_again_as_it_took(
            took in 0_i64..5_000, first in 20_i64..=40, delays in proptest::collection::vec(0_i64..=60, 12)
        ) {
            let sent = Timestamp::from_second(1_800_000_000).unwrap();
            let at = |seconds: i64| sent + SignedDuration::from_secs(seconds);
            let mut now = first;
            for delay in delays {
                if now >= took {
                    break;
                }
                now = follow_up(sent, at(now)).duration_since(sent).as_secs() + delay;
            }
            prop_assert!(now >= took && now - took <= took.max(30) + 60, "noticed after {now}");
        }
    }

    /// A day's checks and syncs of connections whose checks and syncs begin at unrelated times.
    #[test]
    fn an_idle_connection_needs_two_tokens_a_day() {
        const CONNECTIONS: i64 = 500;
        const DAYS: i64 = 40;
        let (mut tokens, mut syncs) = (0, 0);
        for first in 0..CONNECTIONS {
            let id = ConnectionId::generate();
            let (mut check, mut sync, mut valid_until) = (at(first * 170), at(60), at(0));
            while check.min(sync) < at(DAYS * 86_400) {
                let now = check.min(sync);
                if valid_until < now {
                    tokens += 1;
                    valid_until = now + SignedDuration::from_secs(limits::ACCESS_TOKEN_SECONDS);
                }
                if now == check {
                    check = now + id.spread_interval(limits::CHECK_SECONDS);
                } else {
                    syncs += 1;
                    sync = INTERVALS.next_sync(&id, None, Some(check), now);
                }
            }
        }
        // The first days bring both together.
        let a_day = |count: i64| count * 100 / (CONNECTIONS * DAYS);
        assert!(a_day(tokens) <= 207 && a_day(syncs) <= 207, "{} {}", a_day(tokens), a_day(syncs));
    }
}
