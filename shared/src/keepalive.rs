//! When connections are refreshed, if nobody needs them before: one schedule for each, and a sweep of what no schedule
//! has refreshed.
//!
//! The row's due time is the truth. A schedule is only the cheapest way to keep it: it is made when an extension is
//! connected, moved after each refresh, removed at the end, and each of these may fail. What is overdue, for whatever
//! reason, the sweep finds in the index.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::invoke::InvokeError;
use crate::limits;
use crate::model::connection::Connection;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::refresh::Cause;
use crate::schedule::Call;
use crate::store::{Kept, WorkKind};

/// What the function that may open refresh tokens is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshOrder {
    /// Whose connection.
    pub tenant_id: String,
    /// Which.
    pub connection_id: String,
    /// The generation that the caller has and can't use; absent if the connection is simply due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

impl RefreshOrder {
    /// An order for one connection.
    pub fn of(tenant: &TenantId, connection: &ConnectionId, generation: Option<u64>) -> Self {
        Self { tenant_id: tenant.to_string(), connection_id: connection.to_string(), generation }
    }
}

/// Makes the schedule of a new connection. Whatever fails, the sweep makes up for.
pub async fn connected(gateway: &Gateway, connection: &Connection) {
    let Some(at) = fires(gateway, connection) else { return };
    let name = name(&connection.id);
    let made = gateway.schedules().create(&call(gateway, &name, at), &order(connection)).await;
    if let Err(error) = made {
        tracing::warn!(connection.id = %connection.id, error = %error, "a connection has no schedule");
    }
}

/// Moves the schedule of a connection that has new tokens.
pub async fn refreshed(gateway: &Gateway, connection: &Connection) {
    let Some(at) = fires(gateway, connection) else { return };
    let name = name(&connection.id);
    let moved = gateway.schedules().move_to(&call(gateway, &name, at), &order(connection)).await;
    if let Err(error) = moved {
        tracing::warn!(connection.id = %connection.id, error = %error, "a schedule was not moved");
    }
}

/// Removes the schedule of a connection that was given up. One that is left fires once more, finds nothing to do, and is
/// gone.
pub async fn ended(gateway: &Gateway, connection: &ConnectionId) {
    if let Err(error) = gateway.schedules().remove(&name(connection)).await {
        tracing::warn!(connection.id = %connection, error = %error, "a schedule is left to fire once more");
    }
}

/// The generation is in the order: if it was refreshed meanwhile, there is nothing to do.
fn order(connection: &Connection) -> RefreshOrder {
    RefreshOrder::of(&connection.tenant, &connection.id, Some(connection.generation))
}

fn name(connection: &ConnectionId) -> String {
    format!("connection-{connection}")
}

fn call<'a>(gateway: &'a Gateway, name: &'a str, at: Timestamp) -> Call<'a> {
    Call {
        name,
        at,
        within_minutes: limits::UPKEEP_WINDOW_MINUTES,
        function: &gateway.config.refresh_function,
    }
}

/// When the schedule's window begins: early enough that it is over before the sweep takes the connection for overdue.
fn fires(gateway: &Gateway, connection: &Connection) -> Option<Timestamp> {
    window_before(connection.upkeep.due?, gateway.clock.now())
}

/// The begin of the window that ends, with a minute to spare, when a connection is due; in a minute at the earliest.
pub fn window_before(due: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let early = SignedDuration::from_mins(i64::from(limits::UPKEEP_WINDOW_MINUTES) + 1);
    let soonest = now.checked_add(SignedDuration::from_mins(1)).ok()?;
    Some(due.checked_sub(early).ok()?.max(soonest))
}

/// How many refreshes the sweep has under way: few at first, twice as many after each round in which RingCentral
/// answered, one after a round in which it did not. So an outage ends with a ramp, not with a storm, and a penalty is
/// not tested by many at once. What never reached RingCentral tells nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    at_once: usize,
    failed_rounds: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { at_once: 1, failed_rounds: 0 }
    }
}

