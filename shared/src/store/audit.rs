//! The audit log, table `audit`, with the entries of each tenant by time. The index `all` has the entries of all tenants by time, in
//! shards.
//! Entries are immutable; no role may change or delete one.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};

use super::item::{self, Item, Row, Writer};
use super::query::{self, ShardedList};
use super::{Page, Store, StoreError, complete};
use crate::model::audit::{Actor, AuditEntry, AuditRecord};
use crate::model::ids::TenantId;
use crate::model::secret::Secret;

impl Store {
    /// The part of a transaction that writes its audit entry.
    pub(super) fn put_audit_entry(&self, entry: &AuditEntry<'_>) -> TransactWriteItem {
        let now = self.clock.now();
        let position = query::position(now, &Secret::random().digest()[..12]);
        let entry = Writer::keyed([
            ("tenant", item::text(entry.tenant.as_str())),
            ("position", item::text(position)),
            ("shard", self.audit_list().shard_of(entry.tenant.as_str())),
            ("at", item::time(now)),
            ("actor", item::text(entry.context.actor.as_str())),
            ("action", item::text(entry.action.as_str())),
            ("subject", item::text(entry.subject)),
            ("fields", item::texts(entry.fields)),
        ])
        .maybe("key", entry.context.actor.key().map(|key| item::text(key.as_str())))
        .maybe("source", entry.context.source.map(|source| item::text(source.to_string())))
        .maybe("request", Some(&entry.context.request).filter(|id| !id.is_empty()).map(item::text))
        .done();
        let put = Put::builder()
            .table_name(&self.tables.audit)
            .set_item(Some(entry))
            .condition_expression("attribute_not_exists(tenant)");
        TransactWriteItem::builder().put(complete(put.build())).build()
    }

    /// A page of a tenant's audit log, newest first.
    pub async fn audit_log(
        &self,
        tenant: &TenantId,
        page: &Page,
    ) -> Result<(Vec<AuditRecord>, Option<String>), StoreError> {
        let query = self
            .db
            .query()
            .table_name(&self.tables.audit)
            .key_condition_expression("tenant = :tenant")
            .expression_attribute_values(":tenant", item::text(tenant.as_str()));
        let start = page.after.as_ref().map(|position| position_key(tenant.as_str(), position));
        let query = query.scan_index_forward(false).limit(page.rows()).set_exclusive_start_key(start);
        let (rows, last) = query::page(query).await?;
        let entries = self.readable(&self.tables.audit, &rows, read);
        Ok((entries, last.and_then(|key| key.maybe_text("position"))))
    }

    /// A page of the audit log of all tenants, newest first.
    pub async fn audit_log_of_all_tenants(
        &self,
        page: &Page,
    ) -> Result<(Vec<AuditRecord>, Option<String>), StoreError> {
        let (rows, next) = self.newest_of_all_shards(&self.audit_list(), page, |query| query).await?;
        Ok((self.readable(&self.tables.audit, &rows, read), next))
    }

    fn audit_list(&self) -> ShardedList<'_> {
        ShardedList { table: &self.tables.audit, index: "all", kind: "audit" }
    }
}

fn position_key(tenant: &str, position: &str) -> Item {
    Writer::keyed([("tenant", item::text(tenant)), ("position", item::text(position))]).done()
}

fn read(row: &Row) -> Result<AuditRecord, StoreError> {
    let actor = Actor::parse(row.text("actor")?, row.maybe_text("key").as_deref());
    Ok(AuditRecord {
        id: row.text("position")?.to_owned(),
        at: row.time("at")?,
        actor: actor.ok_or(StoreError::Damaged("actor"))?,
        source: row.maybe_text("source"),
        request: row.maybe_text("request"),
        action: row.text("action")?.to_owned(),
        tenant: row.tenant()?,
        subject: row.text("subject")?.to_owned(),
        fields: row.texts("fields"),
    })
}
