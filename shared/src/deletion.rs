//! Deleting a tenant.
//!
//! Everything stops with the first write: from then on its keys are refused, its links start nothing, and no connection
//! is stored for it. Within the same request, in this order and each within a bound:
//!
//! 1. every connection is given up, so that nobody can use its tokens;
//! 2. the sessions at RingCentral are ended, all of them tried once: for that their refresh tokens must be opened, which
//!    is why it comes before the third step;
//! 3. everything that was sealed for the tenant is erased together with the data keys that could open it: tokens that
//!    are left, webhook secrets, and the API keys' digests.
//!
//! "Erases the data keys at once" means step 3: when the request is answered, what is in the tables can't be opened any
//! more, by nobody. If a store fails on the way, the sweep goes on with step 1. A session that RingCentral did not end in
//! time is left to expire (a week at most), and the log says so: erasing does not wait for RingCentral. Plaintext data
//! keys in warm functions have nothing left to open. Backups of the tables (point-in-time recovery, 35 days) still hold
//! the wrapped keys; only disabling the KMS key would close those, for all tenants.
//!
//! What holds no secret (numbers, the claim on extensions, the records themselves) goes in the background. Links lapse by
//! themselves; the audit log stays.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::try_join_all;

use crate::disconnect;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::ids::TenantId;
use crate::revocation;
use crate::store::{Changed, Holding};

/// Orders the deletion of a tenant, and does at once what can't wait. Ordering it again does no harm.
pub async fn order(gateway: &Gateway, by: &AuditContext, tenant: &TenantId) -> Result<()> {
    let deed = deed(by, Action::TenantDeleted, tenant);
    match gateway.store.order_deletion(tenant, &deed).await? {
        Changed::Absent => return Err(Error::NotFound),
        Changed::Moved => return Ok(()),
        Changed::Yes => tracing::info!(tenant.id = %tenant, "a tenant is being deleted"),
    }
    // It is ordered: whatever fails from here on, the sweep does.
    if let Err(error) = stop_and_erase(gateway, by, tenant).await {
        tracing::error!(tenant.id = %tenant, error = error.chain(), "a deletion is left for the sweep");
    }
    Ok(())
}

/// Steps 1 to 3.
async fn stop_and_erase(gateway: &Gateway, by: &AuditContext, tenant: &TenantId) -> Result<()> {
    let erasing = Duration::from_millis(limits::DELETION_ERASE_MS);
    let late = |_| Error::Unavailable { what: "a deletion", retry_after: erasing, source: None };
    tokio::time::timeout(erasing, give_up_connections(gateway, by, tenant)).await.map_err(late)??;
    end_sessions(gateway, tenant).await?;
    tokio::time::timeout(erasing, erase_keys(gateway, tenant)).await.map_err(late)?
}

async fn give_up_connections(gateway: &Gateway, by: &AuditContext, tenant: &TenantId) -> Result<()> {
    // One that changes meanwhile is met again; a tenant that is being deleted gets no new ones.
    loop {
        let connections = gateway.store.connections(tenant).await?;
        if connections.is_empty() {
            return Ok(());
        }
        let given_up = futures_util::stream::iter(connections)
            .map(async |connection| disconnect::delete_connection(gateway, by, &connection).await)
            .buffer_unordered(limits::DELETION_AT_ONCE);
        given_up.collect::<Vec<_>>().await.into_iter().collect::<Result<Vec<_>>>()?;
    }
}

/// Tries to end each session once, within the bound.
async fn end_sessions(gateway: &Gateway, tenant: &TenantId) -> Result<()> {
    let sessions = gateway.store.revocations(tenant).await?;
    let tries = futures_util::stream::iter(sessions)
        .map(async |connection| revocation::request(gateway, tenant, &connection).await)
        .buffer_unordered(limits::DELETION_AT_ONCE)
        .collect::<Vec<()>>();
    let patience = Duration::from_millis(limits::DELETION_SESSIONS_MS);
    let _ = tokio::time::timeout(patience, tries).await;
    let left = gateway.store.revocations(tenant).await?.len();
    if left > 0 {
        tracing::error!(tenant.id = %tenant, sessions = left, "sessions of a deleted tenant are left to expire");
    }
    Ok(())
}

/// Erases everything that was sealed for the tenant, with its data keys.
async fn erase_keys(gateway: &Gateway, tenant: &TenantId) -> Result<()> {
    gateway.store.erase(Holding::Connections, tenant, "revocation#").await?;
    gateway.store.erase(Holding::Tenants, tenant, "app#").await?;
    gateway.store.erase(Holding::Tenants, tenant, "key#").await?;
    Ok(gateway.store.note_keys_erased(tenant).await?)
}

/// Goes on with the deletions of all tenants; one that fails does not stop the others. Gives how many came to an end.
pub async fn sweep(gateway: &Gateway) -> Result<usize> {
    let mut finished = 0;
    for work in gateway.store.overdue_deletions_of_all_tenants().await? {
        let outcome = async {
            if !gateway.store.take_deletion(&work).await? {
                return Ok(false);
            }
            finish(gateway, &work.tenant).await
        };
        match outcome.await {
            Ok(true) => finished += 1,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(tenant.id = %work.tenant, error = error.chain(), "a deletion was not finished");
            }
        }
    }
    Ok(finished)
}

/// Does what is left; true when nothing is.
async fn finish(gateway: &Gateway, tenant: &TenantId) -> Result<bool> {
    let by = AuditContext::background();
    stop_and_erase(gateway, &by, tenant).await?;
    for holding in Holding::ALL {
        gateway.store.erase(holding, tenant, "").await?;
    }
    if !left(gateway, tenant).await?.is_empty() {
        return Ok(false);
    }
    gateway.store.finish_deletion(tenant, &deed(&by, Action::TenantErased, tenant)).await?;
    tracing::info!(tenant.id = %tenant, "a tenant was erased");
    Ok(true)
}

/// How many records of each kind are left of a tenant.
pub async fn left(gateway: &Gateway, tenant: &TenantId) -> Result<BTreeMap<String, usize>> {
    let counts = Holding::ALL.map(|holding| gateway.store.left(holding, tenant));
    Ok(try_join_all(counts).await?.into_iter().flatten().collect())
}

fn deed<'a>(by: &'a AuditContext, action: Action, tenant: &'a TenantId) -> AuditEntry<'a> {
    AuditEntry { by, action, tenant, subject: tenant.as_str(), fields: &[] }
}
