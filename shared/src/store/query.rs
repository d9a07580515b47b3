//! Queries, by page or complete.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;

use super::item::{self, Row};
use super::{Store, StoreError, failure};
use crate::model::ids::TenantId;

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
