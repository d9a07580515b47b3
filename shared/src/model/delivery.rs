//! One event on its way to one app: when it is tried, how its outcome is judged, and when an address is left alone.
//!
//! Everything here is decided from values; nothing waits and nothing is sent.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::event::EventKind;
use super::ids::{AppId, DeliveryId, EventId, TenantId};
use crate::clock::saturating_add;
use crate::limits;

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It is tried, or will be tried again.
    Pending,
    /// The address has taken it.
    Delivered,
    /// It was tried for days, or the app has no address any more.
    Failed,
    /// The address is switched off; it can be replayed.
    Held,
}

impl DeliveryStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Failed, Self::Held];

    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Held => "held",
        }
    }

    /// The status behind a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// One event on its way to one app.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Whose.
    pub tenant: TenantId,
    /// The app that is told.
    pub app: AppId,
    /// Its id.
    pub id: DeliveryId,
    /// What the app is told of.
    pub event: EventId,
    /// What kind of event.
    pub kind: EventKind,
    /// The event as it is sent, the same at every attempt.
    pub body: String,
    /// How far it has come.
    pub status: DeliveryStatus,
    /// How often it was tried since it was written or replayed.
    pub attempts: u32,
    /// How often it found all places at its address taken since it was last tried.
    pub crowded: u32,
    /// What the address last answered.
    pub last_status: Option<u16>,
    /// Why it last gave no answer.
    pub last_error: Option<String>,
    /// How long the last attempt took, in milliseconds.
    pub last_ms: Option<u64>,
    /// When it is tried next.
    pub next_attempt: Option<Timestamp>,
}

impl Delivery {
    /// The id of the message that the event is about, for the log.
    pub fn message_id(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct About {
            message_id: Option<String>,
        }
        serde_json::from_str(&self.body).ok().and_then(|about: About| about.message_id)
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// 2xx.
    Received,
    /// 410: the address wants nothing any more.
    Gone,
    /// Anything else, with how long it asks to be left alone.
    Refused(Option<Duration>),
}

/// What is known of an app's address over all deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Failures in a row.
    pub failures: u32,
    /// Since when.
    pub failing_since: Option<Timestamp>,
    /// Nothing is sent before this, but one probe.
    pub closed_until: Option<Timestamp>,
    /// How many notices of the present failure were given.
    pub notices: u32,
    /// Since when it is switched off.
    pub disabled_at: Option<Timestamp>,
    /// Until when each place of an attempt is taken.
    pub places: [Option<Timestamp>; limits::DELIVERIES_AT_ONCE],
}

/// Whether an attempt may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes, in this place.
    Go(usize),
    /// Yes, in this place, alone: the address has failed, and this finds out whether it is back.
    Probe(usize),
    /// Not before this moment. It does not count as an attempt.
    NotBefore(Timestamp),
    /// Not now, for all places are taken. It does not count as an attempt.
    Crowded,
    /// Not at all: the address is switched off.
    Held,
}

impl Health {
    /// Whether an attempt may be made now. `at` spreads attempts over the places.
    pub fn admit(&self, now: Timestamp, at: usize) -> Admission {
        if self.disabled_at.is_some() {
            return Admission::Held;
        }
        if let Some(until) = self.closed_until.filter(|until| now < *until) {
            return Admission::NotBefore(until);
        }
        let free = |place: &usize| self.places[*place].is_none_or(|until| until <= now);
        let count = self.places.len();
        match (0..count).map(|step| (at + step) % count).find(free) {
            Some(place) if self.failures >= limits::BREAKER_FAILURES => Admission::Probe(place),
            Some(place) => Admission::Go(place),
            None => Admission::Crowded,
        }
    }

    /// Until when the address is left alone after so many failures in a row: the pause doubles.
    fn closed_after(failures: u32, now: Timestamp) -> Option<Timestamp> {
        let over = failures.checked_sub(limits::BREAKER_FAILURES)?;
        let pause =
            limits::BREAKER_SECONDS.saturating_mul(1 << over.min(20)).min(limits::BREAKER_MAX_SECONDS);
        Some(saturating_add(now, SignedDuration::from_secs(pause)))
    }
}

