//! Counting: at most so many of something in a rolling window, exact over all processes.
//!
//! A limit of up to [`limits::COUNTER_LOG_ENTRIES`] is a log of moments: one conditional write for each that is
//! counted, two when a full log is cleared of what has left the window. A larger limit is counted in slots, one write
//! each and two for the first in a slot, and spread over several counters when one would be written too often
//! ([`limits::COUNTER_SHARE`]). What is refused costs a write too, but only once in a process: it remembers until when
//! nothing can be allowed.
//!
//! If the counters fail, requests are still bounded: each process counts alone, with the whole limit, and tries the
//! counters again after [`limits::COUNTING_ALONE_SECONDS`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::cache::Cache;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::ids::TenantId;
use crate::model::rate_limit::{Allowance, Count, Slots, part, shards, within};
use crate::store::{Logged, Slotted, StoreError};

/// The only name among the failing counters.
const ALL: &str = "all";

/// Counts a request of a key. Never fails: without the counters, this process counts alone.
pub async fn count_request(gateway: &Gateway, counter: &str, limit: u32) -> Count {
    let allowance = Allowance::per_minute(limit);
    let now = gateway.clock.now();
    if gateway.cache.failing_counters.get(ALL, now).is_none() {
        let patience = Duration::from_millis(limits::COUNTING_MS);
        match tokio::time::timeout(patience, count(gateway, counter, allowance)).await {
            Ok(Ok(count)) => return count,
            Ok(Err(error)) => tracing::warn!(error = Error::from(error).chain(), "the counters fail"),
            Err(_) => tracing::warn!("the counters do not answer in time"),
        }
        let until = saturating_add(now, SignedDuration::from_secs(limits::COUNTING_ALONE_SECONDS));
        gateway.cache.failing_counters.insert(ALL, (), until);
    }
    count_alone(&gateway.cache, counter, allowance, now)
}

/// The refusal of a request, if this process knows already that its counters are full: nothing is asked.
pub fn refused_already(gateway: &Gateway, counter: &str, limit: u32) -> Option<Count> {
    let now = gateway.clock.now();
    let until_of = |name: &str, share: u32| {
        let full = gateway.cache.full_counters.get(name, now);
        full.filter(|(limit, _)| *limit == share).map(|(_, until)| until)
    };
    let until = if limit <= limits::COUNTER_LOG_ENTRIES {
        until_of(counter, limit)
    } else {
        let shards = shards(limit, limits::COUNTER_SHARE);
        let all =
            (0..shards).map(|shard| until_of(&part_name(counter, shards, shard), part(limit, shards, shard)));
        all.collect::<Option<Vec<_>>>()?.into_iter().min()
    };
    Some(Count::refused(limit, until?, now))
}

/// The name of one of the counters that a large limit is spread over.
fn part_name(counter: &str, shards: u32, shard: u32) -> String {
    format!("{counter}#{shards}#{shard}")
}

/// Counts a link of a tenant, or refuses. Without the counters no link is made.
pub async fn count_link(gateway: &Gateway, tenant: &TenantId, limit: u32) -> Result<()> {
    let count = count(gateway, &format!("links#{tenant}"), Allowance::per_hour(limit)).await?;
    if count.allowed { Ok(()) } else { Err(Error::RateLimited { limit, retry_after: count.reset }) }
}

/// Counts a call of the token endpoint for one who calls, and for the app as a whole. How long to wait, if there is no
/// share left. Without the counters no call is made.
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

/// Counts one more, unless as many as are allowed are in the window: exact over all processes.
pub async fn count(gateway: &Gateway, counter: &str, allowance: Allowance) -> Result<Count, StoreError> {
    if allowance.limit <= limits::COUNTER_LOG_ENTRIES {
        return count_part(gateway, counter, allowance).await;
    }
    let shards = shards(allowance.limit, limits::COUNTER_SHARE);
    let first = any_of(shards);
    let mut frees: Option<Count> = None;
    for step in 0..shards {
        let shard = (first + step) % shards;
        let share = Allowance { limit: part(allowance.limit, shards, shard), ..allowance };
        let count = count_part(gateway, &part_name(counter, shards, shard), share).await?;
        if count.allowed {
            // What the other shards have left is not read: they are taken to be as this one is.
            let remaining = count.remaining.saturating_mul(shards).min(allowance.limit);
            return Ok(Count { limit: allowance.limit, remaining, ..count });
        }
        frees = Some(frees.filter(|earlier| earlier.reset < count.reset).unwrap_or(count));
    }
    let refused = frees.ok_or(StoreError::Damaged("limit"))?;
    Ok(Count { limit: allowance.limit, ..refused })
}

