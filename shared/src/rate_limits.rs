//! Rate limits over rolling windows, exact across all processes.
//!
//! A limit of up to [`limits::COUNTER_LOG_ENTRIES`] is counted in a log of timestamps: one conditional write for each
//! request, two when old entries have to be removed from a full log. A larger limit is counted in slots: one write for each
//! request, two for the first one in a slot. If one counter would be written too often ([`limits::COUNTER_SHARE`]), the
//! limit is sharded over several. The first rejection in a process costs a write, too; then the process caches until when
//! the counter is full.
//!
//! If the counters fail, requests are still limited: each process counts locally, with the whole limit, and uses the
//! counters again after [`limits::LOCAL_COUNTING_SECONDS`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::cache::Cache;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::ids::TenantId;
use crate::model::random;
use crate::model::rate_limit::{Allowance, RateLimitCount, Slots, shards, share, within};
use crate::retry::{Attempt, retry_on_conflict};
use crate::store::{LogCountOutcome, SlotCountOutcome, StoreError, WriteOutcome};

/// The only key of `counter_outages`.
const ALL: &str = "all";

/// Counts a request. Without the counters, this process counts locally.
pub async fn count_request(gateway: &Gateway, counter: &str, limit: u32) -> RateLimitCount {
    let allowance = Allowance::per_minute(limit);
    let now = gateway.clock.now();
    if gateway.cache.counter_outages.get(ALL, now).is_none() {
        let patience = Duration::from_millis(limits::COUNTING_MS);
        match tokio::time::timeout(patience, count(gateway, counter, allowance)).await {
            Ok(Ok(count)) => return count,
            Ok(Err(error)) => tracing::warn!(
                error = Error::from(error).chain(),
                "rate limit counters failed; counting locally"
            ),
            Err(_) => tracing::warn!("rate limit counters did not respond in time; counting locally"),
        }
        let until = saturating_add(now, SignedDuration::from_secs(limits::LOCAL_COUNTING_SECONDS));
        gateway.cache.counter_outages.insert(ALL, (), until);
    }
    count_locally(&gateway.cache, counter, allowance, now)
}

/// The rejection of a request, if this process has cached that its counters are full. Makes no AWS call.
pub fn cached_rejection(gateway: &Gateway, counter: &str, limit: u32) -> Option<RateLimitCount> {
    let now = gateway.clock.now();
    let full_until = |name: &str, limit: u32| {
        let full = gateway.cache.exhausted_counters.get(name, now);
        full.filter(|(known, _)| *known == limit).map(|(_, until)| until)
    };
    let until = if limit <= limits::COUNTER_LOG_ENTRIES {
        full_until(counter, limit)
    } else {
        let shards = shards(limit, limits::COUNTER_SHARE);
        let all = (0..shards)
            .map(|shard| full_until(&shard_name(counter, shards, shard), share(limit, shards, shard)));
        all.collect::<Option<Vec<_>>>()?.into_iter().min()
    };
    Some(RateLimitCount::rejected(limit, until?, now))
}

fn shard_name(counter: &str, shards: u32, shard: u32) -> String {
    format!("{counter}#{shards}#{shard}")
}

/// Counts a new link of a tenant. Without the counters, no link is created.
///
/// # Errors
/// [`Error::RateLimited`] if the limit is reached.
pub async fn count_link(gateway: &Gateway, tenant: &TenantId, limit: u32) -> Result<()> {
    let count = count(gateway, &format!("links#{tenant}"), Allowance::per_hour(limit)).await?;
    if count.allowed { Ok(()) } else { Err(Error::RateLimited { limit, retry_after: count.reset }) }
}

/// Counts a call of the token endpoint against the limits of its caller and of the app. Returns how long to wait if a limit
/// is reached. Without the counters, no call is made.
pub async fn count_token_call(
    gateway: &Gateway,
    issuer: &str,
    caller: &str,
    limit: u32,
) -> Result<Option<Duration>> {
    let own = format!("token-calls#{issuer}#{caller}");
    let of_caller = count(gateway, &own, Allowance::per_minute(limit)).await?;
    if !of_caller.allowed {
        return Ok(Some(of_caller.reset));
    }
    let app = Allowance::per_minute(gateway.config.token_calls_per_minute);
    let of_app = count(gateway, &format!("token-calls#{issuer}"), app).await?;
    Ok((!of_app.allowed).then_some(of_app.reset))
}

