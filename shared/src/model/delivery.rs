//! Delivery of one event to one app: the retry schedule, how an attempt changes the delivery and the health of its endpoint,
//! and when an endpoint is paused or disabled. Pure functions of their arguments.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::event::EventKind;
use super::ids::{AppId, DeliveryId, EventId, MessageId, TenantId};
use super::string_enum::string_enum;
use crate::clock::saturating_add;
use crate::limits;

string_enum! {
    pub enum DeliveryStatus {
        /// Due now, or waiting for its next attempt.
        Pending = "pending",
        /// The endpoint answered with a 2xx status.
        Delivered = "delivered",
        /// Every attempt of the retry schedule failed, or the app has no webhook URL any more.
        Failed = "failed",
        /// The endpoint is disabled; the delivery can be replayed.
        Held = "held",
    }
}

/// One event for one app.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub tenant: TenantId,
    pub app: AppId,
    pub id: DeliveryId,
    pub event: EventId,
    pub kind: EventKind,
    /// The message that the event is about, if any.
    pub message: Option<MessageId>,
    /// The request body, identical in every attempt.
    pub body: String,
    pub status: DeliveryStatus,
    /// Attempts since the delivery was created or replayed.
    pub attempts: u32,
    /// How many times in a row every slot of the endpoint was busy when the delivery was due.
    pub busy_count: u32,
    /// HTTP status of the last response.
    pub last_status: Option<u16>,
    /// Why the last attempt got no response.
    pub last_error: Option<String>,
    /// Duration of the last attempt, in milliseconds.
    pub last_ms: Option<u64>,
    pub next_attempt: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// 2xx.
    Accepted,
    /// 410: the endpoint asks for no further events.
    Gone,
    /// Any other status, or no response; with the delay of `Retry-After`, if there was one.
    Failed(Option<Duration>),
}

/// The health of an app's endpoint, shared by all its deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Consecutive failed attempts.
    pub failures: u32,
    pub failing_since: Option<Timestamp>,
    /// Until then nothing is sent. Afterwards one attempt at a time probes the endpoint.
    pub paused_until: Option<Timestamp>,
    /// Warnings sent to the tenant since the endpoint started to fail.
    pub warnings_sent: u32,
    pub disabled_at: Option<Timestamp>,
    /// Each slot allows one attempt at a time; until when each is acquired.
    pub slots: [Option<Timestamp>; limits::DELIVERIES_AT_ONCE],
}

/// Whether an attempt is allowed now. One that is not allowed does not count as an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Allowed, in this slot.
    Attempt(usize),
    /// Allowed in this slot, as the only attempt: the endpoint was paused, and this one finds out whether it has recovered.
    Probe(usize),
    PausedUntil(Timestamp),
    /// Every slot is acquired.
    Busy,
    /// The endpoint is disabled.
    Disabled,
}

impl EndpointHealth {
    /// `first_slot` is the slot tried first, so that concurrent attempts do not all try the same one.
    pub fn admit(&self, now: Timestamp, first_slot: usize) -> Admission {
        if self.disabled_at.is_some() {
            return Admission::Disabled;
        }
        if let Some(until) = self.paused_until.filter(|until| now < *until) {
            return Admission::PausedUntil(until);
        }
        let is_free = |slot: &usize| self.slots[*slot].is_none_or(|until| until <= now);
        let count = self.slots.len();
        match (0..count).map(|step| (first_slot + step) % count).find(is_free) {
            Some(slot) if self.failures >= limits::BREAKER_FAILURES => Admission::Probe(slot),
            Some(slot) => Admission::Attempt(slot),
            None => Admission::Busy,
        }
    }

    /// The pause after this many consecutive failures. It doubles with each one.
    fn paused_after(failures: u32, now: Timestamp) -> Option<Timestamp> {
        let over = failures.checked_sub(limits::BREAKER_FAILURES)?;
        let pause =
            limits::BREAKER_SECONDS.saturating_mul(1 << over.min(20)).min(limits::BREAKER_MAX_SECONDS);
        Some(saturating_add(now, SignedDuration::from_secs(pause)))
    }
}

/// When a delivery is due again that has found every slot busy `times` times before. The delay doubles, so that the
/// deliveries that wait for a slow endpoint do not occupy the workers. `jitter` is between 0 and 1.
pub fn retry_when_busy(times: u32, now: Timestamp, jitter: f64) -> Timestamp {
    let delay = limits::DELIVERY_BUSY_SECONDS.saturating_mul(1 << times.min(20));
    let delay = Duration::from_secs(delay.min(limits::DELIVERY_BUSY_MAX_SECONDS).unsigned_abs());
    let delay = delay.mul_f64(1.0 + jitter.clamp(0.0, 1.0));
    saturating_add(now, SignedDuration::try_from(delay).unwrap_or(SignedDuration::ZERO))
}

