//! The audit log, table `audit`: partition `tenant`, in it by time. The index `all` has the entries of all tenants by
//! time. Entries are only ever put; no role may change or delete one.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};

use super::item::{self, Item, Row, Writer};
use super::{Page, Store, StoreError, complete, query};
use crate::model::audit::{Actor, AuditEntry, Entry};
use crate::model::ids::TenantId;
use crate::model::secret::Secret;

/// The one partition of the index over all tenants.
const ALL: &str = "all";

impl Store {
    /// Writes down what is done, as a part of the transaction that does it.
    pub(super) fn write_down(&self, deed: &AuditEntry<'_>) -> TransactWriteItem {
        let now = self.clock.now();
        // Milliseconds first, so that the order of entries is the order of time.
        let place = format!("{:014}-{}", now.as_millisecond().max(0), &Secret::random().digest()[..12]);
        let entry = Writer::keyed([
            ("tenant", item::text(deed.tenant.as_str())),
            ("place", item::text(place)),
            ("log", item::text(ALL)),
            ("at", item::time(now)),
            ("actor", item::text(deed.by.actor.as_str())),
            ("action", item::text(deed.action.as_str())),
            ("subject", item::text(deed.subject)),
            ("fields", item::texts(deed.fields)),
        ])
        .maybe("key", deed.by.actor.key().map(|key| item::text(key.as_str())))
        .maybe("source", deed.by.source.map(|source| item::text(source.to_string())))
        .maybe("request", Some(&deed.by.request).filter(|id| !id.is_empty()).map(item::text))
        .done();
        let put = Put::builder()
            .table_name(&self.tables.audit)
            .set_item(Some(entry))
            .condition_expression("attribute_not_exists(tenant)");
        TransactWriteItem::builder().put(complete(put.build())).build()
    }

    /// What was done in a tenant's data, the newest first.
    pub async fn audit_log(
        &self,
        tenant: &TenantId,
        page: &Page,
    ) -> Result<(Vec<Entry>, Option<String>), StoreError> {
        let query = self
            .db
            .query()
            .table_name(&self.tables.audit)
            .key_condition_expression("tenant = :tenant")
            .expression_attribute_values(":tenant", item::text(tenant.as_str()));
        let start = page.after.as_ref().map(|place| place_key(tenant.as_str(), place));
        let (entries, last) = entries(query, page, start).await?;
        Ok((entries, last.and_then(|key| key.maybe_text("place"))))
    }

    /// What was done in the data of all tenants, the newest first.
    pub async fn audit_log_of_all_tenants(
        &self,
        page: &Page,
    ) -> Result<(Vec<Entry>, Option<String>), StoreError> {
        let query = self
            .db
            .query()
            .table_name(&self.tables.audit)
            .index_name("all")
            .key_condition_expression("#log = :all")
            .expression_attribute_names("#log", "log")
            .expression_attribute_values(":all", item::text(ALL));
        let start = page
            .after
            .as_ref()
            .and_then(|at| at.split_once('/'))
            .map(|(tenant, place)| Writer(place_key(tenant, place)).set("log", item::text(ALL)).done());
        let (entries, last) = entries(query, page, start).await?;
        let place = |key: Row| Some(format!("{}/{}", key.maybe_text("tenant")?, key.maybe_text("place")?));
        Ok((entries, last.and_then(place)))
    }
}

fn place_key(tenant: &str, place: &str) -> Item {
    Writer::keyed([("tenant", item::text(tenant)), ("place", item::text(place))]).done()
}

/// A page of entries, the newest first, and the key of the last one if there may be more.
async fn entries(
    query: QueryFluentBuilder,
    page: &Page,
    start: Option<Item>,
) -> Result<(Vec<Entry>, Option<Row>), StoreError> {
    let query = query.scan_index_forward(false).limit(page.rows()).set_exclusive_start_key(start);
    let (rows, last) = query::page(query).await?;
    Ok((rows.iter().map(read).collect::<Result<_, _>>()?, last))
}

fn read(row: &Row) -> Result<Entry, StoreError> {
    let actor = Actor::parse(row.text("actor")?, row.maybe_text("key").as_deref());
    Ok(Entry {
        id: row.text("place")?.to_owned(),
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