/// How long message sync has to wait before it may have a token refreshed; `None` if it may now. It leaves a part of the app's
/// token calls to the others: they would fail, and a sync only comes later.
pub async fn wait_for_spare_token_calls(gateway: &Gateway, issuer: &str) -> Result<Option<Duration>> {
    let app = Allowance::per_minute(gateway.config.token_calls_per_minute);
    let shards =
        if app.limit <= limits::COUNTER_LOG_ENTRIES { 1 } else { shards(app.limit, limits::COUNTER_SHARE) };
    // The shards are used evenly.
    let shard = u32::try_from(random::below(shards.into())).unwrap_or(0);
    let counter = format!("token-calls#{issuer}");
    let used = if app.limit <= limits::COUNTER_LOG_ENTRIES {
        gateway.store.counted_in_log(&counter, app).await?
    } else {
        gateway
            .store
            .counted_in_slots(&shard_name(&counter, shards, shard), app)
            .await?
            .saturating_mul(shards)
    };
    let is_short = used >= (app.limit / limits::SYNC_TOKEN_SHARE).max(1);
    Ok(is_short.then(|| app.window.try_into().unwrap_or_default()))
}

/// Counts one more, unless the limit is reached.
pub async fn count(
    gateway: &Gateway,
    counter: &str,
    allowance: Allowance,
) -> Result<RateLimitCount, StoreError> {
    if allowance.limit <= limits::COUNTER_LOG_ENTRIES {
        return count_shard(gateway, counter, allowance).await;
    }
    let shards = shards(allowance.limit, limits::COUNTER_SHARE);
    let first = u32::try_from(random::below(shards.into())).unwrap_or(0);
    let mut earliest: Option<RateLimitCount> = None;
    for step in 0..shards {
        let shard = (first + step) % shards;
        let allowed = Allowance { limit: share(allowance.limit, shards, shard), ..allowance };
        let count = count_shard(gateway, &shard_name(counter, shards, shard), allowed).await?;
        if count.allowed {
            // The other shards are not read; they are assumed to have as much left as this one.
            let remaining = count.remaining.saturating_mul(shards).min(allowance.limit);
            return Ok(RateLimitCount { limit: allowance.limit, remaining, ..count });
        }
        earliest = Some(earliest.filter(|known| known.reset < count.reset).unwrap_or(count));
    }
    let rejected = earliest.ok_or(StoreError::Damaged("limit"))?;
    Ok(RateLimitCount { limit: allowance.limit, ..rejected })
}

async fn count_shard(
    gateway: &Gateway,
    counter: &str,
    allowance: Allowance,
) -> Result<RateLimitCount, StoreError> {
    let now = gateway.clock.now();
    if let Some((_, until)) =
        gateway.cache.exhausted_counters.get(counter, now).filter(|(limit, _)| *limit == allowance.limit)
    {
        return Ok(RateLimitCount::rejected(allowance.limit, until, now));
    }
    let count = if allowance.limit <= limits::COUNTER_LOG_ENTRIES {
        count_in_log(gateway, counter, allowance).await?
    } else {
        count_in_slots(gateway, counter, allowance).await?
    };
    if !count.allowed {
        let until = saturating_add(now, SignedDuration::try_from(count.reset).unwrap_or_default());
        gateway.cache.exhausted_counters.insert(counter, (allowance.limit, until), until);
    }
    Ok(count)
}

async fn count_in_log(
    gateway: &Gateway,
    counter: &str,
    allowance: Allowance,
) -> Result<RateLimitCount, StoreError> {
    retry_on_conflict(limits::COUNTER_ATTEMPTS, keeps_changing, || async {
        let now = gateway.clock.now();
        let log = match gateway.store.append_to_log(counter, allowance, now).await {
            Ok(LogCountOutcome::Appended(log)) => {
                let recent = within(allowance, &log, now);
                return Ok(Attempt::Done(RateLimitCount::of_log(allowance, &recent, now)));
            }
            Ok(LogCountOutcome::Full(log)) => log,
            Err(StoreError::Damaged(_)) => {
                tracing::warn!("unreadable rate limit counter started anew");
                gateway.store.restart_log(counter, allowance, now).await?;
                return Ok(Attempt::Done(RateLimitCount::of_log(allowance, &[now], now)));
            }
            Err(error) => return Err(error),
        };
        let mut recent = within(allowance, &log, now);
        if recent.len() >= usize::try_from(allowance.limit).unwrap_or(usize::MAX) {
            return Ok(Attempt::Done(RateLimitCount::of_full_log(allowance, &recent, now)));
        }
        recent.push(now);
        Ok(match gateway.store.replace_log(counter, allowance, &log, &recent).await? {
            WriteOutcome::Applied => Attempt::Done(RateLimitCount::of_log(allowance, &recent, now)),
            WriteOutcome::Conflict => Attempt::Conflict,
        })
    })
    .await
}

