//! API keys: items `key#…` of the table `tenants`. The public part of a key contains its tenant, so that one batch read
//! fetches both.

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use jiff::Timestamp;

use super::item::{self, Item, Row, Writer};
use super::tenants::{ChangeOutcome, read_tenant, tenant_key};
use super::{Store, StoreError, complete};
use crate::model::app::{ApiKey, App, KeyGrant, KeyRecord, Scope, ip_range};
use crate::model::audit::AuditEntry;
use crate::model::ids::{AppId, KeyId, TenantId};
use crate::model::tenant::Tenant;

/// What a key that is added to an app becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AddedKey {
    #[default]
    Additional,
    Main,
}

/// A change of an app's keys, applied in one transaction.
#[derive(Debug, Default)]
pub struct KeyChange<'a> {
    pub add: Option<&'a KeyRecord>,
    pub added_key: AddedKey,
    /// Keys that are revoked.
    pub remove: Vec<KeyId>,
    /// A key that expires at this time.
    pub expire: Option<(KeyId, Timestamp)>,
}

impl Store {
    /// The record of a key with its tenant. The caller must compare the digest.
    pub async fn key(&self, presented: &ApiKey) -> Result<Option<(Tenant, KeyRecord)>, StoreError> {
        let tenant = presented.tenant();
        let rows = self
            .rows_by_key(&self.tables.tenants, vec![tenant_key(tenant), key_key(tenant, presented.id())])
            .await?;
        let (mut tenant, mut record) = (None, None);
        for row in rows {
            match row.text("item")? {
                "tenant" => tenant = Some(self.checked(&self.tables.tenants, &row, read_tenant(&row))?),
                _ => record = Some(self.checked(&self.tables.tenants, &row, read_key(&row))?),
            }
        }
        Ok(tenant.zip(record))
    }

    /// The records of an app's keys, oldest first.
    pub async fn keys(&self, app: &App) -> Result<Vec<KeyRecord>, StoreError> {
        let keys = app.keys.iter().map(|id| key_key(&app.tenant, id)).collect();
        let rows = self.rows_by_key(&self.tables.tenants, keys).await?;
        let mut keys = self.readable(&self.tables.tenants, &rows, read_key);
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(keys)
    }

    /// A conflict if the app's keys changed since it was read.
    pub async fn change_keys(
        &self,
        app: &App,
        change: &KeyChange<'_>,
        entry: &AuditEntry<'_>,
    ) -> Result<ChangeOutcome, StoreError> {
        let mut remaining: Vec<KeyId> =
            app.keys.iter().filter(|id| !change.remove.contains(id)).cloned().collect();
        remaining.extend(change.add.map(|record| record.id.clone()));
        let mut update = self
            .update_app(&app.tenant, &app.id)
            .condition_expression("#keys = :seen")
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_values(":seen", key_list(&app.keys))
            .expression_attribute_values(":remaining", key_list(&remaining));
        let mut expression = "SET #keys = :remaining".to_owned();
        if let Some(main) = change.add.filter(|_| change.added_key == AddedKey::Main) {
            expression.push_str(", main_key = :main");
            update = update.expression_attribute_values(":main", item::text(main.id.as_str()));
        } else if app.main_key.as_ref().is_some_and(|main| change.remove.contains(main)) {
            expression.push_str(" REMOVE main_key");
        }
        let update = update.update_expression(expression);
        let mut items = vec![TransactWriteItem::builder().update(complete(update.build())).build()];
        items.extend(change.add.map(|record| {
            let put = Put::builder().table_name(&self.tables.tenants).set_item(Some(key_item(record)));
            TransactWriteItem::builder().put(complete(put.build())).build()
        }));
        items.extend(change.remove.iter().map(|id| self.delete_key_item(&app.tenant, id)));
        items.extend(change.expire.as_ref().map(|(id, end)| self.expire_key_item(&app.tenant, id, *end)));
        items.push(self.put_audit_entry(entry));
        Ok(match self.transact(items).await? {
            Ok(()) => ChangeOutcome::Applied,
            Err(reasons) => {
                let app = reasons.first().and_then(|reason| reason.item());
                let is_gone =
                    app.is_none_or(std::collections::HashMap::is_empty) && super::failed(&reasons, 0);
                if is_gone { ChangeOutcome::NotFound } else { ChangeOutcome::Conflict }
            }
        })
    }

    /// The part of a transaction that revokes a key.
    pub(super) fn delete_key_item(&self, tenant: &TenantId, id: &KeyId) -> TransactWriteItem {
        let delete = Delete::builder().table_name(&self.tables.tenants).set_key(Some(key_key(tenant, id)));
        TransactWriteItem::builder().delete(complete(delete.build())).build()
    }

    fn expire_key_item(&self, tenant: &TenantId, id: &KeyId, end: Timestamp) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(key_key(tenant, id)))
            .update_expression("SET expires_at = :end")
            .condition_expression("attribute_exists(tenant)")
            .expression_attribute_values(":end", item::time(end));
        TransactWriteItem::builder().update(complete(update.build())).build()
    }
}

/// The attribute `keys` of an app.
pub(super) fn key_list(keys: &[KeyId]) -> AttributeValue {
    item::texts(&keys.iter().map(KeyId::as_str).collect::<Vec<_>>())
}

/// Prefix of the sort key.
pub(super) const KEY: &str = "key#";

fn key_key(tenant: &TenantId, id: &KeyId) -> Item {
    item::key(tenant, &format!("{KEY}{id}"))
}

pub(super) fn key_item(record: &KeyRecord) -> Item {
    let scopes: Vec<&str> = record.grant.scopes.iter().map(|scope| scope.as_str()).collect();
    let ranges: Vec<String> = record.grant.allowed_ips.iter().map(ToString::to_string).collect();
    Writer(key_key(&record.tenant, &record.id))
        .set("app", item::text(record.app.as_str()))
        .set("digest", item::text(&record.digest))
        .set("scopes", item::texts(&scopes))
        .maybe("allowed_ips", Some(&ranges).filter(|list| !list.is_empty()).map(|list| item::texts(list)))
        .set("created_at", item::time(record.created_at))
        .maybe("expires_at", record.grant.expires_at.map(item::time))
        .done()
}

fn read_key(row: &Row) -> Result<KeyRecord, StoreError> {
    let id = row.text("item")?.strip_prefix(KEY).and_then(KeyId::parse);
    // An unreadable range must not make the key valid from every address.
    let ranges = row.texts("allowed_ips").iter().map(|text| ip_range(text)).collect::<Option<Vec<_>>>();
    let is_list = row.0.get("allowed_ips").is_none_or(AttributeValue::is_l);
    Ok(KeyRecord {
        tenant: row.tenant()?,
        id: id.ok_or(StoreError::Damaged("item"))?,
        app: row.parsed("app", AppId::parse)?,
        digest: row.text("digest")?.to_owned(),
        grant: KeyGrant {
            scopes: row.texts("scopes").iter().filter_map(|scope| Scope::parse(scope)).collect(),
            allowed_ips: ranges.filter(|_| is_list).ok_or(StoreError::Damaged("allowed_ips"))?,
            expires_at: row.maybe_time("expires_at")?,
        },
        created_at: row.time("created_at")?,
    })
}