/// When a delivery comes back that has found all places taken so many times before. The pause doubles, so that many that
/// wait for a slow address don't keep the workers from the others. `jitter` is between 0 and 1.
pub fn after_crowd(times: u32, now: Timestamp, jitter: f64) -> Timestamp {
    let pause = limits::DELIVERY_CROWDED_SECONDS.saturating_mul(1 << times.min(20));
    let pause = Duration::from_secs(pause.min(limits::DELIVERY_CROWDED_MAX_SECONDS).unsigned_abs());
    let pause = pause.mul_f64(1.0 + jitter.clamp(0.0, 1.0));
    saturating_add(now, SignedDuration::try_from(pause).unwrap_or(SignedDuration::ZERO))
}

/// A notice to the tenant that an address fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// It will be switched off at this moment unless it comes back.
    Warning(Timestamp),
    /// It is switched off after days of failure.
    Disabled,
    /// It is switched off because it answered 410.
    Gone,
}

/// What follows from an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How far the delivery is now.
    pub status: DeliveryStatus,
    /// When it is tried again.
    pub next_attempt: Option<Timestamp>,
    /// What is now known of the address; the places are left as they are.
    pub health: Health,
    /// What the tenant is told.
    pub notice: Option<Notice>,
}

/// Judges an attempt. `attempts` counts this one; `jitter` is between 0 and 1.
pub fn judge(ended: Ended, attempts: u32, health: &Health, now: Timestamp, jitter: f64) -> Verdict {
    let places = health.places;
    let mut after = Health { places, ..Health::default() };
    if ended == Ended::Received {
        return Verdict {
            status: DeliveryStatus::Delivered,
            next_attempt: None,
            health: after,
            notice: None,
        };
    }
    let since = health.failing_since.unwrap_or(now);
    after.failures = health.failures.saturating_add(1);
    after.failing_since = Some(since);
    after.closed_until = Health::closed_after(after.failures, now);
    after.notices = health.notices;
    let mut notice = None;
    let end = saturating_add(since, SignedDuration::from_secs(limits::DISABLED_AFTER_SECONDS));
    if ended == Ended::Gone || end <= now {
        after.disabled_at = Some(now);
        notice = Some(if ended == Ended::Gone { Notice::Gone } else { Notice::Disabled });
    } else {
        let failing = now.duration_since(since).as_secs();
        let reached = limits::NOTICE_AFTER_SECONDS.into_iter().filter(|stage| *stage <= failing).count();
        let reached = u32::try_from(reached).unwrap_or(u32::MAX);
        if reached > health.notices {
            after.notices = reached;
            notice = Some(Notice::Warning(end));
        }
    }
    let next_attempt = match ended {
        Ended::Refused(asked) if after.disabled_at.is_none() => next_attempt(attempts, asked, now, jitter),
        _ => None,
    };
    let status = match (next_attempt, after.disabled_at) {
        (Some(_), _) => DeliveryStatus::Pending,
        (None, Some(_)) => DeliveryStatus::Held,
        (None, None) => DeliveryStatus::Failed,
    };
    Verdict { status, next_attempt, health: after, notice }
}

