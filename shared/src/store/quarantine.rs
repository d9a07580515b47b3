//! Table `quarantine`: records that could not be read, sealed, in the partitions of their tenants. Records without a tenant are
//! spread over 16 reserved partitions.
//!
//! The index `listed` has the records of all tenants by time, in 16 shards that a list merges. Each shard, and each tenant's
//! partition, takes 1,000 writes a second.

use aws_sdk_dynamodb::types::Select;
use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Item, Row, Writer};
use super::{Page, Store, StoreError, WriteOutcome, failure, query, write_outcome};
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
            .set("shard", item::text(id.shard()))
            .set("position", item::text(position(*received_at, id)))
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
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX).max(1);
        // One more than the page, to know whether there are more.
        let shards = QuarantineId::SHARDS.map(|shard| self.shard_of_quarantine(shard, kind, page, limit + 1));
        let mut rows: Vec<Row> = try_join_all(shards).await?.into_iter().flatten().collect();
        rows.sort_by_cached_key(|row| std::cmp::Reverse(row.maybe_text("position")));
        let next = (rows.len() > limit).then(|| rows[limit - 1].maybe_text("position")).flatten();
        rows.truncate(limit);
        // A damaged row must not hide the others; it expires.
        Ok((rows.iter().filter_map(|row| read(row).ok()).collect(), next))
    }

    /// The newest records of a shard after a position.
    async fn shard_of_quarantine(
        &self,
        shard: &str,
        kind: Option<QuarantineKind>,
        page: &Page,
        most: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut query = self
            .db
            .query()
            .table_name(&self.tables.quarantine)
            .index_name("listed")
            .select(Select::AllProjectedAttributes)
            .scan_index_forward(false)
            .key_condition_expression("#shard = :shard AND #position < :before")
            .expression_attribute_names("#shard", "shard")
            .expression_attribute_names("#position", "position")
            .expression_attribute_values(":shard", item::text(shard))
            // A character that sorts after every digit.
            .expression_attribute_values(":before", item::text(page.after.as_deref().unwrap_or("~")))
            .expression_attribute_values(":now", item::time(self.clock.now()))
            .limit(i32::try_from(most).unwrap_or(i32::MAX));
        query = match kind {
            None => query.filter_expression("expires_at > :now"),
            Some(kind) => query
                .filter_expression("expires_at > :now AND kind = :kind")
                .expression_attribute_values(":kind", item::text(kind.as_str())),
        };
        query::up_to(most, query).await
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

/// Milliseconds first, so that records sort by time.
fn position(received_at: Timestamp, id: &QuarantineId) -> String {
    format!("{:014}-{id}", received_at.as_millisecond().max(0))
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
