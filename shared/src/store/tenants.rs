//! Table `tenants`. In the partition of a tenant: the item `tenant`, items `app#…` (`apps.rs`) and `key#…` (`keys.rs`). The
//! index `listed` has the tenants only, by creation time, in shards. In the partition `operator`: `idempotency#<digest>`, the
//! stored response to the request with this idempotency key.

use aws_sdk_dynamodb::types::{
    ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use jiff::Timestamp;

use super::idempotency::{Idempotency, IdempotentOutcome};
use super::item::{self, Item, Row, Writer};
use super::query::{self, ShardedList};
use super::{Page, Store, StoreError, complete, failed, failure, settings};
use crate::model::audit::AuditEntry;
use crate::model::ids::TenantId;
use crate::model::patch::Patch;
use crate::model::secret::Secret;
use crate::model::settings::{SettingsChange, TenantSettings};
use crate::model::tenant::{Deletion, Tenant, TenantLimits, TenantStatus};

/// The attributes of a tenant to change.
#[derive(Debug, Clone, Default)]
pub struct TenantChange {
    pub name: Option<String>,
    pub status: Option<TenantStatus>,
    pub requests_per_minute: Option<u32>,
    pub tenant_requests_per_minute: Option<u32>,
    pub connect_tokens_per_hour: Option<u32>,
    pub apps: Option<u32>,
    pub return_url: Patch<String>,
}

/// The outcome of changing or deleting an existing record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum ChangeOutcome {
    Applied,
    NotFound,
    /// The record is not in the state that the change requires, which it may have had when it was read.
    Conflict,
}

/// What an earlier request with the same idempotency key created. The rest of its response is in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTenant {
    pub id: TenantId,
    pub created_at: Timestamp,
    /// The digest of that request's content.
    pub fingerprint: String,
}

fn idempotency_key(key: &Idempotency) -> Item {
    let name = format!("idempotency#{}", key.digest);
    Writer::keyed([("tenant", item::text("operator")), ("item", item::text(name))]).done()
}

impl Store {
    /// Stores a tenant, and the response for its idempotency key, in one transaction.
    pub async fn create_tenant(
        &self,
        tenant: &Tenant,
        key: Option<&Idempotency>,
        entry: &AuditEntry<'_>,
    ) -> Result<IdempotentOutcome<StoredTenant>, StoreError> {
        let put = Put::builder()
            .table_name(&self.tables.tenants)
            .set_item(Some(self.tenant_item(tenant)))
            .condition_expression("attribute_not_exists(tenant)");
        let put = TransactWriteItem::builder().put(complete(put.build())).build();
        let mut items = vec![put, self.put_audit_entry(entry)];
        items.extend(key.map(|key| {
            let row = Writer(idempotency_key(key))
                .set("created", item::text(tenant.id.as_str()))
                .set("made_at", item::time(tenant.created_at));
            self.put_response(&self.tables.tenants, row, key)
        }));
        self.transact_once(items, key, async |key| self.stored_tenant(key).await).await
    }

