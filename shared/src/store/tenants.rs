//! Tenants.
//!
//! Table `tenants`, partition `tenant`: item `tenant`, items `app#…` (`apps.rs`) and `key#…` (`keys.rs`). The index
//! `listed` has the tenants alone, by the time of their creation.

use aws_sdk_dynamodb::types::{
    ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::item::{self, Item, Row, Writer};
use super::{Page, Store, StoreError, complete, failed, failure, query};
use crate::model::audit::AuditEntry;
use crate::model::ids::TenantId;
use crate::model::secret::Secret;
use crate::model::tenant::{Deletion, Tenant, TenantLimits, TenantStatus};

/// What the operator changes of a tenant.
#[derive(Debug, Clone, Default)]
pub struct TenantChange {
    /// A new name.
    pub name: Option<String>,
    /// A new status.
    pub status: Option<TenantStatus>,
    /// A new number of requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// A new number of links in an hour.
    pub connect_tokens_per_hour: Option<u32>,
    /// A new address for the page after success; `Some(None)` takes it away.
    pub return_url: Option<Option<String>>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It was made.
    Yes,
    /// There is nothing to change.
    Absent,
    /// It was seen in another state than it is in now: look again.
    Moved,
}

/// The one partition of the index of tenants.
const LISTED: &str = "tenants";

impl Store {
    /// Writes a new tenant.
    pub async fn create_tenant(&self, tenant: &Tenant, deed: &AuditEntry<'_>) -> Result<(), StoreError> {
        let put = Put::builder()
            .table_name(&self.tables.tenants)
            .set_item(Some(tenant_item(tenant)))
            .condition_expression("attribute_not_exists(tenant)");
        let put = TransactWriteItem::builder().put(complete(put.build())).build();
        match self.transact(vec![put, self.write_down(deed)]).await? {
            Ok(()) => Ok(()),
            Err(_) => Err(StoreError::Damaged("tenant")),
        }
    }

    /// One tenant.
    pub async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.tenants).set_key(Some(item::key(id, TENANT)));
        let row = get.consistent_read(true).send().await.map_err(failure)?.item.map(Row);
        row.map(|row| read_tenant(&row)).transpose()
    }

    /// All tenants, the newest first. One that was created or deleted a moment ago may be missing or still there.
    pub async fn all_tenants(&self, page: &Page) -> Result<(Vec<Tenant>, Option<String>), StoreError> {
        let start = page.after.as_ref().and_then(|at| {
            let (created, id) = at.split_once('/')?;
            let tenant = item::key(&TenantId::from_record(id)?, TENANT);
            let created = item::number(created.parse::<i64>().ok()?);
            Some(Writer(tenant).set("listed", item::text(LISTED)).set("created_at", created).done())
        });
        let query = self
            .db
            .query()
            .table_name(&self.tables.tenants)
            .index_name("listed")
            .key_condition_expression("listed = :listed")
            .expression_attribute_values(":listed", item::text(LISTED))
            .scan_index_forward(false)
            .limit(page.rows())
            .set_exclusive_start_key(start);
        let (rows, last) = query::page(query).await?;
        let next = last.and_then(|key| {
            let created: i64 = key.number("created_at").ok()?;
            Some(format!("{created}/{}", key.maybe_text("tenant")?))
        });
        Ok((rows.iter().map(read_tenant).collect::<Result<_, _>>()?, next))
    }

    /// Changes a tenant that is not being deleted; [`Changed::Moved`] if it is.
    pub async fn change_tenant(
        &self,
        id: &TenantId,
        change: &TenantChange,
        deed: &AuditEntry<'_>,
    ) -> Result<Changed, StoreError> {
        let fields = [
            ("name", change.name.as_ref().map(item::text)),
            ("status", change.status.map(|status| item::text(status.as_str()))),
            ("requests_per_minute", change.requests_per_minute.map(item::number)),
            ("connect_tokens_per_hour", change.connect_tokens_per_hour.map(item::number)),
            ("return_url", change.return_url.clone().flatten().map(item::text)),
        ];
        let mut update = Update::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(item::key(id, TENANT)))
            .condition_expression("attribute_exists(tenant) AND #status <> :deleting")
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#changed", "changed_at")
            .expression_attribute_values(":changed", item::time(self.clock.now()))
            .expression_attribute_values(":deleting", item::text(TenantStatus::Deleting.as_str()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let mut expression = "SET #changed = :changed".to_owned();
        for (name, value) in fields {
            let Some(value) = value else { continue };
            expression.push_str(&format!(", #{name} = :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        if change.return_url == Some(None) {
            expression.push_str(" REMOVE return_url");
        }
        self.update_with(update.update_expression(expression), deed).await
    }

    /// One update with its line in the audit log. Its condition returns the old item, if there is one.
    pub(super) async fn update_with(
        &self,
        update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
        deed: &AuditEntry<'_>,
    ) -> Result<Changed, StoreError> {
        let update = TransactWriteItem::builder().update(complete(update.build())).build();
        Ok(match self.transact(vec![update, self.write_down(deed)]).await? {
            Ok(()) => Changed::Yes,
            Err(reasons) if failed(&reasons, 0) => {
                let exists = reasons[0].item().is_some_and(|item| !item.is_empty());
                if exists { Changed::Moved } else { Changed::Absent }
            }
            Err(_) => return Err(StoreError::Damaged("audit log")),
        })
    }

    /// The part of a transaction that holds only if a tenant is active.
    pub(super) fn if_tenant_is_active(&self, tenant: &TenantId) -> TransactWriteItem {
        let check = ConditionCheck::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(tenant_key(tenant)))
            .condition_expression("#status = :active")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":active", item::text(TenantStatus::Active.as_str()));
        TransactWriteItem::builder().condition_check(complete(check.build())).build()
    }
}

const TENANT: &str = "tenant";

/// The key of a tenant's own record, for a condition of a transaction.
pub(super) fn tenant_key(tenant: &TenantId) -> Item {
    item::key(tenant, TENANT)
}

fn tenant_item(tenant: &Tenant) -> Item {
    Writer(tenant_key(&tenant.id))
        .set("name", item::text(&tenant.name))
        .set("status", item::text(tenant.status.as_str()))
        .set("requests_per_minute", item::number(tenant.limits.requests_per_minute))
        .set("connect_tokens_per_hour", item::number(tenant.limits.connect_tokens_per_hour))
        .maybe("return_url", tenant.return_url.as_ref().map(item::text))
        .set("cursor_key", item::text(tenant.cursor_key.expose()))
        .set("created_at", item::time(tenant.created_at))
        .set("listed", item::text(LISTED))
        .done()
}

/// A tenant as its row has it.
pub(super) fn read_tenant(row: &Row) -> Result<Tenant, StoreError> {
    let ordered_at = row.maybe_time("deletion_ordered_at")?;
    let keys_erased_at = row.maybe_time("keys_erased_at")?;
    Ok(Tenant {
        id: row.tenant()?,
        name: row.text("name")?.to_owned(),
        status: TenantStatus::parse(row.text("status")?).ok_or(StoreError::Damaged("status"))?,
        limits: TenantLimits {
            requests_per_minute: row.number("requests_per_minute")?,
            connect_tokens_per_hour: row.number("connect_tokens_per_hour")?,
        },
        return_url: row.maybe_text("return_url"),
        cursor_key: Secret::new(row.text("cursor_key")?),
        apps_registered: row.maybe_number("apps_registered")?.unwrap_or_default(),
        created_at: row.time("created_at")?,
        deletion: ordered_at.map(|ordered_at| Deletion { ordered_at, keys_erased_at }),
    })
}
