//! Deletion of a tenant.
//!
//! The first write stops all use: from then on the tenant's keys are rejected, its links start no flow, and no connection is
//! stored for it. The same request then does, in this order and each with a deadline:
//!
//! 1. Every connection is removed, so that its tokens can't be used.
//! 2. The sessions at RingCentral are ended, each in one attempt. This needs the refresh tokens, so it precedes step 3.
//! 3. Everything sealed for the tenant is erased together with the data keys that could open it: remaining tokens, webhook
//!    secrets, quarantined records, and the digests of API keys.
//!
//! "Erases the data keys at once" means step 3: when the request has been answered, nothing can decrypt what is left in the
//! tables. If a step fails, `erase-tenants` repeats it. A session that RingCentral did not end in time expires within a week, and
//! the log says so: erasure does not wait for RingCentral. Plaintext data keys in warm functions have nothing left to
//! decrypt. Backups of the tables (point-in-time recovery, 35 days) still hold the wrapped keys; only disabling the KMS key
//! would make those unusable, for all tenants.
//!
//! Data without secrets (numbers, ownership of extensions, the records themselves) is erased in the background. Links
//! expire. The audit log is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::disconnect;
use crate::due_work::{ShardOutcome, ShardTask};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::ids::TenantId;
use crate::model::media::{media_prefix, upload_prefix};
use crate::revocation;
use crate::store::{ChangeOutcome, DueDeletion, TenantTable};