impl Pace {
    /// How many the next round takes; none, if the run is to end.
    pub fn next_round(&self) -> usize {
        if self.failed_rounds < limits::SWEEP_FAILED_ROUNDS { self.at_once } else { 0 }
    }

    /// What a round came to.
    pub fn after(&mut self, in_vain: usize, refreshed: usize) {
        if refreshed == 0 && in_vain > 0 {
            *self = Self { at_once: 1, failed_rounds: self.failed_rounds + 1 };
        } else if refreshed > 0 {
            *self = Self { at_once: (self.at_once * 2).min(limits::SWEEP_AT_ONCE), failed_rounds: 0 };
        }
    }
}

/// Has every connection refreshed that is overdue: its schedule was lost, or a process died. What expires first comes
/// first. Gives how many were tried.
///
/// # Errors
/// If the index can't be read.
pub async fn sweep(gateway: &Gateway) -> Result<usize> {
    let overdue = gateway.store.overdue_refreshes_of_all_tenants().await?;
    let began = gateway.clock.now();
    let patience = SignedDuration::from_millis(limits::REFRESH_SWEEP_MS.cast_signed());
    let (mut pace, mut left, mut tried) = (Pace::default(), overdue.as_slice(), 0);
    while !left.is_empty() && gateway.clock.now().duration_since(began) < patience {
        let (round, rest) = left.split_at(pace.next_round().min(left.len()));
        if round.is_empty() {
            tracing::warn!(left = rest.len(), "overdue refreshes wait for RingCentral");
            break;
        }
        let answers = stream::iter(round).map(|kept| refresh(gateway, kept));
        let answers: Vec<Tried> = answers.buffer_unordered(round.len()).collect().await;
        tried += round.len();
        let of = |kind| answers.iter().filter(|answer| **answer == kind).count();
        pace.after(of(Tried::InVain), of(Tried::Done));
        left = rest;
    }
    for due in gateway.store.overdue_of_all_tenants(WorkKind::Erasure).await? {
        gateway.store.erase_refused_tokens(&due.tenant, &due.connection).await?;
    }
    Ok(tried)
}

/// What came of having a connection refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// It is refreshed, or needs no more calls.
    Done,
    /// RingCentral was called, and gave no usable answer.
    InVain,
    /// RingCentral was not called: it has to wait, or something of ours fails.
    NotCalled,
}

/// Has one connection refreshed.
async fn refresh(gateway: &Gateway, kept: &Kept) -> Tried {
    let order = RefreshOrder::of(&kept.tenant, &kept.connection, None);
    let error = match gateway.functions().call(&gateway.config.refresh_function, &order).await {
        Ok(answer) if answer["calledInVain"] == true => return Tried::InVain,
        // Only a wait is told as one: gone and revoked connections need no more calls.
        Ok(answer) if answer.get("retryAfterSeconds").is_some() => return Tried::NotCalled,
        Ok(_) => return Tried::Done,
        Err(error) => error,
    };
    if let InvokeError::Failed = error {
        // It would fail again in a minute, and be tried before all that expires later.
        tracing::error!(tenant.id = %kept.tenant, connection.id = %kept.connection, "a connection can't be refreshed");
        let until =
            saturating_add(gateway.clock.now(), SignedDuration::from_secs(limits::REFRESH_BROKEN_SECONDS));
        if let Err(error) = gateway.store.postpone_refresh(kept, until).await {
            let error = Error::from(error);
            tracing::warn!(connection.id = %kept.connection, error = error.chain(), "a refresh is not put off");
        }
    } else {
        tracing::warn!(tenant.id = %kept.tenant, error = %error, "an overdue refresh has no answer");
    }
    Tried::NotCalled
}

/// How the connections do, as the metrics tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Connections that can be used.
    pub connections: u64,
    /// Those whose refreshing fails at present.
    pub failing: u64,
    /// Those that are due and were not refreshed.
    pub overdue: u64,
    /// Since when the longest call of the token endpoint is without a known outcome.
    pub oldest_intent: Duration,
    /// The shortest life that a refresh token has left; none without connections.
    pub least_life: Option<Duration>,
    /// Subscriptions that should be active and are not.
    pub subscriptions_down: u64,
}

