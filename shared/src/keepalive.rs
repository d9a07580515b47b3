//! Keepalive: refreshing connections that no caller uses, before their refresh tokens expire. Each connection has a
//! schedule, and the sweep refreshes what no schedule has refreshed.
//!
//! The due time in the connection's row is authoritative. A schedule is the cheapest way to meet it: it is created when an
//! extension is connected, moved after each refresh, and deleted at the end. Each of these calls may fail; the sweep finds
//! every overdue connection in the index.

use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::saturating_add;
use crate::due_work::{self, DueOutcome, ShardOutcome, ShardTask};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::invoke::InvokeError;
use crate::limits;
use crate::model::connection::{Connection, StatusCause};
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::refresh::TokenPriority;
use crate::model::shard::Shard;
use crate::schedule::ScheduledInvocation;
use crate::store::{DueWork, KeepaliveEntry, StoreError, WorkKind, WriteOutcome};

/// A request to the function that may open refresh tokens, also as the input of a schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshRequest {
    pub tenant_id: String,
    pub connection_id: String,
    /// The generation that the caller cannot use; absent if the refresh is merely due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The request that needs the token, for the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default)]
    pub priority: TokenPriority,
}

impl RefreshRequest {
    pub fn new(tenant: &TenantId, connection: &ConnectionId, generation: Option<u64>) -> Self {
        Self {
            tenant_id: tenant.to_string(),
            connection_id: connection.to_string(),
            generation,
            request_id: None,
            priority: TokenPriority::Normal,
        }
    }

    /// A request with the connection's generation. It has no effect if the connection is refreshed earlier.
    fn of(connection: &Connection) -> Self {
        Self::new(&connection.tenant, &connection.id, Some(connection.generation))
    }
}

/// Creates the schedule of a new connection.
pub async fn create_schedule(gateway: &Gateway, connection: &Connection) {
    let Some(at) = schedule_time(gateway, connection) else { return };
    let name = schedule_name(&connection.id);
    let request = RefreshRequest::of(connection);
    let created = gateway.schedules().create(&invocation(gateway, &name, at), &request).await;
    if let Err(error) = created {
        tracing::warn!(connection.id = %connection.id, error = %error, "keepalive schedule could not be created");
    }
}

/// Moves the schedule of a connection that was refreshed.
pub async fn move_schedule(gateway: &Gateway, connection: &Connection) {
    let Some(at) = schedule_time(gateway, connection) else { return };
    let name = schedule_name(&connection.id);
    let request = RefreshRequest::of(connection);
    let moved = gateway.schedules().update(&invocation(gateway, &name, at), &request).await;
    if let Err(error) = moved {
        tracing::warn!(connection.id = %connection.id, error = %error, "keepalive schedule could not be moved");
    }
}

/// Deletes the schedule of a connection that was disconnected. If that fails, the schedule fires once without effect.
pub async fn delete_schedule(gateway: &Gateway, connection: &ConnectionId) {
    if let Err(error) = gateway.schedules().delete(&schedule_name(connection)).await {
        tracing::warn!(connection.id = %connection, error = %error, "keepalive schedule could not be deleted");
    }
}

fn schedule_name(connection: &ConnectionId) -> String {
    format!("connection-{connection}")
}

fn invocation<'a>(gateway: &'a Gateway, name: &'a str, at: Timestamp) -> ScheduledInvocation<'a> {
    ScheduledInvocation {
        name,
        at,
        window_minutes: limits::KEEPALIVE_WINDOW_MINUTES,
        function_arn: &gateway.config.refresh_function,
    }
}

fn schedule_time(gateway: &Gateway, connection: &Connection) -> Option<Timestamp> {
    window_before(connection.refresh_state.due?, gateway.clock.now())
}

/// The start of the schedule's window. The window ends a minute before `due`, so that the sweep does not find the
/// connection overdue. It starts in a minute at the earliest.
pub fn window_before(due: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let early = SignedDuration::from_mins(i64::from(limits::KEEPALIVE_WINDOW_MINUTES) + 1);
    let earliest = now.checked_add(SignedDuration::from_mins(1)).ok()?;
    Some(due.checked_sub(early).ok()?.max(earliest))
}

/// The concurrency of the sweep's refreshes. It starts at one, doubles after each round in which RingCentral responded,
/// and returns to one after a round in which it did not. So the load ramps up after an outage, and only single calls probe
/// a penalty. Refreshes that did not reach RingCentral have no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepPace {
    concurrency: usize,
    failed_rounds: u32,
}