    /// What an earlier request with this idempotency key created, unless the key has expired.
    async fn stored_tenant(&self, key: &Idempotency) -> Result<Option<StoredTenant>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.tenants).consistent_read(true);
        let get = get.set_key(Some(idempotency_key(key)));
        let Some(row) = get.send().await.map_err(failure)?.item.map(Row) else { return Ok(None) };
        if row.time("expires_at")? <= self.clock.now() {
            return Ok(None);
        }
        Ok(Some(StoredTenant {
            id: TenantId::from_record(row.text("created")?).ok_or(StoreError::Damaged("created"))?,
            created_at: row.time("made_at")?,
            fingerprint: row.text("fingerprint")?.to_owned(),
        }))
    }

    pub async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.tenants).set_key(Some(item::key(id, TENANT)));
        let item = get.consistent_read(true).send().await.map_err(failure)?.item;
        self.read_one(&self.tables.tenants, item, read_tenant)
    }

    /// A page of all tenants, newest first. Eventually consistent.
    pub async fn all_tenants(&self, page: &Page) -> Result<(Vec<Tenant>, Option<String>), StoreError> {
        let (rows, next) = self.newest_of_all_shards(&self.tenant_list(), page, |query| query).await?;
        Ok((self.readable(&self.tables.tenants, &rows, read_tenant), next))
    }

    fn tenant_list(&self) -> ShardedList<'_> {
        ShardedList { table: &self.tables.tenants, index: "listed", kind: "tenants" }
    }

    fn tenant_item(&self, tenant: &Tenant) -> Item {
        let id = tenant.id.as_str();
        Writer(tenant_key(&tenant.id))
            .set("name", item::text(&tenant.name))
            .set("status", item::text(tenant.status.as_str()))
            .set("requests_per_minute", item::number(tenant.limits.requests_per_minute))
            .set("tenant_requests_per_minute", item::number(tenant.limits.tenant_requests_per_minute))
            .set("connect_tokens_per_hour", item::number(tenant.limits.connect_tokens_per_hour))
            .set("apps", item::number(tenant.limits.apps))
            .maybe("return_url", tenant.return_url.as_ref().map(item::text))
            .set("cursor_key", item::text(tenant.cursor_key.expose()))
            .set("created_at", item::time(tenant.created_at))
            .set("shard", self.tenant_list().shard_of(id))
            .set("position", item::text(query::position(tenant.created_at, id)))
            .done()
    }

    /// A conflict if the tenant is being deleted.
    pub async fn change_tenant(
        &self,
        id: &TenantId,
        change: &TenantChange,
        entry: &AuditEntry<'_>,
    ) -> Result<ChangeOutcome, StoreError> {
        let fields = [
            ("name", change.name.as_ref().map(item::text)),
            ("status", change.status.map(|status| item::text(status.as_str()))),
            ("requests_per_minute", change.requests_per_minute.map(item::number)),
            ("tenant_requests_per_minute", change.tenant_requests_per_minute.map(item::number)),
            ("connect_tokens_per_hour", change.connect_tokens_per_hour.map(item::number)),
            ("apps", change.apps.map(item::number)),
            ("return_url", change.return_url.new_value().map(item::text)),
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
        if change.return_url == Patch::Clear {
            expression.push_str(" REMOVE return_url");
        }
        self.update_with(update.update_expression(expression), entry).await
    }

    /// The settings of a tenant that may be deleted, which has the defaults.
    pub async fn settings(&self, tenant: &TenantId) -> Result<TenantSettings, StoreError> {
        Ok(self.tenant(tenant).await?.map(|tenant| tenant.settings).unwrap_or_default())
    }

    /// A conflict if the tenant is being deleted.
    pub async fn change_settings(
        &self,
        tenant: &TenantId,
        change: &SettingsChange,
        entry: &AuditEntry<'_>,
    ) -> Result<ChangeOutcome, StoreError> {
        let time = ("changed_at", Some(item::time(self.clock.now())));
        let change = item::Change::of(settings::attributes(change)?.into_iter().chain([time]));
        let update = Update::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(tenant_key(tenant)))
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .condition_expression("attribute_exists(tenant) AND #status <> :deleting")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":deleting", item::text(TenantStatus::Deleting.as_str()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        self.update_with(update, entry).await
    }

    /// One update with its audit entry. On a failed condition the update must return the old item.
    pub(super) async fn update_with(
        &self,
        update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
        entry: &AuditEntry<'_>,
    ) -> Result<ChangeOutcome, StoreError> {
        let update = TransactWriteItem::builder().update(complete(update.build())).build();
        Ok(match self.transact(vec![update, self.put_audit_entry(entry)]).await? {
            Ok(()) => ChangeOutcome::Applied,
            Err(reasons) if failed(&reasons, 0) => {
                let exists = reasons[0].item().is_some_and(|item| !item.is_empty());
                if exists { ChangeOutcome::Conflict } else { ChangeOutcome::NotFound }
            }
            Err(_) => return Err(StoreError::Damaged("audit log")),
        })
    }

    /// The condition of a transaction that the tenant is active.
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

pub(super) const TENANT: &str = "tenant";

pub(super) fn tenant_key(tenant: &TenantId) -> Item {
    item::key(tenant, TENANT)
}

pub(super) fn read_tenant(row: &Row) -> Result<Tenant, StoreError> {
    let requested_at = row.maybe_time("deletion_requested_at")?;
    let keys_erased_at = row.maybe_time("keys_erased_at")?;
    Ok(Tenant {
        id: row.tenant()?,
        name: row.text("name")?.to_owned(),
        status: row.parsed("status", TenantStatus::parse)?,
        limits: TenantLimits {
            requests_per_minute: row.number("requests_per_minute")?,
            tenant_requests_per_minute: row.number("tenant_requests_per_minute")?,
            connect_tokens_per_hour: row.number("connect_tokens_per_hour")?,
            apps: row.number("apps")?,
        },
        return_url: row.maybe_text("return_url"),
        settings: settings::read(row)?,
        cursor_key: Secret::new(row.text("cursor_key")?),
        apps_registered: row.maybe_number("apps_registered")?.unwrap_or_default(),
        created_at: row.time("created_at")?,
        deletion: requested_at.map(|requested_at| Deletion { requested_at, keys_erased_at }),
    })
}
