//! Deletion of a tenant: the request, the remaining items, and their erasure in batches.
//!
//! The tenant's record has the time of the request. The item `deletion` in the table `connections` keeps the work in the
//! index `due` until it is complete.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{Delete, DeleteRequest, Put, Select, TransactWriteItem, WriteRequest};
use futures_util::stream::{self, TryStreamExt};
use jiff::{SignedDuration, Timestamp};

use super::due::WorkKind;
use super::item::{self, Item, Row, Writer};
use super::tenants::{ChangeOutcome, tenant_key};
use super::{Store, StoreError, WriteOutcome, complete, failure, is_conditional, query, write_outcome};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::audit::AuditEntry;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::shard::Shard;
use crate::model::tenant::TenantStatus;

/// The tables that hold a tenant's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantTable {
    /// The tenant's record, apps and keys.
    Tenants,
    /// Connections, numbers, incomplete revocations.
    Connections,
    Events,
    Deliveries,
    /// Messages and outboxes.
    Messages,
    /// Consents and their history.
    Consents,
    Quarantine,
}

impl TenantTable {
    /// In the order of erasure: the table with the tenant's record is the last one.
    pub const ALL: [Self; 7] = [
        Self::Connections,
        Self::Messages,
        Self::Consents,
        Self::Events,
        Self::Deliveries,
        Self::Quarantine,
        Self::Tenants,
    ];
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDeletion {
    pub tenant: TenantId,
    /// The `due_at` that was read.
    pub at: Timestamp,
}

const TENANT: &str = "tenant";
const DELETION: &str = "deletion";

impl Store {
    /// Sets the status to `deleting`, which rejects every request of the tenant, and makes the remaining work due.
    /// A conflict if the deletion was requested before.
    pub async fn request_deletion(
        &self,
        tenant: &TenantId,
        entry: &AuditEntry<'_>,
    ) -> Result<ChangeOutcome, StoreError> {
        let now = self.clock.now();
        let update = aws_sdk_dynamodb::types::Update::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(tenant_key(tenant)))
            .update_expression("SET #status = :deleting, deletion_requested_at = :now")
            .condition_expression("attribute_exists(tenant) AND #status <> :deleting")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":deleting", item::text(TenantStatus::Deleting.as_str()))
            .expression_attribute_values(":now", item::time(now))
            .return_values_on_condition_check_failure(
                aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
            );
        let due = saturating_add(now, SignedDuration::from_secs(limits::DELETION_GRACE_SECONDS));
        let work = Writer(work_key(tenant))
            .set("work_kind", WorkKind::Deletion.partition_of(tenant.as_str()))
            .set("due_at", item::time(due));
        let put = Put::builder().table_name(&self.tables.connections).set_item(Some(work.done()));
        let items = vec![
            TransactWriteItem::builder().update(complete(update.build())).build(),
            TransactWriteItem::builder().put(complete(put.build())).build(),
            self.put_audit_entry(entry),
        ];
        Ok(match self.transact(items).await? {
            Ok(()) => ChangeOutcome::Applied,
            Err(reasons) => {
                let exists =
                    reasons.first().and_then(|reason| reason.item()).is_some_and(|item| !item.is_empty());
                if exists { ChangeOutcome::Conflict } else { ChangeOutcome::NotFound }
            }
        })
    }

    /// Records that all sealed data and data keys of the tenant are erased.
    pub async fn record_keys_erased(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.tenants)
            .set_key(Some(tenant_key(tenant)))
            .update_expression("SET keys_erased_at = if_not_exists(keys_erased_at, :now)")
            .condition_expression("attribute_exists(tenant)")
            .expression_attribute_values(":now", item::time(self.clock.now()));
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_conditional(&error) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    /// At most [`limits::SWEEP_BATCH`].
    pub async fn overdue_deletions_of_all_tenants(
        &self,
        shard: Shard,
    ) -> Result<Vec<DueDeletion>, StoreError> {
        let query =
            self.query_work(WorkKind::Deletion, shard, Some(self.clock.now())).limit(limits::SWEEP_BATCH);
        let mut due = Vec::new();
        for row in query::page(query).await?.0 {
            match row.tenant().and_then(|tenant| Ok(DueDeletion { tenant, at: row.time("due_at")? })) {
                Ok(deletion) => due.push(deletion),
                Err(error) => {
                    let (table, index) = (&self.tables.connections, ("work_kind", "due_at"));
                    self.pass_index_entry(table, index, &row, |row| row.tenant().is_ok(), &error).await;
                }
            }
        }
        Ok(due)
    }

    /// Leases a deletion for longer than a run takes. `None` if another worker has leased or completed it.
    pub async fn lease_deletion(&self, work: &DueDeletion) -> Result<Option<DueDeletion>, StoreError> {
        let lease = SignedDuration::from_secs(limits::DELETION_LEASE_SECONDS);
        let at = saturating_add(self.clock.now(), lease);
        let leased = self.move_deletion(work, at).await?;
        Ok(leased.is_applied().then(|| DueDeletion { tenant: work.tenant.clone(), at }))
    }

    /// Makes a leased deletion due now.
    pub async fn release_deletion(&self, leased: &DueDeletion) -> Result<(), StoreError> {
        self.move_deletion(leased, self.clock.now()).await.map(drop)
    }

    async fn move_deletion(&self, work: &DueDeletion, until: Timestamp) -> Result<WriteOutcome, StoreError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(work_key(&work.tenant)))
            .update_expression("SET due_at = :until")
            .condition_expression("due_at = :seen")
            .expression_attribute_values(":seen", item::time(work.at))
            .expression_attribute_values(":until", item::time(until));
        write_outcome(update.send().await)
    }

    /// The connections of a tenant whose sessions at RingCentral have not ended.
    pub async fn revocations(&self, tenant: &TenantId) -> Result<Vec<ConnectionId>, StoreError> {
        let rows = self.names(TenantTable::Connections, tenant, "revocation#").await?;
        Ok(rows.iter().filter_map(|name| ConnectionId::from_record(name.split_once('#')?.1)).collect())
    }

    /// Counts the remaining items of a tenant in a table by kind, without the tenant's record and the deletion itself, up to
    /// [`limits::DELETION_COUNTED`].
    pub async fn remaining(
        &self,
        table: TenantTable,
        tenant: &TenantId,
    ) -> Result<BTreeMap<String, usize>, StoreError> {
        let mut remaining = BTreeMap::new();
        let rows = query::up_to(limits::DELETION_COUNTED, self.query_names(table, tenant, "")).await?;
        for name in erasable(&rows) {
            let kind = name.split(['#', '_']).next().unwrap_or_default().to_owned();
            *remaining.entry(kind).or_default() += 1;
        }
        Ok(remaining)
    }

    /// Erases a page of the items of a tenant whose sort key begins with `prefix`, after the one with the name `after`. Returns
    /// the name at which the page ended, if there may be more.
    pub async fn erase_page(
        &self,
        table: TenantTable,
        tenant: &TenantId,
        prefix: &str,
        after: Option<String>,
    ) -> Result<Option<String>, StoreError> {
        let start = after.map(|name| item::key(tenant, &name));
        let query = self.query_names(table, tenant, prefix).limit(limits::DELETION_PAGE);
        let (rows, last) = query::page(query.set_exclusive_start_key(start)).await?;
        let names: Vec<String> = erasable(&rows).collect();
        let delete = |name: &String| {
            let delete = DeleteRequest::builder().set_key(Some(item::key(tenant, name)));
            WriteRequest::builder().delete_request(complete(delete.build())).build()
        };
        // A batch has at most 25 writes.
        let batches = stream::iter(names.chunks(25).map(Ok));
        batches
            .try_for_each_concurrent(limits::DELETION_AT_ONCE, |names| {
                self.write_all(self.table_name(table), names.iter().map(delete).collect())
            })
            .await?;
        Ok(last.and_then(|key| key.maybe_text("item")))
    }

    /// Deletes the tenant's record and the work item.
    pub async fn complete_deletion(
        &self,
        tenant: &TenantId,
        entry: &AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        let delete = |table: &str, key: Item| {
            let delete = Delete::builder().table_name(table).set_key(Some(key));
            TransactWriteItem::builder().delete(complete(delete.build())).build()
        };
        let items = vec![
            delete(&self.tables.tenants, tenant_key(tenant)),
            delete(&self.tables.connections, work_key(tenant)),
            self.put_audit_entry(entry),
        ];
        self.transact(items).await?.map_err(|_| StoreError::Damaged("deletion"))
    }

    fn table_name(&self, table: TenantTable) -> &str {
        match table {
            TenantTable::Tenants => &self.tables.tenants,
            TenantTable::Connections => &self.tables.connections,
            TenantTable::Events => &self.tables.events,
            TenantTable::Deliveries => &self.tables.deliveries,
            TenantTable::Messages => &self.tables.messages,
            TenantTable::Consents => &self.tables.consents,
            TenantTable::Quarantine => &self.tables.quarantine,
        }
    }

    /// The sort keys of a tenant's items that begin with `prefix`.
    pub(super) async fn names(
        &self,
        table: TenantTable,
        tenant: &TenantId,
        prefix: &str,
    ) -> Result<Vec<String>, StoreError> {
        let rows = query::all(self.query_names(table, tenant, prefix)).await?;
        Ok(rows.iter().filter_map(|row| row.maybe_text("item")).collect())
    }

    fn query_names(&self, table: TenantTable, tenant: &TenantId, prefix: &str) -> QueryFluentBuilder {
        let query = self
            .db
            .query()
            .table_name(self.table_name(table))
            .consistent_read(true)
            .select(Select::SpecificAttributes)
            .projection_expression("#item")
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":tenant", item::text(tenant.as_str()));
        if prefix.is_empty() {
            return query.key_condition_expression("tenant = :tenant");
        }
        query
            .key_condition_expression("tenant = :tenant AND begins_with(#item, :prefix)")
            .expression_attribute_values(":prefix", item::text(prefix))
    }
}

/// The names of items, without those that a deletion deletes last.
fn erasable(rows: &[Row]) -> impl Iterator<Item = String> {
    rows.iter().filter_map(|row| row.maybe_text("item")).filter(|name| name != TENANT && name != DELETION)
}

fn work_key(tenant: &TenantId) -> Item {
    item::key(tenant, DELETION)
}
