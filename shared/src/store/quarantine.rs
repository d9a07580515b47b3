//! Table `quarantine`: records that could not be read, sealed, in the partitions of their tenants. Records without a tenant are
//! spread over 16 reserved partitions.
//!
//! The index `listed` has the records of all tenants by time, in shards that a list merges.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::Select;
use jiff::SignedDuration;

use super::item::{self, Item, Row, Writer};
use super::query::{self, ShardedList};
use super::{Page, Store, StoreError, WriteOutcome, failure, write_outcome};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::connection::Sealed;
use crate::model::ids::ConnectionId;
use crate::model::quarantine::{Completeness, QuarantineEntry, QuarantineId, QuarantineKind, RawEncoding};

/// A quarantined record with its sealed content.
#[derive(Debug, Clone)]
pub struct QuarantinedRecord {
    pub entry: QuarantineEntry,
    pub encoding: RawEncoding,
    pub completeness: Completeness,
    pub content: Sealed,
    pub key: Sealed,
}

impl Store {
    /// Adds a record. A conflict if it is quarantined already.
    pub async fn quarantine(&self, record: &QuarantinedRecord) -> Result<WriteOutcome, StoreError> {
        let QuarantineEntry { id, kind, connection, reason, received_at } = &record.entry;
        let until = saturating_add(*received_at, SignedDuration::from_secs(limits::QUARANTINE_KEPT_SECONDS));
        let row = Writer(quarantine_key(id))
            .set("shard", self.quarantine_list().shard_of(id.as_str()))
            .set("position", item::text(query::position(*received_at, id.as_str())))
            .set("kind", item::text(kind.as_str()))
            .maybe("connection", connection.as_ref().map(|connection| item::text(connection.as_str())))
            .set("reason", item::text(reason))
            .set("received_at", item::time(*received_at))
            .set("encoding", item::text(record.encoding.as_str()))
            .set("completeness", item::text(record.completeness.as_str()))
            .ciphertext("content", &record.content)
            .ciphertext("content_key", &record.key)
            .set("expires_at", item::time(until))
            .set("ttl", item::ttl(until));
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.quarantine)
            .set_item(Some(row.done()))
            .condition_expression("attribute_not_exists(tenant) OR expires_at <= :now")
            .expression_attribute_values(":now", item::time(self.clock.now()));
        write_outcome(put.send().await)
    }

    /// A record, unless it has expired.
    pub async fn quarantined_record(
        &self,
        id: &QuarantineId,
    ) -> Result<Option<QuarantinedRecord>, StoreError> {
        let get = self
            .db
            .get_item()
            .table_name(&self.tables.quarantine)
            .set_key(Some(quarantine_key(id)))
            .consistent_read(true);
        let Some(row) = get.send().await.map_err(failure)?.item.map(Row) else { return Ok(None) };
        if row.time("expires_at")? <= self.clock.now() {
            return Ok(None);
        }
        Ok(Some(QuarantinedRecord {
            entry: read(&row)?,
            encoding: row.parsed("encoding", RawEncoding::parse)?,
            completeness: row.parsed("completeness", Completeness::parse)?,
            content: row.ciphertext("content")?,
            key: row.ciphertext("content_key")?,
        }))
    }

    /// A page of the records of all tenants, newest first; of one kind, if `kind` is given.
    pub async fn quarantine_of_all_tenants(
        &self,
        kind: Option<QuarantineKind>,
        page: &Page,
    ) -> Result<(Vec<QuarantineEntry>, Option<String>), StoreError> {
        let narrow = |query: QueryFluentBuilder| {
            let query = query
                .select(Select::AllProjectedAttributes)
                .expression_attribute_values(":now", item::time(self.clock.now()));
            match kind {
                None => query.filter_expression("expires_at > :now"),
                Some(kind) => query
                    .filter_expression("expires_at > :now AND kind = :kind")
                    .expression_attribute_values(":kind", item::text(kind.as_str())),
            }
        };
        let (rows, next) = self.newest_of_all_shards(&self.quarantine_list(), page, narrow).await?;
        // A damaged row must not hide the others; it expires.
        Ok((rows.iter().filter_map(|row| read(row).ok()).collect(), next))
    }

    fn quarantine_list(&self) -> ShardedList<'_> {
        ShardedList { table: &self.tables.quarantine, index: "listed", kind: "quarantine" }
    }

    /// Deletes a record. A conflict if there is none.
    pub async fn delete_quarantined(&self, id: &QuarantineId) -> Result<WriteOutcome, StoreError> {
        let delete = self
            .db
            .delete_item()
            .table_name(&self.tables.quarantine)
            .set_key(Some(quarantine_key(id)))
            .condition_expression("attribute_exists(tenant) AND expires_at > :now")
            .expression_attribute_values(":now", item::time(self.clock.now()));
        write_outcome(delete.send().await)
    }
}

fn quarantine_key(id: &QuarantineId) -> Item {
    item::key(&id.partition(), id.as_str())
}

fn read(row: &Row) -> Result<QuarantineEntry, StoreError> {
    Ok(QuarantineEntry {
        id: row.parsed("item", QuarantineId::parse)?,
        kind: row.parsed("kind", QuarantineKind::parse)?,
        connection: row.maybe_text("connection").as_deref().and_then(ConnectionId::from_record),
        reason: row.text("reason")?.to_owned(),
        received_at: row.time("received_at")?,
    })
}
