//! Disconnecting: the connection is given up in one transaction, from then on nobody can use it; what is left (numbers,
//! subscription, the session at RingCentral) is done at once if possible, and by the sweep if not.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;

use crate::batch;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::connection::Connection;
use crate::model::event::EventKind;
use crate::model::ids::{ExtensionId, TenantId};
use crate::revocation;
use crate::store::{ClaimOutcome, DueWork, Inventory, WorkKind};

/// How often a connection is given up again when it changes meanwhile.
const ATTEMPTS: u32 = 4;

/// Disconnects one extension of a tenant.
pub async fn extension(
    gateway: &Gateway,
    by: &AuditContext,
    tenant: &TenantId,
    extension: &ExtensionId,
) -> Result<()> {
    let issuer = &gateway.config.ringcentral_server;
    for _ in 0..ATTEMPTS {
        let claim = gateway.store.claim_of_any_tenant(issuer, extension).await?;
        let claim = claim.filter(|claim| claim.tenant == *tenant).ok_or(Error::NotFound)?;
        // Gone since the claim was read: it was replaced or disconnected just now.
        let Some(connection) = gateway.store.connection(tenant, &claim.connection).await? else { continue };
        if give_up(gateway, by, &connection).await? {
            return clean_up(gateway, tenant, vec![connection]).await;
        }
    }
    Err(Error::unavailable("a connection that keeps changing", "disconnecting"))
}

/// Disconnects every extension of a tenant.
pub async fn account(gateway: &Gateway, by: &AuditContext, tenant: &TenantId) -> Result<()> {
    let mut given_up = Vec::new();
    for _ in 0..ATTEMPTS {
        let connections = gateway.store.connections(tenant).await?;
        if connections.is_empty() {
            return clean_up(gateway, tenant, given_up).await;
        }
        for connection in connections {
            if give_up(gateway, by, &connection).await? {
                given_up.push(connection);
            }
        }
    }
    Err(Error::unavailable("a connection that keeps changing", "disconnecting"))
}

/// Gives up a connection: from then on nobody can use it. False if it changed meanwhile.
pub async fn give_up(gateway: &Gateway, by: &AuditContext, connection: &Connection) -> Result<bool> {
    let deed = AuditEntry {
        by,
        action: Action::ExtensionDisconnected,
        tenant: &connection.tenant,
        subject: connection.extension.as_str(),
        fields: &[],
    };
    let event = connection.event(EventKind::RcDisconnected, gateway.clock.now());
    Ok(gateway.store.give_up_connection(connection, &deed, &event).await?)
}

/// What is left after connections were given up: their numbers, then their sessions, as many as time allows. The sweep
/// finds the revocations that are left, and forgets the numbers first, too.
async fn clean_up(gateway: &Gateway, tenant: &TenantId, given_up: Vec<Connection>) -> Result<()> {
    forget_numbers(gateway, tenant).await?;
    let within = Duration::from_millis(limits::REVOCATIONS_AT_ONCE_MS);
    let count = given_up.len();
    let revocations = given_up.into_iter();
    let revocations =
        revocations.map(|old| async move { revocation::request(gateway, tenant, &old.id).await });
    let revoked = stream::iter(revocations).buffer_unordered(8).collect::<()>();
    if tokio::time::timeout(within, revoked).await.is_err() {
        tracing::warn!(tenant.id = %tenant, "some sessions are left for the sweep to end");
    }
    tracing::info!(tenant.id = %tenant, connections = count, "disconnected");
    Ok(())
}

/// Forgets the numbers of extensions and accounts that are no longer connected.
async fn forget_numbers(gateway: &Gateway, tenant: &TenantId) -> Result<()> {
    let Inventory { connections, mut numbers, mut account_numbers } = gateway.store.inventory(tenant).await?;
    let accounts: HashSet<_> =
        connections.iter().map(|connection| connection.identity.account.as_deref()).collect();
    numbers.retain(|number| connections.iter().all(|connection| connection.extension != number.extension));
    // An account that is not known yet may be any of them.
    let unknown = accounts.contains(&None);
    account_numbers.retain(|number| !unknown && !accounts.contains(&Some(number.account.as_str())));
    gateway.store.forget_numbers(tenant, &numbers, &account_numbers).await?;
    Ok(())
}

/// Ends sessions that are still to be ended; one that fails does not stop the others. Gives how many were tried.
///
/// # Errors
/// If the index can't be read.
pub async fn sweep(gateway: &Gateway) -> Result<usize> {
    let within = SignedDuration::from_millis(limits::SWEEP_MS);
    batch::drain_due(gateway, WorkKind::Revocation, limits::SWEEP_AT_ONCE, within, async |due| {
        end(gateway, due).await
    })
    .await
}

async fn end(gateway: &Gateway, due: &DueWork) -> Result<bool> {
    if gateway.store.claim_work(due).await? == ClaimOutcome::NotDue {
        return Ok(false);
    }
    forget_numbers(gateway, &due.tenant).await?;
    revocation::request(gateway, &due.tenant, &due.connection).await;
    Ok(true)
}
