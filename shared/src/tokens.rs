//! Access tokens for whoever calls RingCentral in a connection's name, and keeping connections alive.
//!
//! [`usable`] is for every function: a token that was stored before it is used, and lives long enough. It does not
//! refresh: only one function may open refresh tokens, and the others ask it. [`refresh`] is what that function does:
//! the I/O around [`model::refresh::step`](crate::model::refresh::step), which decides.

mod attempt;
mod rescue;

use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::memory::KnownToken;
use crate::model::connection::Connection;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::rate::later;
use crate::model::refresh::Outcome;
use crate::ringcentral::AccessToken;
use crate::store::Lane;
use crate::vault::{Binding, Owner, Purpose};

use self::attempt::Worker;
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
    let turn = gateway.memory.turns.of(id.as_str());
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
/// meanwhile, else a refreshed one. Whoever calls this repeats the refused call once.
///
/// # Errors
/// As [`usable`].
pub async fn after_refusal(
    gateway: &Gateway,
    tenant: &TenantId,
    id: &ConnectionId,
    generation: u64,
) -> Result<Usable> {
    gateway.memory.tokens.forget(id.as_str());
    let turn = gateway.memory.turns.of(id.as_str());
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
    later(gateway.clock.now(), SignedDuration::from_secs(seconds)) < connection.access.expires_at
}

async fn open(gateway: &Gateway, connection: Connection) -> Result<Usable> {
    let (owner, binding) = sealed_for(&connection, Purpose::Access);
    let text = gateway.vault().open(owner, binding, &connection.access.key, &connection.access.token).await?;
    let now = gateway.clock.now();
    let until = later(now, SignedDuration::from_secs(limits::ACCESS_UNREAD_SECONDS));
    let known = KnownToken { connection: connection.clone(), access: text.clone() };
    gateway.memory.tokens.put(connection.id.as_str(), known, until);
    Ok(Usable { access: AccessToken::new(text), connection })
}

fn remembered(gateway: &Gateway, id: &ConnectionId) -> Option<Usable> {
    let known = gateway.memory.tokens.get(id.as_str(), gateway.clock.now())?;
    lives(gateway, &known.connection, limits::ACCESS_MARGIN_SECONDS)
        .then(|| Usable { access: AccessToken::new(known.access), connection: known.connection })
}

fn sealed_for(connection: &Connection, purpose: Purpose) -> (Owner<'_>, Binding<'_>) {
    (
        Owner { tenant: &connection.tenant, subject: connection.id.as_str(), purpose },
        Binding { generation: connection.generation, issuer: &connection.issuer },
    )
}

/// What the function that may open refresh tokens is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshOrder {
    tenant_id: String,
    connection_id: String,
    /// The generation that the caller has and can't use; absent if the connection is simply due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
}

impl RefreshOrder {
    /// An order for one connection.
    pub fn of(tenant: &TenantId, connection: &ConnectionId, generation: Option<u64>) -> Self {
        Self { tenant_id: tenant.to_string(), connection_id: connection.to_string(), generation }
    }
}

/// What it answers: one of the three.
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
}

/// When the process that works on an order is killed, at the latest: what Lambda says, if it can be.
pub fn deadline(gateway: &Gateway, told_ms: u64) -> Timestamp {
    let now = gateway.clock.now();
    let told = i64::try_from(told_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let plausible =
        |at: &Timestamp| at.duration_since(now).as_secs().abs() <= limits::DEADLINE_PLAUSIBLE_SECONDS;
    let configured = SignedDuration::from_millis(limits::REFRESH_FUNCTION_MS.cast_signed());
    told.filter(plausible).unwrap_or_else(|| later(now, configured))
}

/// Refreshes a connection, if it has to be. Ends before the deadline.
///
/// # Errors
/// [`Error::Internal`] for an order that names no connection, or a record that can't be opened.
pub async fn refresh(gateway: &Gateway, order: &RefreshOrder, deadline: Timestamp) -> Result<RefreshOutcome> {
    let invalid = || Error::Internal { what: "a refresh order", source: None };
    let tenant = TenantId::from_record(&order.tenant_id).ok_or_else(invalid)?;
    let connection = ConnectionId::from_record(&order.connection_id).ok_or_else(invalid)?;
    let outcome = Worker::new(gateway, tenant, connection, order.generation, deadline).run().await?;
    let now = gateway.clock.now();
    Ok(match outcome {
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
    })
}

fn seconds_until(now: Timestamp, at: Timestamp) -> u64 {
    u64::try_from(at.duration_since(now).as_secs() + 1).unwrap_or(1)
}

/// Has every connection refreshed that is overdue: its schedule or its ring was lost, or its process died. The longest
/// overdue first. Gives how many were tried.
pub async fn sweep(gateway: &Gateway) -> Result<usize> {
    let overdue = gateway.store.overdue_of_all_tenants(Lane::Refresh).await?;
    let patience = Duration::from_millis(limits::REFRESH_SWEEP_MS);
    let began = gateway.clock.now();
    let tries = stream::iter(overdue).map(|due| async move {
        let spent = gateway.clock.now().duration_since(began);
        if Duration::try_from(spent).is_ok_and(|spent| spent >= patience) {
            return 0;
        }
        let order = RefreshOrder::of(&due.tenant, &due.connection, None);
        if let Err(error) = gateway.functions().call(&gateway.config.refresh_function, &order).await {
            tracing::warn!(tenant.id = %due.tenant, error = %error, "an overdue refresh has no answer");
        }
        1
    });
    let tried: Vec<usize> = tries.buffered(limits::SWEEP_AT_ONCE).collect().await;
    for due in gateway.store.overdue_of_all_tenants(Lane::Erasure).await? {
        gateway.store.erase_refused_tokens(&due.tenant, &due.connection).await?;
    }
    Ok(tried.into_iter().sum())
}
