//! The index `refresh`: one entry for each usable connection of all tenants, with the attributes that the sweep and the
//! metrics need.

use jiff::Timestamp;

use super::due::{self, DueWork, WorkKind};
use super::item::{self, Row};
use super::{Store, StoreError, WriteOutcome, query, write_outcome};
use crate::limits;
use crate::model::connection::{ConnectionStatus, SUBSCRIPTION_ACTIVE};
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::shard::Shard;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepaliveEntry {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    /// When the next refresh is due.
    pub due: Timestamp,
    /// When the refresh token expires.
    pub expires_at: Timestamp,
    /// Refreshing fails at the moment, or RingCentral has rejected the refresh token once.
    pub is_failing: bool,
    /// Since when the outcome of a call of the token endpoint has been unknown.
    pub intent_since: Option<Timestamp>,
    /// There is no subscription that delivers events.
    pub is_subscription_down: bool,
}

impl Store {
    /// Connections of all tenants in a shard whose refresh is overdue: up to [`limits::SWEEP_OVERDUE`] of the longest overdue,
    /// in the order in which their refresh tokens expire.
    pub async fn overdue_refreshes_of_all_tenants(
        &self,
        shard: Shard,
    ) -> Result<Vec<KeepaliveEntry>, StoreError> {
        let query = self.query_work(WorkKind::Refresh, shard, Some(self.clock.now()));
        let mut overdue = Vec::new();
        for row in query::up_to(limits::SWEEP_OVERDUE, query).await?.iter().take(limits::SWEEP_OVERDUE) {
            match read_entry(row) {
                Ok(entry) => overdue.push(entry),
                Err(error) => self.pass_work(WorkKind::Refresh, row, &error).await,
            }
        }
        overdue.sort_by_key(|entry| entry.expires_at);
        Ok(overdue)
    }

    /// A page of the connections of all tenants in a shard, and the position at which it ended, if there may be more.
    pub async fn keepalive_entries_of_all_tenants(
        &self,
        shard: Shard,
        after: Option<&str>,
    ) -> Result<(Vec<KeepaliveEntry>, Option<String>), StoreError> {
        let (rows, next) = self.page_of_work(WorkKind::Refresh, shard, after).await?;
        Ok((self.readable(&self.tables.connections, &rows, read_entry), next))
    }

    /// A page of the revoked connections of all tenants in a shard whose tokens are not erased yet, and the position at which
    /// it ended, if there may be more.
    pub async fn revoked_of_all_tenants(
        &self,
        shard: Shard,
        after: Option<&str>,
    ) -> Result<(Vec<DueWork>, Option<String>), StoreError> {
        let (rows, next) = self.page_of_work(WorkKind::Erasure, shard, after).await?;
        let read = |row: &Row| due::read(WorkKind::Erasure, row);
        Ok((self.readable(&self.tables.connections, &rows, read), next))
    }

    /// Postpones an overdue refresh. The condition fails if its due time has changed.
    pub async fn postpone_refresh(
        &self,
        entry: &KeepaliveEntry,
        until: Timestamp,
    ) -> Result<WriteOutcome, StoreError> {
        let due = DueWork {
            kind: WorkKind::Refresh,
            tenant: entry.tenant.clone(),
            connection: entry.connection.clone(),
            due_at: entry.due,
        };
        let update = self
            .update_work(&due, "SET #due = :until", Some(until))
            .condition_expression("begins_with(#kind, :kind) AND #due = :seen")
            .expression_attribute_values(":seen", item::time(due.due_at));
        write_outcome(update.send().await)
    }
}

fn read_entry(row: &Row) -> Result<KeepaliveEntry, StoreError> {
    let due = due::read(WorkKind::Refresh, row)?;
    Ok(KeepaliveEntry {
        tenant: due.tenant,
        connection: due.connection,
        due: due.due_at,
        expires_at: row.time("refresh_expires_at")?,
        is_failing: row.text("status")? == ConnectionStatus::RefreshFailed.as_str()
            || row.maybe_time("denied_at")?.is_some(),
        intent_since: row.maybe_time("intent_since")?,
        is_subscription_down: row.maybe_text("subscription_status").as_deref() != Some(SUBSCRIPTION_ACTIVE),
    })
}