impl Default for SweepPace {
    fn default() -> Self {
        Self { concurrency: 1, failed_rounds: 0 }
    }
}

impl SweepPace {
    /// The concurrency of the next round; zero ends the run.
    pub fn next_round(&self) -> usize {
        if self.failed_rounds < limits::SWEEP_FAILED_ROUNDS { self.concurrency } else { 0 }
    }

    /// Records the results of a round.
    pub fn record_round(&mut self, unanswered: usize, refreshed: usize) {
        if refreshed == 0 && unanswered > 0 {
            *self = Self { concurrency: 1, failed_rounds: self.failed_rounds + 1 };
        } else if refreshed > 0 {
            *self = Self { concurrency: (self.concurrency * 2).min(limits::SWEEP_AT_ONCE), failed_rounds: 0 };
        }
    }
}

/// Refreshes the overdue connections of a shard, in the order in which their refresh tokens expire.
///
/// # Errors
/// If the index can't be read.
pub async fn sweep(gateway: &Gateway, task: &ShardTask) -> Result<ShardOutcome> {
    let overdue = gateway.store.overdue_refreshes_of_all_tenants(task.shard).await?;
    let started = gateway.clock.now();
    let budget = SignedDuration::from_millis(limits::REFRESH_SWEEP_MS.cast_signed());
    let (mut pace, mut left, mut refreshed) = (SweepPace::default(), overdue.as_slice(), 0);
    while !left.is_empty() && gateway.clock.now().duration_since(started) < budget {
        let (round, rest) = left.split_at(pace.next_round().min(left.len()));
        if round.is_empty() {
            tracing::warn!(
                left = rest.len(),
                "overdue token refreshes postponed: RingCentral does not respond"
            );
            return Ok(ShardOutcome::Complete);
        }
        let results = stream::iter(round).map(|entry| refresh(gateway, entry));
        let results: Vec<SweptRefresh> = results.buffer_unordered(round.len()).collect().await;
        let count = |kind| results.iter().filter(|result| **result == kind).count();
        pace.record_round(count(SweptRefresh::Unanswered), count(SweptRefresh::Done));
        refreshed += count(SweptRefresh::Done);
        left = rest;
    }
    // Without any success, the next scheduled run is soon enough.
    let may_have_more = refreshed > 0 && (!left.is_empty() || overdue.len() >= limits::SWEEP_OVERDUE);
    Ok(if may_have_more { ShardOutcome::Continue(None) } else { ShardOutcome::Complete })
}

/// Erases the tokens of a shard's revoked connections whose retention has ended.
///
/// # Errors
/// If the index can't be read.
pub async fn erase_revoked(gateway: &Gateway, task: &ShardTask) -> Result<ShardOutcome> {
    let within = SignedDuration::from_millis(limits::SWEEP_MS);
    due_work::drain(gateway, task, limits::SWEEP_AT_ONCE, within, async |due| {
        // The condition fails for a connection that was authorized again, which keeps its tokens.
        let erased = gateway.store.erase_rejected_tokens(&due.tenant, &due.connection).await?;
        Ok(if erased.is_applied() { DueOutcome::Processed } else { DueOutcome::Left })
    })
    .await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SweptRefresh {
    /// The connection is refreshed, or needs no further call.
    Done,
    /// RingCentral was called and returned no usable response.
    Unanswered,
    /// RingCentral was not called: the refresh has to wait, or failed in the gateway.
    NotCalled,
}

async fn refresh(gateway: &Gateway, entry: &KeepaliveEntry) -> SweptRefresh {
    let request = RefreshRequest::new(&entry.tenant, &entry.connection, None);
    let error = match gateway.functions().call(&gateway.config.refresh_function, &request).await {
        Ok(response) if response["unanswered"] == true => return SweptRefresh::Unanswered,
        // The response for a disconnected or revoked connection has no `retryAfterSeconds`.
        Ok(response) if response.get("retryAfterSeconds").is_some() => return SweptRefresh::NotCalled,
        Ok(_) => return SweptRefresh::Done,
        Err(error) => error,
    };
    if let InvokeError::Failed = error {
        // Without a pause it would fail every minute, before all connections that expire later.
        tracing::error!(tenant.id = %entry.tenant, connection.id = %entry.connection, "token refresh failed in the gateway; the connection is skipped for a while");
        let until =
            saturating_add(gateway.clock.now(), SignedDuration::from_secs(limits::REFRESH_BROKEN_SECONDS));
        if let Err(error) = gateway.store.postpone_refresh(entry, until).await {
            let error = Error::from(error);
            tracing::warn!(connection.id = %entry.connection, error = error.chain(), "token refresh could not be postponed");
        }
    } else {
        tracing::warn!(tenant.id = %entry.tenant, connection.id = %entry.connection, error = %error, "refresh function did not respond");
    }
    SweptRefresh::NotCalled
}

/// The state of all connections, for the metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionHealth {
    pub connections: u64,
    /// Connections whose refreshing fails at the moment.
    pub failing: u64,
    /// Connections whose refresh is overdue.
    pub overdue: u64,
    /// Age of the oldest call of the token endpoint whose outcome is unknown.
    pub oldest_intent: Duration,
    /// The shortest remaining lifetime of a refresh token; `None` without connections.
    pub shortest_refresh_lifetime: Option<Duration>,
    /// Connections without a subscription that delivers events.
    pub subscriptions_down: u64,
}