/// When a delivery is tried again after so many attempts; never, once there were enough. What the address asks for is
/// heeded within bounds, and a delivery never comes earlier than planned.
fn next_attempt(attempts: u32, asked: Option<Duration>, now: Timestamp, jitter: f64) -> Option<Timestamp> {
    let at = usize::try_from(attempts.saturating_sub(1)).ok()?;
    let planned = Duration::from_secs(*limits::DELIVERY_RETRY_SECONDS.get(at)?);
    let planned = planned.mul_f64(1.0 + limits::DELIVERY_JITTER * jitter.clamp(0.0, 1.0));
    let asked = asked.unwrap_or_default().min(Duration::from_secs(limits::RETRY_AFTER_MAX_SECONDS));
    Some(saturating_add(now, SignedDuration::try_from(planned.max(asked)).unwrap_or(SignedDuration::ZERO)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    const DAY: i64 = 24 * 3_600;

    #[test]
    fn a_delivery_is_tried_at_least_ten_times_over_three_days() {
        for jitter in [0.0, 0.5, 1.0] {
            let (mut now, mut attempts) = (at(0), 1);
            while let Some(next) = next_attempt(attempts, None, now, jitter) {
                assert!(now < next);
                (now, attempts) = (next, attempts + 1);
            }
            assert!(attempts >= 10, "{attempts}");
            assert!(now >= at(3 * DAY), "{now}");
        }
    }

    #[test]
    fn what_an_address_asks_for_is_heeded_within_bounds() {
        let next = |asked| next_attempt(1, Some(Duration::from_secs(asked)), at(0), 0.0).unwrap();
        assert_eq!(next(600), at(600));
        assert!(next(0) >= at(1), "never earlier than planned");
        assert!(next(u64::from(u32::MAX)) <= at(limits::RETRY_AFTER_MAX_SECONDS.cast_signed()));
    }

    #[test]
    fn an_address_is_switched_off_after_days_with_notices_on_the_way() {
        let mut health = Health::default();
        let mut notices = Vec::new();
        for hour in 0..=5 * 24 {
            let verdict = judge(Ended::Refused(None), 1, &health, at(hour * 3_600), 0.0);
            notices.extend(verdict.notice);
            health = verdict.health;
        }
        let end = at(5 * DAY);
        assert_eq!(notices, [Notice::Warning(end), Notice::Warning(end), Notice::Disabled]);
        assert_eq!(health.admit(at(6 * DAY), 0), Admission::Held);
        assert_eq!(judge(Ended::Refused(None), 1, &health, end, 0.0).status, DeliveryStatus::Held);
    }

    #[test]
    fn gone_switches_off_at_once_and_one_success_forgets_all_failures() {
        let gone = judge(Ended::Gone, 1, &Health::default(), at(0), 0.0);
        assert_eq!((gone.status, gone.notice), (DeliveryStatus::Held, Some(Notice::Gone)));
        let ill = Health { failures: 9, failing_since: Some(at(0)), notices: 1, ..Health::default() };
        assert_eq!(judge(Ended::Received, 3, &ill, at(1), 0.0).health, Health::default());
    }

    #[test]
    fn an_address_that_fails_is_left_alone_and_then_probed() {
        let mut health = Health::default();
        for _ in 0..limits::BREAKER_FAILURES {
            assert!(matches!(health.admit(at(0), 0), Admission::Go(_)));
            health = judge(Ended::Refused(None), 1, &health, at(0), 0.0).health;
        }
        let Admission::NotBefore(until) = health.admit(at(0), 0) else { panic!("closed") };
        assert_eq!(until, at(limits::BREAKER_SECONDS));
        assert!(matches!(health.admit(until, 0), Admission::Probe(_)));
    }

    #[test]
    fn only_so_many_attempts_at_a_time_go_to_one_address() {
        let mut health = Health::default();
        for _ in 0..limits::DELIVERIES_AT_ONCE {
            let Admission::Go(place) = health.admit(at(0), 7) else { panic!("a place is free") };
            health.places[place] = Some(at(10));
        }
        assert_eq!(health.admit(at(0), 7), Admission::Crowded);
        assert!(
            matches!(health.admit(at(10), 7), Admission::Go(_)),
            "a place of a process that died comes free"
        );
    }

    #[test]
    fn the_more_often_a_delivery_finds_no_place_the_later_it_comes_back() {
        let pauses: Vec<_> = (0..8).map(|times| after_crowd(times, at(0), 0.0)).collect();
        assert_eq!(pauses[..3], [at(5), at(10), at(20)]);
        assert!(pauses.is_sorted());
        let last = after_crowd(u32::MAX, at(0), 1.0);
        assert_eq!(last, at(2 * limits::DELIVERY_CROWDED_MAX_SECONDS));
    }

    proptest! {
        #[test]
        fn every_delivery_ends_and_none_is_forgotten(
            outcomes in proptest::collection::vec((0_u8..4, 0_u64..100_000, 0.0_f64..1.0), 1..40)
        ) {
            let (mut health, mut now, mut attempts) = (Health::default(), at(0), 0);
            for (kind, asked, jitter) in outcomes {
                attempts += 1;
                let ended = match kind {
                    0 => Ended::Received,
                    1 => Ended::Gone,
                    _ => Ended::Refused(Some(Duration::from_secs(asked))),
                };
                let verdict = judge(ended, attempts, &health, now, jitter);
                prop_assert_eq!(verdict.status == DeliveryStatus::Pending, verdict.next_attempt.is_some());
                prop_assert!(verdict.next_attempt.is_none_or(|next| next > now));
                let Some(next) = verdict.next_attempt else { return Ok(()) };
                (health, now) = (verdict.health, next);
            }
            prop_assert!(attempts <= 12, "it ends by itself");
        }
    }
}
