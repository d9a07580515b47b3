//! Disconnecting. One transaction deletes the connection, and from then on it can't be used. Numbers, subscription and
//! session are cleaned up at once if possible, otherwise by the sweep.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::due_work::{self, DueOutcome, ShardOutcome, ShardTask};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::connection::{DisconnectedStatus, Disconnection};
use crate::model::event::{Event, EventKind};
use crate::model::ids::{ExtensionId, TenantId};
use crate::retry::{Attempt, retry_on_conflict};
use crate::revocation;
use crate::store::{ClaimOutcome, DueWork, Inventory, RemovableConnection, WriteOutcome};

/// Disconnects one extension of a tenant.
///
/// # Errors
/// [`Error::NotFound`] if the tenant has not connected the extension.
pub async fn disconnect_extension(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &TenantId,
    extension: &ExtensionId,
) -> Result<()> {
    let issuer = &gateway.config.ringcentral_server;
    let deleted = retry_on_conflict(limits::CONFLICT_ATTEMPTS, keeps_changing, || async {
        let owner = gateway.store.extension_owner_of_any_tenant(issuer, extension, tenant).await?;
        let owner = owner.filter(|owner| owner.tenant == *tenant).ok_or(Error::NotFound)?;
        let Some(connection) = gateway.store.removable_connection(tenant, &owner.connection).await? else {
            // The connection was replaced or disconnected since its owner was read.
            return Ok(Attempt::Conflict);
        };
        Ok(match delete_connection(gateway, audit, &connection).await? {
            WriteOutcome::Applied => Attempt::Done(connection),
            WriteOutcome::Conflict => Attempt::Conflict,
        })
    })
    .await?;
    clean_up(gateway, tenant, vec![deleted]).await
}

/// Disconnects all extensions of a tenant.
///
/// # Errors
/// If the store fails, or connections keep changing.
pub async fn disconnect_account(gateway: &Gateway, audit: &AuditContext, tenant: &TenantId) -> Result<()> {
    let mut deleted = Vec::new();
    for _ in 0..limits::CONFLICT_ATTEMPTS {
        let connections = gateway.store.removable_connections(tenant).await?;
        if connections.is_empty() {
            return clean_up(gateway, tenant, deleted).await;
        }
        // A connection that has changed since it was read is found again in the next round.
        for connection in connections {
            if delete_connection(gateway, audit, &connection).await?.is_applied() {
                deleted.push(connection);
            }
        }
    }
    Err(keeps_changing())
}

fn keeps_changing() -> Error {
    Error::unavailable("the store", "a connection keeps changing while it is disconnected")
}

/// Deletes a connection and stores its revocation. The condition fails if it has changed since it was read.
pub async fn delete_connection(
    gateway: &Gateway,
    audit: &AuditContext,
    connection: &RemovableConnection,
) -> Result<WriteOutcome> {
    let RemovableConnection { tenant, id, extension, .. } = connection;
    let audit_entry = AuditEntry {
        context: audit,
        action: Action::ExtensionDisconnected,
        tenant,
        subject: extension.as_ref().map_or(id.as_str(), ExtensionId::as_str),
        fields: &[],
    };
    if connection.revocation.is_none() {
        tracing::error!(tenant.id = %tenant, connection.id = %id, "tokens cannot be read: the session ends when they expire");
    }
    let event = disconnected_event(connection, gateway.clock.now());
    Ok(gateway.store.delete_connection(connection, &audit_entry, &event).await?)
}

fn disconnected_event(connection: &RemovableConnection, now: Timestamp) -> Event {
    let readable = connection.connection.as_ref();
    let data = Disconnection {
        extension_id: connection.extension.as_ref().map_or("", ExtensionId::as_str),
        rc_account_id: readable.and_then(|readable| readable.identity.account.as_deref()),
        status: DisconnectedStatus::Disconnected,
    };
    Event::new(&connection.tenant, EventKind::RcDisconnected, now, &data)
}

/// Deletes the numbers of deleted connections and ends their sessions, as far as time allows. The sweep does the rest, and
/// also deletes the numbers first.
async fn clean_up(gateway: &Gateway, tenant: &TenantId, deleted: Vec<RemovableConnection>) -> Result<()> {
    delete_unused_numbers(gateway, tenant).await?;
    let within = Duration::from_millis(limits::REVOCATIONS_AT_ONCE_MS);
    let count = deleted.len();
    let revocations = deleted.into_iter();
    let revocations =
        revocations.map(|old| async move { revocation::request(gateway, tenant, &old.id).await });
    let revoked = stream::iter(revocations).buffer_unordered(8).collect::<()>();
    if tokio::time::timeout(within, revoked).await.is_err() {
        tracing::warn!(tenant.id = %tenant, "not all sessions could be ended in time; the sweep ends the others");
    }
    tracing::info!(tenant.id = %tenant, connections = count, "connections disconnected");
    Ok(())
}

/// Deletes the numbers of extensions and accounts that are not connected.
async fn delete_unused_numbers(gateway: &Gateway, tenant: &TenantId) -> Result<()> {
    let Inventory { connections, mut numbers, mut account_numbers } = gateway.store.inventory(tenant).await?;
    let accounts: HashSet<_> =
        connections.iter().map(|connection| connection.identity.account.as_deref()).collect();
    numbers.retain(|number| connections.iter().all(|connection| connection.extension != number.extension));
    // A connection whose account is not known yet may belong to any account.
    let has_unknown_account = accounts.contains(&None);
    account_numbers
        .retain(|number| !has_unknown_account && !accounts.contains(&Some(number.account.as_str())));
    gateway.store.delete_numbers(tenant, &numbers, &account_numbers).await?;
    Ok(())
}

/// Retries the revocations of a shard that are due. A failure does not affect the others.
///
/// # Errors
/// If the index can't be read.
pub async fn sweep(gateway: &Gateway, task: &ShardTask) -> Result<ShardOutcome> {
    let within = SignedDuration::from_millis(limits::SWEEP_MS);
    due_work::drain(gateway, task, limits::SWEEP_AT_ONCE, within, async |due| {
        retry_revocation(gateway, due).await
    })
    .await
}

async fn retry_revocation(gateway: &Gateway, due: &DueWork) -> Result<DueOutcome> {
    if gateway.store.claim_work(due).await? == ClaimOutcome::NotDue {
        return Ok(DueOutcome::Left);
    }
    delete_unused_numbers(gateway, &due.tenant).await?;
    revocation::request(gateway, &due.tenant, &due.connection).await;
    Ok(DueOutcome::Processed)
}