/// What the tenant is notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointNotice {
    /// The endpoint keeps failing and is disabled at this time unless it recovers.
    Warning(Timestamp),
    /// Disabled after failing for [`limits::DISABLED_AFTER_SECONDS`].
    Disabled,
    /// Disabled because it answered 410.
    Gone,
}

/// The fields of the event `webhook_disabled`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointWarning<'a> {
    /// The id of the app.
    pub app_id: &'a str,
    /// `warning`: the endpoint keeps failing; `disabled`: it was disabled after failing for five days; `gone`: it was
    /// disabled because it answered 410.
    pub stage: NoticeStage,
    /// Since when every attempt has failed.
    #[schemars(with = "Option<Timestamp>")]
    pub failing_since: Option<String>,
    /// When the endpoint will be disabled unless it recovers; `null` if it is disabled.
    #[schemars(with = "Option<Timestamp>")]
    pub disables_at: Option<String>,
    /// HTTP status of the last response; `null` if there was none.
    pub last_status_code: Option<u16>,
    /// Why the last attempt got no response, as in `lastError` of a delivery.
    pub last_error: Option<&'a str>,
}

string_enum! {
    /// How far an endpoint is from being disabled.
    pub enum NoticeStage {
        Warning = "warning",
        Disabled = "disabled",
        Gone = "gone",
    }
}

/// What an attempt changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryEffect {
    pub status: DeliveryStatus,
    pub next_attempt: Option<Timestamp>,
    /// The slots are unchanged.
    pub health: EndpointHealth,
    pub notice: Option<EndpointNotice>,
}

/// `attempts` includes this one; `jitter` is between 0 and 1.
pub fn effect_of(
    outcome: DeliveryOutcome,
    attempts: u32,
    health: &EndpointHealth,
    now: Timestamp,
    jitter: f64,
) -> DeliveryEffect {
    let slots = health.slots;
    let mut after = EndpointHealth { slots, ..EndpointHealth::default() };
    if outcome == DeliveryOutcome::Accepted {
        return DeliveryEffect {
            status: DeliveryStatus::Delivered,
            next_attempt: None,
            health: after,
            notice: None,
        };
    }
    let since = health.failing_since.unwrap_or(now);
    after.failures = health.failures.saturating_add(1);
    after.failing_since = Some(since);
    after.paused_until = EndpointHealth::paused_after(after.failures, now);
    after.warnings_sent = health.warnings_sent;
    let mut notice = None;
    let end = saturating_add(since, SignedDuration::from_secs(limits::DISABLED_AFTER_SECONDS));
    if outcome == DeliveryOutcome::Gone || end <= now {
        after.disabled_at = Some(now);
        notice = Some(if outcome == DeliveryOutcome::Gone {
            EndpointNotice::Gone
        } else {
            EndpointNotice::Disabled
        });
    } else {
        let failing = now.duration_since(since).as_secs();
        let reached = limits::WARNING_AFTER_SECONDS.into_iter().filter(|stage| *stage <= failing).count();
        let reached = u32::try_from(reached).unwrap_or(u32::MAX);
        if reached > health.warnings_sent {
            after.warnings_sent = reached;
            notice = Some(EndpointNotice::Warning(end));
        }
    }
    let next_attempt = match outcome {
        DeliveryOutcome::Failed(retry_after) if after.disabled_at.is_none() => {
            next_attempt(attempts, retry_after, now, jitter)
        }
        _ => None,
    };
    let status = match (next_attempt, after.disabled_at) {
        (Some(_), _) => DeliveryStatus::Pending,
        (None, Some(_)) => DeliveryStatus::Held,
        (None, None) => DeliveryStatus::Failed,
    };
    DeliveryEffect { status, next_attempt, health: after, notice }
}