/// Requests the deletion of a tenant and does the urgent part of it. Idempotent.
pub async fn request(gateway: &Gateway, audit: &AuditContext, tenant: &TenantId) -> Result<()> {
    let entry = audit_entry(audit, Action::TenantDeleted, tenant);
    match gateway.store.request_deletion(tenant, &entry).await? {
        ChangeOutcome::NotFound => return Err(Error::NotFound),
        ChangeOutcome::Conflict => return Ok(()),
        ChangeOutcome::Applied => tracing::info!(tenant.id = %tenant, "tenant deletion requested"),
    }
    // The request is stored: the background run does whatever is not done here.
    let within = Duration::from_millis(limits::DELETION_ERASE_MS);
    match disconnect_and_erase(gateway, audit, tenant, within).await {
        Ok(Progress::Complete) => {}
        Ok(Progress::Incomplete) => {
            tracing::info!(tenant.id = %tenant, "tenant deletion continues in the background");
        }
        Err(error) => {
            tracing::error!(tenant.id = %tenant, error = error.chain(), "tenant deletion left to the background run");
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Complete,
    /// The time is over.
    Incomplete,
}

/// Steps 1 to 3. The first and the last may each take the given time.
async fn disconnect_and_erase(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &TenantId,
    within: Duration,
) -> Result<Progress> {
    let Ok(removed) = tokio::time::timeout(within, remove_connections(gateway, audit, tenant)).await else {
        return Ok(Progress::Incomplete);
    };
    removed?;
    end_sessions(gateway, tenant).await?;
    let Ok(erased) = tokio::time::timeout(within, erase_keys(gateway, tenant)).await else {
        return Ok(Progress::Incomplete);
    };
    erased?;
    Ok(Progress::Complete)
}

async fn remove_connections(gateway: &Gateway, audit: &AuditContext, tenant: &TenantId) -> Result<()> {
    // A connection that changes concurrently is read again. A tenant that is being deleted gets no new ones.
    loop {
        let connections = gateway.store.some_removable_connections(tenant).await?;
        if connections.is_empty() {
            return Ok(());
        }
        let removals = futures_util::stream::iter(connections)
            .map(async |connection| disconnect::delete_connection(gateway, audit, &connection).await)
            .buffer_unordered(limits::DELETION_AT_ONCE);
        removals.collect::<Vec<_>>().await.into_iter().collect::<Result<Vec<_>>>()?;
    }
}

/// Makes one attempt to end each session, up to the deadline.
async fn end_sessions(gateway: &Gateway, tenant: &TenantId) -> Result<()> {
    let sessions = gateway.store.revocations(tenant).await?;
    let attempts = futures_util::stream::iter(sessions)
        .map(async |connection| revocation::request(gateway, tenant, &connection).await)
        .buffer_unordered(limits::DELETION_AT_ONCE)
        .collect::<Vec<()>>();
    let deadline = Duration::from_millis(limits::DELETION_SESSIONS_MS);
    let _ = tokio::time::timeout(deadline, attempts).await;
    let remaining = gateway.store.revocations(tenant).await?.len();
    if remaining > 0 {
        tracing::error!(
            tenant.id = %tenant,
            sessions = remaining,
            "sessions of deleted tenant not revoked, left to expire"
        );
    }
    Ok(())
}

/// Erases everything that was sealed for the tenant, with its data keys.
async fn erase_keys(gateway: &Gateway, tenant: &TenantId) -> Result<()> {
    let sealed = [
        (TenantTable::Connections, "revocation#"),
        (TenantTable::Quarantine, ""),
        (TenantTable::Tenants, "app#"),
        (TenantTable::Tenants, "key#"),
    ];
    for (table, prefix) in sealed {
        let mut after = gateway.store.erase_page(table, tenant, prefix, None).await?;
        while after.is_some() {
            after = gateway.store.erase_page(table, tenant, prefix, after).await?;
        }
    }
    Ok(gateway.store.record_keys_erased(tenant).await?)
}

/// Continues the due deletions of a shard, one after another. A failing one does not stop the others. One that does not end within
/// the time of a run goes on in the next, after the others.
///
/// # Errors
/// If the index can't be read.
pub async fn sweep(gateway: &Gateway, task: &ShardTask) -> Result<ShardOutcome> {
    let now = gateway.clock.now();
    let until = saturating_add(now, SignedDuration::from_millis(limits::DELETION_RUN_MS));
    let mut outcome = ShardOutcome::Complete;
    for work in gateway.store.overdue_deletions_of_all_tenants(task.shard).await? {
        if gateway.clock.now() >= until {
            return Ok(ShardOutcome::Continue(None));
        }
        match resume(gateway, &work, until).await {
            Ok(Progress::Complete) => {}
            Ok(Progress::Incomplete) => outcome = ShardOutcome::Continue(None),
            Err(error) => {
                tracing::warn!(tenant.id = %work.tenant, error = error.chain(), "tenant deletion failed");
            }
        }
    }
    Ok(outcome)
}

async fn resume(gateway: &Gateway, work: &DueDeletion, until: Timestamp) -> Result<Progress> {
    let Some(leased) = gateway.store.lease_deletion(work).await? else { return Ok(Progress::Complete) };
    let progress = erase(gateway, &leased.tenant, until).await?;
    if progress == Progress::Incomplete {
        gateway.store.release_deletion(&leased).await?;
    }
    Ok(progress)
}

/// Erases what is left of a tenant, page by page, until it is gone or the time is over.
async fn erase(gateway: &Gateway, tenant: &TenantId, until: Timestamp) -> Result<Progress> {
    let audit = AuditContext::background();
    let within = Duration::from_millis(limits::DELETION_STEP_MS);
    if disconnect_and_erase(gateway, &audit, tenant, within).await? == Progress::Incomplete {
        return Ok(Progress::Incomplete);
    }
    for table in TenantTable::ALL {
        let mut after = None;
        loop {
            after = gateway.store.erase_page(table, tenant, "", after).await?;
            if after.is_none() {
                break;
            }
            if gateway.clock.now() >= until {
                return Ok(Progress::Incomplete);
            }
        }
    }
    for prefix in [media_prefix(tenant), upload_prefix(tenant)] {
        while gateway.media_bucket().delete_some(&prefix).await? > 0 {
            if gateway.clock.now() >= until {
                return Ok(Progress::Incomplete);
            }
        }
    }
    if !remaining(gateway, tenant).await?.is_empty() {
        return Ok(Progress::Incomplete);
    }
    gateway.store.complete_deletion(tenant, &audit_entry(&audit, Action::TenantErased, tenant)).await?;
    tracing::info!(tenant.id = %tenant, "tenant erased");
    Ok(Progress::Complete)
}

/// Counts the remaining items of a tenant by kind, up to [`limits::DELETION_COUNTED`] in each table.
pub async fn remaining(gateway: &Gateway, tenant: &TenantId) -> Result<BTreeMap<String, usize>> {
    let counts = TenantTable::ALL.map(|table| gateway.store.remaining(table, tenant));
    Ok(try_join_all(counts).await?.into_iter().flatten().collect())
}

fn audit_entry<'a>(audit: &'a AuditContext, action: Action, tenant: &'a TenantId) -> AuditEntry<'a> {
    AuditEntry { context: audit, action, tenant, subject: tenant.as_str(), fields: &[] }
}
