//! Tenants, their apps and keys, and the log of links that they minted.
//!
//! Table `tenants`, partition `tenant`: item `tenant`, items `app#…`, `key#…`, item `minted-links`. A key's public part
//! names its tenant, so that one batch read fetches both.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, Put, ReturnValue, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Item, Row, Writer};
use super::{Store, StoreError, complete, failed, failure, is_conditional};
use crate::model::app::{ApiKey, App, KeyRecord, Scope};
use crate::model::connection::Sealed;
use crate::model::ids::{AppId, KeyId, TenantId};
use crate::model::tenant::{Tenant, TenantLimits, TenantStatus};

/// Whether something was still within its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// It was, and has been counted.
    No,
    /// It was not; the next one is allowed after this.
    For(Duration),
}

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

/// An app's webhook secret at rest.
#[derive(Debug, Clone)]
pub(crate) struct SealedSecret {
    pub(crate) secret: Sealed,
    pub(crate) key: Sealed,
}

impl Store {
    /// Writes a new tenant.
    pub async fn create_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let request = self.db.put_item().table_name(&self.tables.tenants).set_item(Some(tenant_item(tenant)));
        match request.condition_expression("attribute_not_exists(tenant)").send().await {
            Ok(_) => Ok(()),
            // The SDK's own retry of a write that was applied meets its own item: ids are random.
            Err(error) if is_conditional(&error) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    /// Changes a tenant; `None` if there is none.
    pub async fn change_tenant(
        &self,
        id: &TenantId,
        change: &TenantChange,
    ) -> Result<Option<Tenant>, StoreError> {
        let fields = [
            ("name", change.name.as_ref().map(item::text)),
            ("status", change.status.map(|status| item::text(status.as_str()))),
            ("requests_per_minute", change.requests_per_minute.map(item::number)),
            ("connect_tokens_per_hour", change.connect_tokens_per_hour.map(item::number)),
            ("return_url", change.return_url.clone().flatten().map(item::text)),
        ];
        let mut request = self
            .db
            .update_item()
            .table_name(&self.tables.tenants)
            .set_key(Some(key(id, "tenant")))
            .condition_expression("attribute_exists(tenant)")
            .expression_attribute_names("#changed", "changed_at")
            .expression_attribute_values(":changed", item::time(self.clock.now()))
            .return_values(ReturnValue::AllNew);
        let mut update = "SET #changed = :changed".to_owned();
        for (name, value) in fields {
            let Some(value) = value else { continue };
            update.push_str(&format!(", #{name} = :{name}"));
            request = request
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        if change.return_url == Some(None) {
            update.push_str(" REMOVE return_url");
        }
        match request.update_expression(update).send().await {
            Ok(answer) => read_tenant(&Row(answer.attributes.unwrap_or_default())).map(Some),
            Err(error) if is_conditional(&error) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    /// Writes an app with its first key. False if the tenant is absent or not active.
    pub(crate) async fn register_app(
        &self,
        app: &App,
        key_record: &KeyRecord,
        webhook: &SealedSecret,
    ) -> Result<bool, StoreError> {
        let tenant_is_active = aws_sdk_dynamodb::types::ConditionCheck::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(key(&app.tenant, "tenant")))
            .condition_expression("#status = :active")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":active", item::text(TenantStatus::Active.as_str()));
        let put = |item: Item| {
            let put = Put::builder().table_name(&self.tables.tenants).set_item(Some(item));
            TransactWriteItem::builder().put(complete(put.build())).build()
        };
        let items = vec![
            TransactWriteItem::builder().condition_check(complete(tenant_is_active.build())).build(),
            put(app_item(app, webhook)),
            put(key_item(key_record)),
        ];
        match self.transact(items).await? {
            Ok(()) => Ok(true),
            Err(reasons) if failed(&reasons, 0) => Ok(false),
            Err(_) => Err(StoreError::Damaged("app")),
        }
    }

    /// The record of a presented key, with its tenant. `None` if there is no such key; the caller compares the digest.
    pub async fn key(&self, presented: &ApiKey) -> Result<Option<(Tenant, KeyRecord)>, StoreError> {
        let tenant = presented.tenant();
        let keys = KeysAndAttributes::builder()
            .keys(key(tenant, "tenant"))
            .keys(key(tenant, &format!("key#{}", presented.id())))
            .consistent_read(true);
        let request = self.db.batch_get_item().request_items(&self.tables.tenants, complete(keys.build()));
        let answer = request.send().await.map_err(failure)?;
        if answer.unprocessed_keys.is_some_and(|keys| !keys.is_empty()) {
            return Err(StoreError::Unavailable { code: "unprocessed keys".into(), maybe_applied: false });
        }
        let rows = answer.responses.unwrap_or_default().remove(&self.tables.tenants).unwrap_or_default();
        let (mut tenant, mut record) = (None, None);
        for row in rows.into_iter().map(Row) {
            match row.text("item")? {
                "tenant" => tenant = Some(read_tenant(&row)?),
                _ => record = Some(read_key(&row)?),
            }
        }
        Ok(tenant.zip(record))
    }

    /// Counts one more link of a tenant, unless it has minted `limit` in the last hour: an exact log of the hour,
    /// whatever runs at the same time. One call; two in the minute when the log is full and its head has aged.
    pub async fn count_minted_link(&self, tenant: &TenantId, limit: u32) -> Result<Limited, StoreError> {
        let now = self.clock.now();
        let hour = SignedDuration::from_hours(1);
        let log = || {
            self.db.update_item().table_name(&self.tables.tenants).set_key(Some(key(tenant, "minted-links")))
        };
        let one = AttributeValue::L(vec![item::time(now)]);
        let appended = log()
            .update_expression("SET times = list_append(if_not_exists(times, :none), :one)")
            .condition_expression("attribute_not_exists(times) OR size(times) < :limit")
            .expression_attribute_values(":none", AttributeValue::L(Vec::new()))
            .expression_attribute_values(":one", one)
            .expression_attribute_values(":limit", item::number(limit))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let mut seen = match appended {
            Ok(_) => return Ok(Limited::No),
            Err(error) => full_log(error)?,
        };
        loop {
            let times = seen
                .iter()
                .filter_map(|time| Timestamp::from_millisecond(time.as_n().ok()?.parse().ok()?).ok());
            let mut recent: Vec<Timestamp> = times.filter(|time| now.duration_since(*time) < hour).collect();
            recent.sort();
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            if recent.len() >= limit {
                let frees = recent[recent.len() - limit].saturating_add(hour).unwrap_or(now);
                let wait = Duration::try_from(frees.duration_since(now)).unwrap_or_default();
                return Ok(Limited::For(wait.max(Duration::from_secs(1))));
            }
            recent.push(now);
            let replaced = log()
                .update_expression("SET times = :new")
                .condition_expression("times = :seen")
                .expression_attribute_values(
                    ":new",
                    AttributeValue::L(recent.into_iter().map(item::time).collect()),
                )
                .expression_attribute_values(":seen", AttributeValue::L(seen))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .send()
                .await;
            seen = match replaced {
                Ok(_) => return Ok(Limited::No),
                Err(error) => full_log(error)?,
            };
        }
    }
}

/// The log as it stood when a write to it was refused.
fn full_log(
    error: aws_sdk_dynamodb::error::SdkError<aws_sdk_dynamodb::operation::update_item::UpdateItemError>,
) -> Result<Vec<AttributeValue>, StoreError> {
    use aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException;
    match error.as_service_error() {
        Some(ConditionalCheckFailedException(refused)) => {
            let times = refused.item().and_then(|item| item.get("times")?.as_l().ok()).cloned();
            times.ok_or(StoreError::Damaged("times"))
        }
        _ => Err(failure(error)),
    }
}

fn key(tenant: &TenantId, name: &str) -> Item {
    Writer::keyed([("tenant", item::text(tenant.as_str())), ("item", item::text(name))]).done()
}

/// The key of a tenant's own record, for a condition of a transaction.
pub(super) fn tenant_key(tenant: &TenantId) -> Item {
    key(tenant, "tenant")
}

fn tenant_item(tenant: &Tenant) -> Item {
    Writer(key(&tenant.id, "tenant"))
        .set("name", item::text(&tenant.name))
        .set("status", item::text(tenant.status.as_str()))
        .set("requests_per_minute", item::number(tenant.limits.requests_per_minute))
        .set("connect_tokens_per_hour", item::number(tenant.limits.connect_tokens_per_hour))
        .maybe("return_url", tenant.return_url.as_ref().map(item::text))
        .set("created_at", item::time(tenant.created_at))
        .done()
}

fn read_tenant(row: &Row) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: row.tenant()?,
        name: row.text("name")?.to_owned(),
        status: TenantStatus::parse(row.text("status")?).ok_or(StoreError::Damaged("status"))?,
        limits: TenantLimits {
            requests_per_minute: row.number("requests_per_minute")?,
            connect_tokens_per_hour: row.number("connect_tokens_per_hour")?,
        },
        return_url: row.maybe_text("return_url"),
        created_at: row.time("created_at")?,
    })
}