/// The same for one counter.
async fn count_part(gateway: &Gateway, counter: &str, allowance: Allowance) -> Result<Count, StoreError> {
    let now = gateway.clock.now();
    if let Some((_, until)) =
        gateway.cache.full_counters.get(counter, now).filter(|(limit, _)| *limit == allowance.limit)
    {
        return Ok(Count::refused(allowance.limit, until, now));
    }
    let count = if allowance.limit <= limits::COUNTER_LOG_ENTRIES {
        count_in_log(gateway, counter, allowance).await?
    } else {
        count_in_slots(gateway, counter, allowance).await?
    };
    if !count.allowed {
        let until = saturating_add(now, SignedDuration::try_from(count.reset).unwrap_or_default());
        gateway.cache.full_counters.insert(counter, (allowance.limit, until), until);
    }
    Ok(count)
}

async fn count_in_log(gateway: &Gateway, counter: &str, allowance: Allowance) -> Result<Count, StoreError> {
    for _ in 0..limits::COUNTER_ATTEMPTS {
        let now = gateway.clock.now();
        let log = match gateway.store.append_to_log(counter, allowance, now).await? {
            Logged::Yes(log) => {
                return Ok(Count::of_log(allowance, &within(allowance, &log, now), true, now));
            }
            Logged::Full(log) => log,
        };
        let mut recent = within(allowance, &log, now);
        if recent.len() >= usize::try_from(allowance.limit).unwrap_or(usize::MAX) {
            return Ok(Count::of_log(allowance, &recent, false, now));
        }
        recent.push(now);
        if gateway.store.replace_log(counter, allowance, &log, &recent).await? {
            return Ok(Count::of_log(allowance, &recent, true, now));
        }
    }
    Err(busy())
}

async fn count_in_slots(gateway: &Gateway, counter: &str, allowance: Allowance) -> Result<Count, StoreError> {
    let mut guess: Option<i64> = None;
    for _ in 0..limits::COUNTER_ATTEMPTS {
        let now = gateway.clock.now();
        let slot = Slots::of(allowance.window, now);
        let outcome = gateway.store.count_in_slot(counter, allowance, guess.take().unwrap_or(slot)).await?;
        let seen = match outcome {
            Slotted::Yes(slots) => return Ok(of_slots(allowance, &slots, true, now)),
            Slotted::No(slots) => Some(slots),
            Slotted::Absent => None,
        };
        let mut moved = seen.clone().unwrap_or_else(|| Slots::empty(slot)).moved_to(slot);
        if moved.total >= allowance.limit {
            return Ok(of_slots(allowance, &moved, false, now));
        }
        if seen.as_ref().is_some_and(|seen| seen.slot >= slot) {
            // Another process has moved the counter on meanwhile, or its clock is ahead of ours.
            guess = seen.map(|seen| seen.slot);
            continue;
        }
        moved.add();
        if gateway.store.replace_slots(counter, allowance, seen.as_ref(), &moved).await? {
            return Ok(of_slots(allowance, &moved, true, now));
        }
    }
    Err(busy())
}

fn of_slots(allowance: Allowance, slots: &Slots, allowed: bool, now: Timestamp) -> Count {
    let reset = slots.frees(allowance.window, now).duration_since(now);
    Count {
        allowed,
        limit: allowance.limit,
        remaining: allowance.limit.saturating_sub(slots.total),
        reset: Duration::try_from(reset).unwrap_or_default(),
    }
}

fn count_alone(memory: &Cache, counter: &str, allowance: Allowance, now: Timestamp) -> Count {
    let slot = Slots::of(allowance.window, now);
    let until = saturating_add(saturating_add(now, allowance.window), allowance.window);
    memory.counted_alone.change(
        counter,
        now,
        until,
        || Slots::empty(slot),
        |slots| {
            *slots = slots.moved_to(slot);
            let allowed = slots.total < allowance.limit;
            if allowed {
                slots.add();
            }
            of_slots(allowance, slots, allowed, now)
        },
    )
}

fn busy() -> StoreError {
    StoreError::Unavailable("a counter that others keep changing".into())
}

/// Any number below `most`.
fn any_of(most: u32) -> u32 {
    let mut bytes = [0_u8; 4];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random generator works");
    u32::from_le_bytes(bytes) % most.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_a_process_allows_the_limit_and_no_more() {
        let memory = Cache::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let allowance = Allowance::per_minute(3);
        let tries: Vec<bool> =
            (0..5).map(|second| count_alone(&memory, "k", allowance, at(second)).allowed).collect();
        assert_eq!(tries, [true, true, true, false, false]);
        assert!(count_alone(&memory, "other", allowance, at(4)).allowed);
        assert_eq!(count_alone(&memory, "k", allowance, at(10)).reset, Duration::from_secs(51));
        assert!(count_alone(&memory, "k", allowance, at(61)).allowed);
    }
}