/// The index entries of all connections in pages, the shards side by side.
fn entry_pages(gateway: &Gateway) -> impl Stream<Item = Result<Vec<KeepaliveEntry>>> + Unpin {
    let shards = Shard::all().map(|shard| {
        let pages = stream::try_unfold(Some(None::<String>), move |after| async move {
            let Some(after) = after else { return Ok(None) };
            let page = gateway.store.keepalive_entries_of_all_tenants(shard, after.as_deref()).await?;
            let (entries, next) = page;
            Ok(Some((entries, next.map(Some))))
        });
        Box::pin(pages)
    });
    stream::select_all(shards)
}

/// Reads the index entry of every connection.
///
/// # Errors
/// If the index can't be read.
pub async fn measure_health(gateway: &Gateway) -> Result<ConnectionHealth> {
    let now = gateway.clock.now();
    let age = |since: Timestamp| Duration::try_from(now.duration_since(since)).unwrap_or_default();
    let mut health = ConnectionHealth::default();
    let mut pages = entry_pages(gateway);
    while let Some(page) = pages.try_next().await? {
        for entry in page {
            let lifetime = Duration::try_from(entry.expires_at.duration_since(now)).unwrap_or_default();
            let shortest = health.shortest_refresh_lifetime.map_or(lifetime, |known| known.min(lifetime));
            health.connections += 1;
            health.failing += u64::from(entry.is_failing);
            health.overdue += u64::from(entry.due <= now);
            health.subscriptions_down += u64::from(entry.is_subscription_down);
            health.oldest_intent = health.oldest_intent.max(entry.intent_since.map(age).unwrap_or_default());
            health.shortest_refresh_lifetime = Some(shortest);
        }
    }
    Ok(health)
}

/// How far [`RestoreCheckStep::Begin`] has come.
#[derive(Debug, Serialize)]
struct RestoreStart {
    /// Connections that this call made due.
    due: usize,
    /// Every connection is due. Otherwise the next call continues.
    complete: bool,
}

/// The progress of the check after a restore of the table.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RestoreReport {
    /// Connections that are still to be refreshed.
    waiting: usize,
    /// Connections whose tokens are usable.
    healthy: usize,
    /// Connections whose user has to authorize again.
    must_reconnect: Vec<RevokedConnection>,
    /// Where the list continues, for [`RestoreCheckStep::Report`].
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RevokedConnection {
    tenant_id: String,
    extension_id: String,
    cause: Option<&'static str>,
    since: Option<String>,
}

/// A step of the check after a restore of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum RestoreCheckStep {
    /// Make every connection due.
    Begin,
    /// List the connections whose user has to authorize again.
    Report,
}

/// The operator's request for a step of the check.
#[derive(Debug, Deserialize)]
pub struct RestoreRequest {
    restored: RestoreCheckStep,
    /// Where the list of an earlier report ended: `<shard>/<position>`.
    after: Option<String>,
}

/// # Errors
/// If the table can't be read or written.
pub async fn restore_check(gateway: &Gateway, request: &RestoreRequest) -> Result<Value> {
    Ok(match request.restored {
        RestoreCheckStep::Begin => json!(start_restore_check(gateway).await?),
        RestoreCheckStep::Report => json!(report_restore_check(gateway, request.after.as_deref()).await?),
    })
}

