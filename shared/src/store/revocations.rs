//! Sessions that are still to be ended at RingCentral: items `revocation#<connection>` in the table `connections`. An item
//! remains until RingCentral has confirmed the end of the session, so that no token pair survives a disconnect.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};

use super::due::WorkKind;
use super::item::{self, Item, Row, Writer};
use super::{Store, StoreError, complete, failure, write_outcome};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::connection::Revocation;
use crate::model::ids::{ConnectionId, TenantId};

impl Store {
    pub async fn create_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let item = self.revocation_item(revocation);
        let put = self.db.put_item().table_name(&self.tables.connections).set_item(Some(item));
        put.send().await.map(|_| ()).map_err(failure)
    }

    pub async fn revocation(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
    ) -> Result<Option<Revocation>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.connections).set_key(Some(key(tenant, id)));
        let item = get.consistent_read(true).send().await.map_err(failure)?.item;
        self.read_one(&self.tables.connections, item, read)
    }

    /// Deletes a revocation with its sealed tokens and data keys: the session has ended, or the last attempt has failed.
    pub async fn delete_revocation(&self, tenant: &TenantId, id: &ConnectionId) -> Result<(), StoreError> {
        let delete =
            self.db.delete_item().table_name(&self.tables.connections).set_key(Some(key(tenant, id)));
        delete.send().await.map(|_| ()).map_err(failure)
    }

    /// Stores the number of attempts and when the next one is due, unless the revocation was deleted.
    pub async fn postpone_revocation(
        &self,
        revocation: &Revocation,
        attempts: u32,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(&revocation.tenant, &revocation.connection)))
            .update_expression("SET due_at = :until, attempts = :attempts")
            .condition_expression("attribute_exists(tenant)")
            .expression_attribute_values(":until", item::time(until))
            .expression_attribute_values(":attempts", item::number(attempts));
        write_outcome(update.send().await).map(drop)
    }

    /// [`Store::create_revocation`] as an item of a transaction.
    pub(super) fn put_revocation_item(&self, revocation: &Revocation) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(&self.tables.connections)
            .set_item(Some(self.revocation_item(revocation)));
        TransactWriteItem::builder().put(complete(put.build())).build()
    }

    fn revocation_item(&self, revocation: &Revocation) -> Item {
        let now = self.clock.now();
        let after = |seconds| saturating_add(now, SignedDuration::from_secs(seconds));
        Writer(key(&revocation.tenant, &revocation.connection))
            .set("connection", item::text(revocation.connection.as_str()))
            .set("extension", item::text(revocation.extension.as_str()))
            .set("issuer", item::text(&revocation.issuer))
            .set("generation", item::number(revocation.generation))
            .sealed("access", &revocation.access)
            .sealed("refresh", &revocation.refresh)
            .set("subscriptions", item::texts(&revocation.subscriptions))
            .set("attempts", item::number(revocation.attempts))
            .set("work_kind", WorkKind::Revocation.partition(&revocation.connection))
            .set("due_at", item::time(after(limits::REVOCATION_RETRY_SECONDS[0])))
            .set("ttl", item::ttl(after(limits::REVOCATION_KEPT_SECONDS)))
            .done()
    }
}

fn key(tenant: &TenantId, id: &ConnectionId) -> Item {
    item::key(tenant, &WorkKind::Revocation.item_name(id))
}

fn read(row: &Row) -> Result<Revocation, StoreError> {
    Ok(Revocation {
        tenant: row.tenant()?,
        connection: row.connection()?,
        extension: row.extension()?,
        issuer: row.text("issuer")?.to_owned(),
        generation: row.number("generation")?,
        access: row.access()?,
        refresh: row.refresh()?,
        subscriptions: row.texts("subscriptions"),
        attempts: row.number("attempts")?,
    })
}
