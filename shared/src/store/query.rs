//! Queries, by page or complete.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

use futures_util::future::try_join_all;
use jiff::Timestamp;

use super::item::{self, Row};
use super::{Page, Store, StoreError, failure};
use crate::model::ids::TenantId;
use crate::model::shard::Shard;

/// A list of records of all tenants: an index with the keys `shard` and `position`, which sorts by time and is unique.
pub(super) struct ShardedList<'a> {
    pub table: &'a str,
    pub index: &'static str,
    /// The kind in [`Shard::partition`].
    pub kind: &'static str,
}

impl ShardedList<'_> {
    /// The value of the attribute `shard` of a record that is sharded by this id.
    pub fn shard_of(&self, id: &str) -> AttributeValue {
        item::text(Shard::of(id).partition(self.kind))
    }
}

impl Store {
    /// A consistent query of a tenant's items whose sort key, `#item`, meets the condition.
    pub(super) fn items(&self, table: &str, tenant: &TenantId, condition: &str) -> QueryFluentBuilder {
        self.db
            .query()
            .table_name(table)
            .consistent_read(true)
            .key_condition_expression(format!("tenant = :tenant AND {condition}"))
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":tenant", item::text(tenant.as_str()))
    }

    /// A page of a list, newest first, merged from its shards. `narrow` may add a filter to the query of a shard.
    pub(super) async fn newest_of_all_shards(
        &self,
        list: &ShardedList<'_>,
        page: &Page,
        narrow: impl Fn(QueryFluentBuilder) -> QueryFluentBuilder,
    ) -> Result<(Vec<Row>, Option<String>), StoreError> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX).max(1);
        // One more than the page, to know whether there are more.
        let most = limit.saturating_add(1);
        let shards = Shard::all().map(|shard| {
            let query = self
                .db
                .query()
                .table_name(list.table)
                .index_name(list.index)
                .scan_index_forward(false)
                .key_condition_expression("#shard = :shard AND #position < :before")
                .expression_attribute_names("#shard", "shard")
                .expression_attribute_names("#position", "position")
                .expression_attribute_values(":shard", item::text(shard.partition(list.kind)))
                // A character that sorts after every digit.
                .expression_attribute_values(":before", item::text(page.after.as_deref().unwrap_or("~")))
                .limit(i32::try_from(most).unwrap_or(i32::MAX));
            up_to(most, narrow(query))
        });
        let mut rows: Vec<Row> = try_join_all(shards).await?.into_iter().flatten().collect();
        rows.sort_by_cached_key(|row| std::cmp::Reverse(row.maybe_text("position")));
        let next = (rows.len() > limit).then(|| rows[limit - 1].maybe_text("position")).flatten();
        rows.truncate(limit);
        Ok((rows, next))
    }
}

/// The position of a record in a list: milliseconds first, so that records sort by time.
pub(super) fn position(at: Timestamp, unique: &str) -> String {
    format!("{:014}-{unique}", at.as_millisecond().max(0))
}

/// Filters a query by the text attributes that have a value.
pub(super) fn filtered(
    query: QueryFluentBuilder,
    attributes: impl IntoIterator<Item = (&'static str, Option<String>)>,
) -> QueryFluentBuilder {
    let mut conditions = Vec::new();
    let wanted = attributes.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let query = wanted.fold(query, |query, (name, value)| {
        conditions.push(format!("#{name} = :{name}"));
        query
            .expression_attribute_names(format!("#{name}"), name)
            .expression_attribute_values(format!(":{name}"), item::text(value))
    });
    if conditions.is_empty() { query } else { query.filter_expression(conditions.join(" AND ")) }
}

/// Filters a query, in addition, by whether items have an attribute.
pub(super) fn filtered_by_presence(
    query: QueryFluentBuilder,
    name: &str,
    is_present: bool,
) -> QueryFluentBuilder {
    let function = if is_present { "attribute_exists" } else { "attribute_not_exists" };
    let condition = format!("{function}({name})");
    let conditions = match query.get_filter_expression() {
        Some(conditions) => format!("{conditions} AND {condition}"),
        None => condition,
    };
    query.filter_expression(conditions)
}

/// One page, and the key of the last item read if there may be more.
pub(super) async fn page(query: QueryFluentBuilder) -> Result<(Vec<Row>, Option<Row>), StoreError> {
    let answer = query.send().await.map_err(failure)?;
    let rows = answer.items.unwrap_or_default().into_iter().map(Row);
    Ok((rows.collect(), answer.last_evaluated_key.map(Row)))
}

pub(super) async fn all(query: QueryFluentBuilder) -> Result<Vec<Row>, StoreError> {
    up_to(usize::MAX, query).await
}

/// Reads pages until there are at least `most` rows.
pub(super) async fn up_to(most: usize, query: QueryFluentBuilder) -> Result<Vec<Row>, StoreError> {
    let (mut rows, mut from) = (Vec::new(), None);
    loop {
        let (some, last) = page(query.clone().set_exclusive_start_key(from)).await?;
        rows.extend(some);
        from = last.map(|last| last.0);
        if from.is_none() || rows.len() >= most {
            return Ok(rows);
        }
    }
}
