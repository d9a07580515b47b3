//! Rate limits over rolling windows, exact across all processes.
//!
//! The requests of all keys of a tenant are counted in one tally: one write counts a request against the limit of its key and
//! against that of the tenant. Other limits of up to [`limits::COUNTER_LOG_ENTRIES`] are counted in a log of timestamps: one
//! conditional write each, two when old entries have to be removed from a full log. If one counter would be written too often
//! ([`limits::COUNTER_SHARE`]), the limit is sharded over several. The first rejection in a process costs two writes, since
//! what is over the limit is taken back; then the process caches until when the counter is full.
//!
//! If the counters fail, requests are still limited: each process counts locally, with the whole limit, and uses the
//! counters again after [`limits::LOCAL_COUNTING_SECONDS`].

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::cache::Cache;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::ids::{ExtensionId, TenantId};
use crate::model::random;
use crate::model::rate_limit::{Allowance, Quota, QuotaScope, RateLimitCount, Tally, shards, within};
use crate::model::refresh::TokenPriority;
use crate::retry::{Attempt, retry_on_conflict};
use crate::store::{LogCountOutcome, StoreError, WriteOutcome};

/// The only key of `counter_outages`.
const ALL: &str = "all";

/// Counts a request. Without the counters, this process counts locally.
pub async fn count_request(gateway: &Gateway, counter: &str, quota: &Quota<'_>) -> RateLimitCount {
    let now = gateway.clock.now();
    if gateway.cache.counter_outages.get(ALL, now).is_none() {
        let patience = Duration::from_millis(limits::COUNTING_MS);
        match tokio::time::timeout(patience, count_quota(gateway, counter, quota)).await {
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
    count_locally(&gateway.cache, counter, quota, now)
}

/// The rejection of a request, if this process has cached that its counters are full. Makes no AWS call.
pub fn cached_rejection(gateway: &Gateway, counter: &str, quota: &Quota<'_>) -> Option<RateLimitCount> {
    let now = gateway.clock.now();
    let shards = shards(quota.together, limits::COUNTER_SHARE);
    let mut earliest: Option<RateLimitCount> = None;
    for shard in 0..shards {
        let Some(part) = quota.part(shards, shard) else { continue };
        let (full, scope) = known_full(gateway, &shard_name(counter, shards, shard), &part, now)?;
        let full = RateLimitCount { limit: quota.limit(scope), ..full };
        earliest = Some(earliest.filter(|known| known.reset < full.reset).unwrap_or(full));
    }
    earliest
}

/// The rejection by a counter that this process knows to be full.
fn known_full(
    gateway: &Gateway,
    counter: &str,
    quota: &Quota<'_>,
    now: Timestamp,
) -> Option<(RateLimitCount, QuotaScope)> {
    let full = [QuotaScope::Together, QuotaScope::Own].into_iter().filter_map(|scope| {
        let known = gateway.cache.exhausted_counters.get(&exhausted_name(counter, quota, scope), now);
        let (limit, until) = known.filter(|(limit, _)| *limit == quota.limit(scope))?;
        Some((RateLimitCount::rejected(limit, until, now), scope))
    });
    full.max_by_key(|(count, _)| count.reset)
}

/// The counter whose limit is reached: that of all parties, or that of one.
fn exhausted_name(counter: &str, quota: &Quota<'_>, scope: QuotaScope) -> String {
    match scope {
        QuotaScope::Together => counter.to_owned(),
        QuotaScope::Own => format!("{counter}/{}", quota.party),
    }
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

/// Who calls the token endpoint.
#[derive(Debug, Clone)]
pub enum TokenCaller {
    /// A known user. RingCentral limits the calls of each.
    User(ExtensionId),
    /// A person who signs in with a link of the tenant.
    SignIn(TenantId),
    /// The operator, who checks the app.
    AppCheck,
}

/// Counts a call of the token endpoint against the limits of its caller and of the app. Sign-ins are limited for each tenant
/// and together, so that they leave calls to the refreshes. Returns how long to wait if a limit is reached. Without the
/// counters, no call is made.
pub async fn count_token_call(
    gateway: &Gateway,
    issuer: &str,
    caller: &TokenCaller,
) -> Result<Option<Duration>> {
    let budget = gateway.config.token_calls_per_minute;
    let percent =
        |percent: u32| u32::try_from(u64::from(budget) * u64::from(percent) / 100).unwrap_or(budget);
    let of_caller = match caller {
        TokenCaller::User(extension) => {
            let limit = Allowance::per_minute(limits::TOKEN_CALLS_PER_USER);
            count(gateway, &format!("token-calls#{issuer}#{extension}"), limit).await?
        }
        TokenCaller::SignIn(tenant) => {
            let all = Allowance::per_minute(percent(limits::SIGN_INS_PERCENT).max(1));
            let own = percent(limits::TENANT_SIGN_INS_PERCENT).max(1);
            let quota = Quota { party: tenant.digits(), own, ..Quota::single(all) };
            count_quota(gateway, &format!("token-calls#{issuer}#sign-ins"), &quota).await?
        }
        TokenCaller::AppCheck => {
            let limit = Allowance::per_minute(limits::TOKEN_CALLS_OF_CHECKS);
            count(gateway, &format!("token-calls#{issuer}#checks"), limit).await?
        }
    };
    if !of_caller.allowed {
        return Ok(Some(of_caller.reset));
    }
    let app = Allowance::per_minute(budget);
    let of_app = count(gateway, &format!("token-calls#{issuer}"), app).await?;
    Ok((!of_app.allowed).then_some(of_app.reset))
}

/// How long message sync has to wait before it may have a token refreshed; `None` if it may now.
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
            .counted_in_tally(&shard_name(&counter, shards, shard), app)
            .await?
            .saturating_mul(shards)
    };
    let wait = TokenPriority::Low.wait_for_calls(used, app.limit);
    Ok(wait.map(|wait| wait.try_into().unwrap_or_default()))
}

/// Counts one more, unless the limit is reached.
pub async fn count(
    gateway: &Gateway,
    counter: &str,
    allowance: Allowance,
) -> Result<RateLimitCount, StoreError> {
    let quota = Quota::single(allowance);
    if allowance.limit > limits::COUNTER_LOG_ENTRIES {
        return count_quota(gateway, counter, &quota).await;
    }
    let now = gateway.clock.now();
    if let Some((full, _)) = known_full(gateway, counter, &quota, now) {
        return Ok(full);
    }
    let count = count_in_log(gateway, counter, allowance).await?;
    if !count.allowed {
        remember_full(gateway, counter, &quota, (count, QuotaScope::Together), now);
    }
    Ok(count)
}

/// Counts one more of a party, unless its limit or that of all parties is reached.
async fn count_quota(
    gateway: &Gateway,
    counter: &str,
    quota: &Quota<'_>,
) -> Result<RateLimitCount, StoreError> {
    let shards = shards(quota.together, limits::COUNTER_SHARE);
    let first = u32::try_from(random::below(shards.into())).unwrap_or(0);
    let mut earliest: Option<RateLimitCount> = None;
    for step in 0..shards {
        let shard = (first + step) % shards;
        let Some(part) = quota.part(shards, shard) else { continue };
        let (count, scope) = count_in_tally(gateway, &shard_name(counter, shards, shard), &part).await?;
        let count = RateLimitCount { limit: quota.limit(scope), ..count };
        if count.allowed {
            // The other shards are not read; they are assumed to have as much left as this one.
            let remaining = count.remaining.saturating_mul(shards).min(count.limit);
            return Ok(RateLimitCount { remaining, ..count });
        }
        earliest = Some(earliest.filter(|known| known.reset < count.reset).unwrap_or(count));
    }
    earliest.ok_or(StoreError::Damaged("limit"))
}

async fn count_in_tally(
    gateway: &Gateway,
    counter: &str,
    quota: &Quota<'_>,
) -> Result<(RateLimitCount, QuotaScope), StoreError> {
    let now = gateway.clock.now();
    if let Some(full) = known_full(gateway, counter, quota, now) {
        return Ok(full);
    }
    let slot = Tally::slot_at(quota.window, now);
    let outdated = gateway.cache.outdated_cells.get(counter, now).unwrap_or_default();
    let tally = match gateway.store.add_to_tally(counter, quota, slot, &outdated).await {
        Ok((tally, outdated)) => {
            let until = saturating_add(now, quota.window);
            gateway.cache.outdated_cells.insert(counter, Arc::new(outdated), until);
            tally
        }
        Err(StoreError::Damaged(_)) => {
            tracing::warn!("unreadable rate limit counter started anew");
            gateway.store.restart_tally(counter, quota, slot).await?;
            Tally::from_iter([((slot, quota.party.to_owned()), 1)])
        }
        Err(error) => return Err(error),
    };
    let (count, scope) = tally.count(quota, now);
    if !count.allowed {
        remember_full(gateway, counter, quota, (count, scope), now);
        if let Err(error) = gateway.store.subtract_from_tally(counter, quota, slot).await {
            let error = Error::from(error);
            tracing::warn!(
                error = error.chain(),
                "a rejected request stays counted until it leaves the window"
            );
        }
    }
    Ok((count, scope))
}

fn remember_full(
    gateway: &Gateway,
    counter: &str,
    quota: &Quota<'_>,
    (count, scope): (RateLimitCount, QuotaScope),
    now: Timestamp,
) {
    let until = saturating_add(now, SignedDuration::try_from(count.reset).unwrap_or_default());
    let name = exhausted_name(counter, quota, scope);
    gateway.cache.exhausted_counters.insert(&name, (quota.limit(scope), until), until);
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

fn count_locally(cache: &Cache, counter: &str, quota: &Quota<'_>, now: Timestamp) -> RateLimitCount {
    let slot = Tally::slot_at(quota.window, now);
    let until = saturating_add(saturating_add(now, quota.window), quota.window);
    cache.local_counts.update(counter, now, until, Tally::default, |tally| {
        tally.remove_outdated(quota.window, now);
        tally.add(slot, quota.party);
        let (count, _) = tally.count(quota, now);
        if !count.allowed {
            tally.subtract(slot, quota.party);
        }
        count
    })
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
        let quota = |party: &'static str| Quota { party, ..Quota::single(Allowance::per_minute(3)) };
        let quota = |party| Quota { together: 4, ..quota(party) };
        let allowed =
            |counter: &str, party, second| count_locally(&cache, counter, &quota(party), at(second)).allowed;
        let tries: Vec<bool> = (0..5).map(|second| allowed("t", "a", second)).collect();
        assert_eq!(tries, [true, true, true, false, false]);
        assert!(allowed("t", "b", 4) && !allowed("t", "b", 4), "of the four together");
        assert!(allowed("other", "a", 4));
        assert_eq!(count_locally(&cache, "t", &quota("a"), at(10)).reset, Duration::from_secs(52));
        assert!(allowed("t", "a", 62));
    }
}
