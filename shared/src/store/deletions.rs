//! Deleting a tenant: the order, what is left, and erasing it piece by piece.
//!
//! The order is in the tenant's record; the item `deletion` in the table `connections` keeps the work in the index `due`
//! until it is done.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{Delete, DeleteRequest, Put, Select, TransactWriteItem, WriteRequest};
use jiff::{SignedDuration, Timestamp};

use super::due::skip_unreadable;
use super::item::{self, Item, Row, Writer};
use super::tenants::{Changed, tenant_key};
use super::{Store, StoreError, complete, failure, is_conditional, made, query};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::audit::AuditEntry;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::tenant::TenantStatus;

/// One of the tables that hold what belongs to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// The tenant's record, apps and keys.
    Tenants,
    /// Connections, numbers, unfinished revocations.
    Connections,
    /// Events.
    Events,
    /// Events on their way to apps.
    Deliveries,
    /// Messages, and what waits to be sent.
    Messages,
}

impl Holding {
    /// All of them, the tenant's record last.
    pub const ALL: [Self; 5] =
        [Self::Connections, Self::Messages, Self::Events, Self::Deliveries, Self::Tenants];
}

/// A tenant whose deletion is to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The tenant.
    pub tenant: TenantId,
    /// Since when.
    pub at: Timestamp,
}

const TENANT: &str = "tenant";
const DELETION: &str = "deletion";
const WORK_KIND: &str = "deletion";

