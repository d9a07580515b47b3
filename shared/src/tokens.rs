//! Access tokens for whoever calls RingCentral in a connection's name, and keeping connections alive.
//!
//! [`usable`] is for every function: a token that was stored before it is used, and lives long enough. It does not
//! refresh: only one function may open refresh tokens, and the others ask it. [`refresh`] is what that function does:
//! the I/O around [`model::refresh::step`](crate::model::refresh::step), which decides.

mod attempt;
mod calls;
mod rescue;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::cache::KnownToken;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::keepalive::{self, RefreshOrder};
use crate::limits;
use crate::model::connection::{BackfillReason, Connection, ConnectionStatus};
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::refresh::{Outcome, Record};
use crate::ringcentral::AccessToken;
use crate::vault::{Binding, Owner, Purpose};

use self::attempt::Worker;
pub use self::calls::{Failure, call, call_with, heed_penalty};
pub use self::rescue::{Rescue, Work, work};

/// A token that may be used now, and what it was stored with.
#[derive(Debug)]
pub struct Usable {
    /// The token. It was stored before it is used.
    pub access: AccessToken,
    /// The connection as it was read with it; `generation` counts the token pairs.
    pub connection: Connection,
}

/// A token of a connection that lives long enough to be used, refreshed first if it has to be. A token that was read
/// within the last minute costs no AWS call; another one costs one read, and at most one call of KMS.
///
/// # Errors
/// [`Error::NotConnected`] if the connection is gone or revoked; [`Error::Unavailable`] if it can't be refreshed at
/// present.
pub async fn usable(gateway: &Gateway, tenant: &TenantId, id: &ConnectionId) -> Result<Usable> {
    if let Some(known) = remembered(gateway, id) {
        return Ok(known);
    }
    // One at a time for each connection: the second finds what the first has remembered.
    let turn = gateway.cache.turns.of(id.as_str());
    let _turn = turn.lock().await;
    if let Some(known) = remembered(gateway, id) {
        return Ok(known);
    }
    let connection = read(gateway, tenant, id).await?;
    if lives(gateway, &connection, limits::ACCESS_MARGIN_SECONDS) {
        return open(gateway, connection).await;
    }
    refreshed(gateway, connection).await
}

/// What to use instead after RingCentral has answered 401 to a token of this generation: a newer one that was stored
/// meanwhile, else a refreshed one. Whoever calls this repeats the refused call once, as [`call`] does.
///
/// # Errors
/// As [`usable`].
pub async fn after_refusal(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &ConnectionId,
    generation: u64,
) -> Result<Usable> {
    gateway.cache.tokens.remove(id.as_str());
    let turn = gateway.cache.turns.of(id.as_str());
    let _turn = turn.lock().await;
    let connection = read(gateway, tenant, id).await?;
    if connection.generation > generation && lives(gateway, &connection, limits::ACCESS_MARGIN_SECONDS) {
        return open(gateway, connection).await;
    }
    let usable = refreshed(gateway, connection).await?;
    if usable.connection.generation <= generation {
        return Err(Error::unavailable(
            "RingCentral",
            "the access token is refused and can't be refreshed yet",
        ));
    }
    Ok(usable)
}

/// Has the connection refreshed by the function that may, and reads it again.
async fn refreshed(gateway: &Gateway, connection: Connection) -> Result<Usable> {
    let (tenant, id) = (&connection.tenant, &connection.id);
    let order = RefreshOrder::of(tenant, id, Some(connection.generation));
    let answer = gateway.functions().call(&gateway.config.refresh_function, &order).await;
    let busy = match answer {
        Ok(answer) => answer["retryAfterSeconds"].as_u64(),
        Err(error) => {
            tracing::warn!(tenant.id = %tenant, error = %error, "a refresh has no answer");
            None
        }
    };
    let connection = read(gateway, tenant, id).await?;
    // Not refreshed: the token that is there serves as long as it can.
    if lives(gateway, &connection, limits::ACCESS_LAST_USE_SECONDS) {
        return open(gateway, connection).await;
    }
    Err(Error::Unavailable {
        what: "RingCentral's token endpoint",
        retry_after: Duration::from_secs(busy.unwrap_or(5).max(1)),
        source: None,
    })
}

async fn read(gateway: &Gateway, tenant: &TenantId, id: &ConnectionId) -> Result<Connection> {
    let connection = gateway.store.connection(tenant, id).await?;
    connection.filter(|connection| connection.status.is_connected()).ok_or(Error::NotConnected)
}

fn lives(gateway: &Gateway, connection: &Connection, seconds: i64) -> bool {
    saturating_add(gateway.clock.now(), SignedDuration::from_secs(seconds)) < connection.access.expires_at
}