/// Looks at every connection's line in the index.
///
/// # Errors
/// If the index can't be read.
pub async fn health(gateway: &Gateway) -> Result<Health> {
    let now = gateway.clock.now();
    let since = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
    let mut health = Health::default();
    for kept in gateway.store.kept_of_all_tenants().await? {
        let life = Duration::try_from(kept.expires_at.duration_since(now)).unwrap_or_default();
        health.connections += 1;
        health.failing += u64::from(kept.failing);
        health.overdue += u64::from(kept.due <= now);
        health.subscriptions_down += u64::from(kept.subscription_down);
        health.oldest_intent = health.oldest_intent.max(kept.intent_since.map(since).unwrap_or_default());
        health.least_life = Some(health.least_life.map_or(life, |least| least.min(life)));
    }
    Ok(health)
}

/// What the operator is told after a table was restored.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drill {
    /// Connections that are still to be refreshed.
    pub waiting: usize,
    /// Connections that could be refreshed, or were not touched by the restore.
    pub healthy: usize,
    /// Connections that need a new authorization.
    pub must_reconnect: Vec<Reconnect>,
}

/// A connection that needs a new authorization.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconnect {
    tenant_id: String,
    extension_id: String,
    cause: Option<&'static str>,
    since: Option<String>,
}

/// After a restore: makes every connection due now, so that the sweep refreshes them, what expires first first. The
/// tokens of a connection that was refreshed after the moment of the backup are of no use any more; only trying shows
/// which. Gives how many are due.
///
/// # Errors
/// If the table fails. Begin again: what is due already stays due.
pub async fn begin_drill(gateway: &Gateway) -> Result<usize> {
    let mut made_due = 0;
    for kept in gateway.store.kept_of_all_tenants().await? {
        made_due +=
            usize::from(gateway.store.make_due(WorkKind::Refresh, &kept.tenant, &kept.connection).await?);
    }
    Ok(made_due)
}

/// How far it is, and who must reconnect.
///
/// # Errors
/// If the table fails.
pub async fn report_drill(gateway: &Gateway) -> Result<Drill> {
    let now = gateway.clock.now();
    let kept = gateway.store.kept_of_all_tenants().await?;
    let waiting = kept.iter().filter(|kept| kept.failing || kept.due <= now).count();
    let mut must_reconnect = Vec::new();
    for due in gateway.store.revoked_of_all_tenants().await? {
        if let Some(connection) = gateway.store.connection(&due.tenant, &due.connection).await? {
            must_reconnect.push(Reconnect {
                tenant_id: connection.tenant.to_string(),
                extension_id: connection.extension.to_string(),
                cause: connection.upkeep.cause.map(Cause::as_str),
                since: connection.upkeep.since.map(|since| format!("{since:.3}")),
            });
        }
    }
    Ok(Drill { waiting, healthy: kept.len() - waiting, must_reconnect })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_of_a_schedule_is_over_before_the_sweep_looks() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let hours = |hours| now + SignedDuration::from_hours(hours);
        let begins = window_before(hours(80), now).unwrap();
        let ends = begins + SignedDuration::from_mins(i64::from(limits::UPKEEP_WINDOW_MINUTES));
        assert!(ends < hours(80), "{ends}");
        let soon = window_before(now, now).unwrap();
        assert_eq!(soon, now + SignedDuration::from_mins(1), "never in the past");
    }

    #[test]
    fn an_outage_ends_with_a_ramp() {
        let mut pace = Pace::default();
        let mut rounds = Vec::new();
        for _ in 0..5 {
            rounds.push(pace.next_round());
            pace.after(pace.next_round() - 1, 1);
        }
        assert_eq!(rounds, [1, 2, 4, 8, 8]);
        for _ in 0..limits::SWEEP_FAILED_ROUNDS {
            assert!(pace.next_round() > 0);
            pace.after(1, 0);
            pace.after(0, 0);
        }
        assert_eq!(pace.next_round(), 0, "the run ends");
        pace.after(1, 1);
        assert_eq!(pace.next_round(), 2, "one that succeeds is enough");
    }
}