fn app_item(app: &App, webhook: &SealedSecret) -> Item {
    Writer(key(&app.tenant, &format!("app#{}", app.id)))
        .set("name", item::text(&app.name))
        .maybe("webhook_url", app.webhook_url.as_ref().map(item::text))
        .maybe("role", app.role.as_ref().map(item::text))
        .ciphertext("webhook_secret", &webhook.secret)
        .ciphertext("webhook_key", &webhook.key)
        .set("created_at", item::time(app.created_at))
        .done()
}

fn key_item(record: &KeyRecord) -> Item {
    let scopes: Vec<&str> = record.scopes.iter().map(|scope| scope.as_str()).collect();
    Writer(key(&record.tenant, &format!("key#{}", record.id)))
        .set("app", item::text(record.app.as_str()))
        .set("digest", item::text(&record.digest))
        .set("scopes", item::texts(&scopes))
        .set("created_at", item::time(record.created_at))
        .maybe("expires_at", record.expires_at.map(item::time))
        .done()
}

fn read_key(row: &Row) -> Result<KeyRecord, StoreError> {
    let id = row.text("item")?.strip_prefix("key#").and_then(KeyId::parse);
    Ok(KeyRecord {
        tenant: row.tenant()?,
        id: id.ok_or(StoreError::Damaged("item"))?,
        app: AppId::parse(row.text("app")?).ok_or(StoreError::Damaged("app"))?,
        digest: row.text("digest")?.to_owned(),
        scopes: row.texts("scopes").iter().filter_map(|scope| Scope::parse(scope)).collect(),
        created_at: row.time("created_at")?,
        expires_at: row.maybe_time("expires_at")?,
    })
}