/// Starts the check after a restore of the table: makes every connection due, and the sweep refreshes them. A connection
/// that was refreshed after the time of the backup has lost its tokens; only a refresh shows which ones. Connections that are due
/// stay due, so a repeated call continues.
async fn start_restore_check(gateway: &Gateway) -> Result<RestoreStart> {
    let now = gateway.clock.now();
    let until = saturating_add(now, SignedDuration::from_millis(limits::RESTORE_RUN_MS));
    let (mut due, mut pages) = (0, entry_pages(gateway));
    while let Some(page) = pages.try_next().await? {
        if gateway.clock.now() >= until {
            return Ok(RestoreStart { due, complete: false });
        }
        let waiting = stream::iter(page.iter().filter(|entry| entry.due > now));
        let made_due = waiting.map(async |entry| {
            gateway.store.make_due(WorkKind::Refresh, &entry.tenant, &entry.connection).await
        });
        let outcomes: Vec<_> = made_due.buffer_unordered(limits::RESTORE_AT_ONCE).try_collect().await?;
        due += outcomes.into_iter().filter(|outcome| *outcome == WriteOutcome::Applied).count();
    }
    Ok(RestoreStart { due, complete: true })
}

async fn report_restore_check(gateway: &Gateway, after: Option<&str>) -> Result<RestoreReport> {
    let now = gateway.clock.now();
    let (mut waiting, mut healthy, mut pages) = (0, 0, entry_pages(gateway));
    while let Some(page) = pages.try_next().await? {
        let unsettled = page.iter().filter(|entry| entry.is_failing || entry.due <= now).count();
        waiting += unsettled;
        healthy += page.len() - unsettled;
    }
    let (first, mut position) = match after {
        None => (0, None),
        Some(after) => {
            let (shard, position) = after.split_once('/').unwrap_or((after, ""));
            let shard =
                shard.parse().map_err(|_| Error::Internal { what: "a malformed position", source: None })?;
            (shard, Some(position.to_owned()).filter(|position| !position.is_empty()))
        }
    };
    let (mut must_reconnect, mut next) = (Vec::new(), None);
    'shards: for shard in Shard::all().filter(|shard| shard.number() >= first) {
        loop {
            if must_reconnect.len() >= limits::RESTORE_REPORT {
                next = Some(format!("{}/{}", shard.number(), position.unwrap_or_default()));
                break 'shards;
            }
            let (page, end) = gateway.store.revoked_of_all_tenants(shard, position.as_deref()).await?;
            let revoked = stream::iter(&page).map(|due| read_revoked(gateway, due));
            let revoked: Vec<_> = revoked.buffered(limits::RESTORE_AT_ONCE).try_collect().await?;
            must_reconnect.extend(revoked.into_iter().flatten());
            position = end;
            if position.is_none() {
                break;
            }
        }
    }
    Ok(RestoreReport { waiting, healthy, must_reconnect, next })
}

/// `None` if it is gone or cannot be read, which is reported.
async fn read_revoked(gateway: &Gateway, due: &DueWork) -> Result<Option<RevokedConnection>> {
    let connection = match gateway.store.connection(&due.tenant, &due.connection).await {
        Ok(connection) => connection,
        Err(StoreError::Damaged(_)) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(connection.map(|connection| RevokedConnection {
        tenant_id: connection.tenant.to_string(),
        extension_id: connection.extension.to_string(),
        cause: connection.refresh_state.cause.map(StatusCause::as_str),
        since: connection.refresh_state.status_since.map(|since| format!("{since:.3}")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_of_a_schedule_ends_before_the_refresh_is_overdue() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let hours = |hours| now + SignedDuration::from_hours(hours);
        let begins = window_before(hours(80), now).unwrap();
        let ends = begins + SignedDuration::from_mins(i64::from(limits::KEEPALIVE_WINDOW_MINUTES));
        assert!(ends < hours(80), "{ends}");
        let soon = window_before(now, now).unwrap();
        assert_eq!(soon, now + SignedDuration::from_mins(1), "never in the past");
    }

    #[test]
    fn the_concurrency_of_a_sweep_ramps_up_after_an_outage() {
        let mut pace = SweepPace::default();
        let mut rounds = Vec::new();
        for _ in 0..5 {
            rounds.push(pace.next_round());
            pace.record_round(pace.next_round() - 1, 1);
        }
        assert_eq!(rounds, [1, 2, 4, 8, 8]);
        for _ in 0..limits::SWEEP_FAILED_ROUNDS {
            assert!(pace.next_round() > 0);
            pace.record_round(1, 0);
            pace.record_round(0, 0);
        }
        assert_eq!(pace.next_round(), 0, "the run ends");
        pace.record_round(1, 1);
        assert_eq!(pace.next_round(), 2, "one success is enough");
    }
}