impl Store {
    /// Stops everything of a tenant: its status changes, and what is left to do is remembered.
    /// [`Changed::Moved`] if it was ordered before.
    pub async fn order_deletion(
        &self,
        tenant: &TenantId,
        deed: &AuditEntry<'_>,
    ) -> Result<Changed, StoreError> {
        let now = self.clock.now();
        let update = aws_sdk_dynamodb::types::Update::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(tenant_key(tenant)))
            .update_expression("SET #status = :deleting, deletion_ordered_at = :now")
            .condition_expression("attribute_exists(tenant) AND #status <> :deleting")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":deleting", item::text(TenantStatus::Deleting.as_str()))
            .expression_attribute_values(":now", item::time(now))
            .return_values_on_condition_check_failure(
                aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
            );
        let due = saturating_add(now, SignedDuration::from_secs(limits::DELETION_GRACE_SECONDS));
        let work =
            Writer(work_key(tenant)).set("work_kind", item::text(WORK_KIND)).set("due_at", item::time(due));
        let put = Put::builder().table_name(&self.tables.connections).set_item(Some(work.done()));
        let items = vec![
            TransactWriteItem::builder().update(complete(update.build())).build(),
            TransactWriteItem::builder().put(complete(put.build())).build(),
            self.write_down(deed),
        ];
        Ok(match self.transact(items).await? {
            Ok(()) => Changed::Yes,
            Err(reasons) => {
                let exists =
                    reasons.first().and_then(|reason| reason.item()).is_some_and(|item| !item.is_empty());
                if exists { Changed::Moved } else { Changed::Absent }
            }
        })
    }

    /// Writes down that nothing is left that could open what was sealed for a tenant.
    pub async fn note_keys_erased(&self, tenant: &TenantId) -> Result<(), StoreError> {
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

    /// Deletions across all tenants that are due, at most [`limits::SWEEP_BATCH`].
    pub async fn overdue_deletions_of_all_tenants(&self) -> Result<Vec<Unfinished>, StoreError> {
        let query = self
            .db
            .query()
            .table_name(&self.tables.connections)
            .index_name("due")
            .key_condition_expression("work_kind = :kind AND due_at <= :now")
            .expression_attribute_values(":kind", item::text(WORK_KIND))
            .expression_attribute_values(":now", item::time(self.clock.now()))
            .limit(limits::SWEEP_BATCH);
        let read = |row: &Row| Ok(Unfinished { tenant: row.tenant()?, at: row.time("due_at")? });
        Ok(query::page(query).await?.0.iter().filter_map(|row| skip_unreadable(read(row))).collect())
    }

    /// Takes a deletion: nobody else finds it for the next two minutes. False if somebody else was faster.
    pub async fn take_deletion(&self, work: &Unfinished) -> Result<bool, StoreError> {
        let until = saturating_add(self.clock.now(), SignedDuration::from_mins(2));
        let taken = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(work_key(&work.tenant)))
            .update_expression("SET due_at = :until")
            .condition_expression("due_at = :seen")
            .expression_attribute_values(":seen", item::time(work.at))
            .expression_attribute_values(":until", item::time(until))
            .send()
            .await;
        made(taken)
    }

    /// The sessions of a tenant that are still to be ended.
    pub async fn revocations(&self, tenant: &TenantId) -> Result<Vec<ConnectionId>, StoreError> {
        let rows = self.names(Holding::Connections, tenant, "revocation#").await?;
        Ok(rows.iter().filter_map(|name| ConnectionId::from_record(name.split_once('#')?.1)).collect())
    }

    /// How many items of each kind a table has of a tenant; the record and the order themselves are not counted.
    pub async fn left(
        &self,
        holding: Holding,
        tenant: &TenantId,
    ) -> Result<BTreeMap<String, usize>, StoreError> {
        let mut left = BTreeMap::new();
        for name in self.names(holding, tenant, "").await? {
            if name != TENANT && name != DELETION {
                let kind = name.split(['#', '_']).next().unwrap_or_default().to_owned();
                *left.entry(kind).or_default() += 1;
            }
        }
        Ok(left)
    }

    /// Erases the items of a tenant whose names begin in a certain way, at most 25 with each call.
    pub async fn erase(
        &self,
        holding: Holding,
        tenant: &TenantId,
        prefix: &str,
    ) -> Result<usize, StoreError> {
        let names = self.names(holding, tenant, prefix).await?;
        let names: Vec<_> = names.into_iter().filter(|name| name != TENANT && name != DELETION).collect();
        for chunk in names.chunks(25) {
            let delete = |name: &String| {
                let delete = DeleteRequest::builder().set_key(Some(item::key(tenant, name)));
                WriteRequest::builder().delete_request(complete(delete.build())).build()
            };
            self.write_all(self.table(holding), chunk.iter().map(delete).collect()).await?;
        }
        Ok(names.len())
    }

    /// Ends a deletion: the tenant's record goes, and with it the work.
    pub async fn finish_deletion(&self, tenant: &TenantId, deed: &AuditEntry<'_>) -> Result<(), StoreError> {
        let delete = |table: &str, key: Item| {
            let delete = Delete::builder().table_name(table).set_key(Some(key));
            TransactWriteItem::builder().delete(complete(delete.build())).build()
        };
        let items = vec![
            delete(&self.tables.tenants, tenant_key(tenant)),
            delete(&self.tables.connections, work_key(tenant)),
            self.write_down(deed),
        ];
        self.transact(items).await?.map_err(|_| StoreError::Damaged("deletion"))
    }

    fn table(&self, holding: Holding) -> &str {
        match holding {
            Holding::Tenants => &self.tables.tenants,
            Holding::Connections => &self.tables.connections,
            Holding::Events => &self.tables.events,
            Holding::Deliveries => &self.tables.deliveries,
            Holding::Messages => &self.tables.messages,
        }
    }

    /// The names of a tenant's items that begin in a certain way.
    pub(super) async fn names(
        &self,
        holding: Holding,
        tenant: &TenantId,
        prefix: &str,
    ) -> Result<Vec<String>, StoreError> {
        let query = self
            .db
            .query()
            .table_name(self.table(holding))
            .consistent_read(true)
            .select(Select::SpecificAttributes)
            .projection_expression("#item")
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":tenant", item::text(tenant.as_str()));
        let query = if prefix.is_empty() {
            query.key_condition_expression("tenant = :tenant")
        } else {
            query
                .key_condition_expression("tenant = :tenant AND begins_with(#item, :prefix)")
                .expression_attribute_values(":prefix", item::text(prefix))
        };
        Ok(query::all(query).await?.iter().filter_map(|row| row.maybe_text("item")).collect())
    }
}

fn work_key(tenant: &TenantId) -> Item {
    item::key(tenant, DELETION)
}