async fn count_in_slots(
    gateway: &Gateway,
    counter: &str,
    allowance: Allowance,
) -> Result<RateLimitCount, StoreError> {
    retry_on_conflict(limits::COUNTER_ATTEMPTS, keeps_changing, || async {
        let now = gateway.clock.now();
        let slot = Slots::number_at(allowance.window, now);
        let seen = match gateway.store.count_in_slot(counter, allowance, slot).await {
            Ok(SlotCountOutcome::Counted(slots)) => {
                return Ok(Attempt::Done(RateLimitCount::of_slots(allowance, &slots, now)));
            }
            Ok(SlotCountOutcome::NotCounted(slots)) => Some(slots),
            Ok(SlotCountOutcome::Absent) => None,
            Err(StoreError::Damaged(_)) => {
                tracing::warn!("unreadable rate limit counter started anew");
                let mut slots = Slots::empty(slot);
                slots.add();
                gateway.store.restart_slots(counter, allowance, &slots).await?;
                return Ok(Attempt::Done(RateLimitCount::of_slots(allowance, &slots, now)));
            }
            Err(error) => return Err(error),
        };
        let mut moved = seen.clone().unwrap_or_else(|| Slots::empty(slot)).moved_to(slot);
        if moved.total >= allowance.limit {
            return Ok(Attempt::Done(RateLimitCount::of_full_slots(allowance, &moved, now)));
        }
        if let Some(newer) = seen.as_ref().map(|seen| seen.slot).filter(|seen| *seen >= slot) {
            // Another process has moved the counter meanwhile, or its clock is ahead of this one's.
            return Ok(match gateway.store.count_in_slot(counter, allowance, newer).await? {
                SlotCountOutcome::Counted(slots) => {
                    Attempt::Done(RateLimitCount::of_slots(allowance, &slots, now))
                }
                SlotCountOutcome::NotCounted(_) | SlotCountOutcome::Absent => Attempt::Conflict,
            });
        }
        moved.add();
        Ok(match gateway.store.replace_slots(counter, allowance, seen.as_ref(), &moved).await? {
            WriteOutcome::Applied => Attempt::Done(RateLimitCount::of_slots(allowance, &moved, now)),
            WriteOutcome::Conflict => Attempt::Conflict,
        })
    })
    .await
}

fn count_locally(cache: &Cache, counter: &str, allowance: Allowance, now: Timestamp) -> RateLimitCount {
    let slot = Slots::number_at(allowance.window, now);
    let until = saturating_add(saturating_add(now, allowance.window), allowance.window);
    cache.local_counts.update(
        counter,
        now,
        until,
        || Slots::empty(slot),
        |slots| {
            *slots = slots.moved_to(slot);
            if slots.total >= allowance.limit {
                return RateLimitCount::of_full_slots(allowance, slots, now);
            }
            slots.add();
            RateLimitCount::of_slots(allowance, slots, now)
        },
    )
}

fn keeps_changing() -> StoreError {
    StoreError::Unavailable("a counter keeps changing".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_counts_locally_enforces_the_limit() {
        let cache = Cache::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let allowance = Allowance::per_minute(3);
        let tries: Vec<bool> =
            (0..5).map(|second| count_locally(&cache, "k", allowance, at(second)).allowed).collect();
        assert_eq!(tries, [true, true, true, false, false]);
        assert!(count_locally(&cache, "other", allowance, at(4)).allowed);
        assert_eq!(count_locally(&cache, "k", allowance, at(10)).reset, Duration::from_secs(51));
        assert!(count_locally(&cache, "k", allowance, at(61)).allowed);
    }
}