/// The next time of the retry schedule after this many attempts; `None` at its end. A longer `Retry-After` is respected up to
/// [`limits::RETRY_AFTER_MAX_SECONDS`]; a shorter one never makes an attempt earlier.
fn next_attempt(
    attempts: u32,
    retry_after: Option<Duration>,
    now: Timestamp,
    jitter: f64,
) -> Option<Timestamp> {
    let at = usize::try_from(attempts.saturating_sub(1)).ok()?;
    let planned = Duration::from_secs(*limits::DELIVERY_RETRY_SECONDS.get(at)?);
    let planned = planned.mul_f64(1.0 + limits::DELIVERY_JITTER * jitter.clamp(0.0, 1.0));
    let requested = retry_after.unwrap_or_default().min(Duration::from_secs(limits::RETRY_AFTER_MAX_SECONDS));
    let delay = SignedDuration::try_from(planned.max(requested)).unwrap_or(SignedDuration::ZERO);
    Some(saturating_add(now, delay))
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
    fn retry_after_is_respected_up_to_its_limit() {
        let next = |retry_after| next_attempt(1, Some(Duration::from_secs(retry_after)), at(0), 0.0).unwrap();
        assert_eq!(next(600), at(600));
        assert!(next(0) >= at(1), "never earlier than planned");
        assert!(next(u64::from(u32::MAX)) <= at(limits::RETRY_AFTER_MAX_SECONDS.cast_signed()));
    }

    #[test]
    fn a_failing_endpoint_is_disabled_after_five_days_with_warnings_before() {
        let mut health = EndpointHealth::default();
        let mut notices = Vec::new();
        for hour in 0..=5 * 24 {
            let effect = effect_of(DeliveryOutcome::Failed(None), 1, &health, at(hour * 3_600), 0.0);
            notices.extend(effect.notice);
            health = effect.health;
        }
        let end = at(5 * DAY);
        assert_eq!(
            notices,
            [EndpointNotice::Warning(end), EndpointNotice::Warning(end), EndpointNotice::Disabled]
        );
        assert_eq!(health.admit(at(6 * DAY), 0), Admission::Disabled);
        assert_eq!(
            effect_of(DeliveryOutcome::Failed(None), 1, &health, end, 0.0).status,
            DeliveryStatus::Held
        );
    }

    #[test]
    fn gone_disables_an_endpoint_at_once_and_one_success_resets_its_failures() {
        let gone = effect_of(DeliveryOutcome::Gone, 1, &EndpointHealth::default(), at(0), 0.0);
        assert_eq!((gone.status, gone.notice), (DeliveryStatus::Held, Some(EndpointNotice::Gone)));
        let failing = EndpointHealth {
            failures: 9,
            failing_since: Some(at(0)),
            warnings_sent: 1,
            ..EndpointHealth::default()
        };
        assert_eq!(
            effect_of(DeliveryOutcome::Accepted, 3, &failing, at(1), 0.0).health,
            EndpointHealth::default()
        );
    }

    #[test]
    fn a_failing_endpoint_is_paused_and_then_probed() {
        let mut health = EndpointHealth::default();
        for _ in 0..limits::BREAKER_FAILURES {
            assert!(matches!(health.admit(at(0), 0), Admission::Attempt(_)));
            health = effect_of(DeliveryOutcome::Failed(None), 1, &health, at(0), 0.0).health;
        }
        let Admission::PausedUntil(until) = health.admit(at(0), 0) else { panic!("paused") };
        assert_eq!(until, at(limits::BREAKER_SECONDS));
        assert!(matches!(health.admit(until, 0), Admission::Probe(_)));
    }

    #[test]
    fn concurrent_attempts_to_one_endpoint_are_limited() {
        let mut health = EndpointHealth::default();
        for _ in 0..limits::DELIVERIES_AT_ONCE {
            let Admission::Attempt(slot) = health.admit(at(0), 7) else { panic!("a slot is free") };
            health.slots[slot] = Some(at(10));
        }
        assert_eq!(health.admit(at(0), 7), Admission::Busy);
        assert!(
            matches!(health.admit(at(10), 7), Admission::Attempt(_)),
            "the slot of a process that died is released"
        );
    }

    #[test]
    fn the_delay_of_a_delivery_that_finds_no_free_slot_doubles() {
        let times: Vec<_> = (0..8).map(|count| retry_when_busy(count, at(0), 0.0)).collect();
        assert_eq!(times[..3], [at(5), at(10), at(20)]);
        assert!(times.is_sorted());
        let last = retry_when_busy(u32::MAX, at(0), 1.0);
        assert_eq!(last, at(2 * limits::DELIVERY_BUSY_MAX_SECONDS));
    }

    proptest! {
        #[test]
        fn every_delivery_ends_and_none_is_lost(
            outcomes in proptest::collection::vec((0_u8..4, 0_u64..100_000, 0.0_f64..1.0), 1..40)
        ) {
            let (mut health, mut now, mut attempts) = (EndpointHealth::default(), at(0), 0);
            for (kind, retry_after, jitter) in outcomes {
                attempts += 1;
                let outcome = match kind {
                    0 => DeliveryOutcome::Accepted,
                    1 => DeliveryOutcome::Gone,
                    _ => DeliveryOutcome::Failed(Some(Duration::from_secs(retry_after))),
                };
                let effect = effect_of(outcome, attempts, &health, now, jitter);
                prop_assert_eq!(effect.status == DeliveryStatus::Pending, effect.next_attempt.is_some());
                prop_assert!(effect.next_attempt.is_none_or(|next| next > now));
                let Some(next) = effect.next_attempt else { return Ok(()) };
                (health, now) = (effect.health, next);
            }
            prop_assert!(attempts <= 12, "the retry schedule ends");
        }
    }
}