async fn open(gateway: &Gateway, connection: Connection) -> Result<Usable> {
    let (owner, binding) = sealed_for(&connection, Purpose::Access);
    let text = gateway.vault().open(owner, binding, &connection.access.key, &connection.access.token).await?;
    let now = gateway.clock.now();
    let until = saturating_add(now, SignedDuration::from_secs(limits::ACCESS_UNREAD_SECONDS));
    let known = KnownToken { connection: connection.clone(), access: text.clone() };
    gateway.cache.tokens.insert(connection.id.as_str(), known, until);
    Ok(Usable { access: AccessToken::new(text), connection })
}

fn remembered(gateway: &Gateway, id: &ConnectionId) -> Option<Usable> {
    let known = gateway.cache.tokens.get(id.as_str(), gateway.clock.now())?;
    lives(gateway, &known.connection, limits::ACCESS_MARGIN_SECONDS)
        .then(|| Usable { access: AccessToken::new(known.access), connection: known.connection })
}

fn sealed_for(connection: &Connection, purpose: Purpose) -> (Owner<'_>, Binding<'_>) {
    (
        Owner { tenant: &connection.tenant, subject: connection.id.as_str(), purpose },
        Binding { generation: connection.generation, issuer: &connection.issuer },
    )
}

/// What it answers: one of the first three, and how the call went.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshOutcome {
    /// There is a token of this generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Not now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// False: the connection is gone, or needs a new authorization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    /// RingCentral was called, and gave neither a pair nor a clear refusal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub called_in_vain: bool,
    /// What the metrics are told.
    #[serde(skip)]
    pub counted: Counted,
}

/// What is counted of refreshing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Pairs that were stored.
    pub refreshed: u32,
    /// Attempts that found the pair of another one stored, and took it.
    pub adopted: u32,
    /// Connections whose new pair was lost.
    pub lost: u32,
    /// Calls that gave neither a pair nor a clear refusal.
    pub in_vain: u32,
}

/// When the process that works on something is killed, at the latest: what Lambda says, if it can be; else the function's
/// configured timeout from now.
pub fn deadline(gateway: &Gateway, told_ms: u64, timeout_ms: u64) -> Timestamp {
    let now = gateway.clock.now();
    let told = i64::try_from(told_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let plausible =
        |at: &Timestamp| at.duration_since(now).as_secs().abs() <= limits::DEADLINE_PLAUSIBLE_SECONDS;
    let configured = SignedDuration::from_millis(timeout_ms.cast_signed());
    told.filter(plausible).unwrap_or_else(|| saturating_add(now, configured))
}

/// Refreshes a connection, if it has to be. Ends before the deadline.
///
/// # Errors
/// [`Error::Internal`] for an order that names no connection, or a record that can't be opened.
pub async fn refresh(gateway: &Gateway, order: &RefreshOrder, deadline: Timestamp) -> Result<RefreshOutcome> {
    let invalid = || Error::Internal { what: "a refresh order", source: None };
    let tenant = TenantId::from_record(&order.tenant_id).ok_or_else(invalid)?;
    let connection = ConnectionId::from_record(&order.connection_id).ok_or_else(invalid)?;
    let (outcome, counted) =
        Worker::new(gateway, tenant, connection, order.generation, deadline).run().await?;
    let now = gateway.clock.now();
    let told = match outcome {
        Outcome::Generation(generation) => {
            RefreshOutcome { generation: Some(generation), ..RefreshOutcome::default() }
        }
        Outcome::NotConnected => RefreshOutcome { connected: Some(false), ..RefreshOutcome::default() },
        Outcome::Busy(at) => {
            RefreshOutcome { retry_after_seconds: Some(seconds_until(now, at)), ..RefreshOutcome::default() }
        }
        Outcome::Misconfigured => RefreshOutcome {
            retry_after_seconds: u64::try_from(limits::MISCONFIGURED_RETRY_SECONDS).ok(),
            ..RefreshOutcome::default()
        },
    };
    Ok(RefreshOutcome { called_in_vain: counted.in_vain > 0, counted, ..told })
}

/// What follows a stored pair: the schedule moves, and if the connection was of no use for a while, its messages are
/// compared with the message store. Neither may fail the refresh.
async fn follow(gateway: &Gateway, found: &Connection, record: &Record) {
    keepalive::refreshed(gateway, &record.applied_to(found)).await;
    if found.status != ConnectionStatus::Active
        && let Err(error) = gateway.store.note_gap(&found.tenant, &found.id, BackfillReason::Recovered).await
    {
        let error = Error::from(error);
        tracing::warn!(connection.id = %found.id, error = error.chain(), "a gap is left for the next sync");
    }
}

fn seconds_until(now: Timestamp, at: Timestamp) -> u64 {
    u64::try_from(at.duration_since(now).as_secs() + 1).unwrap_or(1)
}
