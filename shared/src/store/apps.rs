//! Apps: items `app#…` of the table `tenants`. An app's item lists the ids of its keys, so that app and keys change in one
//! transaction.

use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use jiff::Timestamp;

use super::item::{self, Change, Item, Row, Writer};
use super::keys::{key_item, key_list};
use super::tenants::{ChangeOutcome, tenant_key};
use super::{Page, Store, StoreError, TenantTable, WriteOutcome, complete, failed, failure, query};
use crate::model::app::{App, AppKind, KeyRecord};
use crate::model::audit::AuditEntry;
use crate::model::connection::Sealed;
use crate::model::event::EventKind;
use crate::model::ids::{AppId, KeyId, TenantId};
use crate::model::patch::Patch;
use crate::model::phone::E164;
use crate::model::tenant::TenantStatus;

/// An encrypted webhook secret; of a Power Automate flow, its callback URL.
#[derive(Debug, Clone)]
pub(crate) struct SealedSecret {
    pub(crate) secret: Sealed,
    pub(crate) key: Sealed,
    pub(crate) generation: u64,
}

/// The webhook secrets that sign an app's events.
#[derive(Debug, Clone)]
pub(crate) struct SigningSecrets {
    pub(crate) current: SealedSecret,
    /// Replaced secrets that still sign, oldest first, each with the end of its overlap.
    pub(crate) replaced: Vec<(SealedSecret, Timestamp)>,
}

/// The attributes of an app to change.
#[derive(Debug, Clone, Default)]
pub struct AppChange {
    pub name: Option<String>,
    pub webhook_url: Patch<String>,
    pub event_types: Option<Vec<EventKind>>,
    pub numbers: Option<Vec<E164>>,
    pub role: Patch<String>,
}

impl Store {
    pub(crate) async fn app_count(&self, tenant: &TenantId) -> Result<usize, StoreError> {
        Ok(self.names(TenantTable::Tenants, tenant, APP).await?.len())
    }

    /// Stores an app, with its first key if it has one. A conflict if the tenant has ever registered `most` apps or more, is
    /// not active or does not exist.
    pub(crate) async fn register_app(
        &self,
        app: &App,
        first_key: Option<&KeyRecord>,
        webhook: &SealedSecret,
        most: usize,
        entry: &AuditEntry<'_>,
    ) -> Result<WriteOutcome, StoreError> {
        let count = Update::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(tenant_key(&app.tenant)))
            .update_expression("SET apps_registered = if_not_exists(apps_registered, :none) + :one")
            .condition_expression(
                "#status = :active AND (attribute_not_exists(apps_registered) OR apps_registered < :most)",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":active", item::text(TenantStatus::Active.as_str()))
            .expression_attribute_values(":none", item::number(0))
            .expression_attribute_values(":one", item::number(1))
            .expression_attribute_values(":most", item::number(most));
        let count = TransactWriteItem::builder().update(complete(count.build())).build();
        let put = |item: Item| {
            let put = Put::builder().table_name(&self.tables.tenants).set_item(Some(item));
            TransactWriteItem::builder().put(complete(put.build())).build()
        };
        let mut items = vec![count, put(app_item(app, webhook))];
        items.extend(first_key.map(|key| put(key_item(key))));
        items.push(self.put_audit_entry(entry));
        match self.transact(items).await? {
            Ok(()) => Ok(WriteOutcome::Applied),
            Err(reasons) if failed(&reasons, 0) => Ok(WriteOutcome::Conflict),
            Err(_) => Err(StoreError::Damaged("app")),
        }
    }

    pub async fn app(&self, tenant: &TenantId, id: &AppId) -> Result<Option<App>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.tenants).set_key(Some(app_key(tenant, id)));
        let item = get.consistent_read(true).send().await.map_err(failure)?.item;
        self.read_one(&self.tables.tenants, item, read_app)
    }

    /// An app with the secrets that sign its events.
    pub(crate) async fn signing_app(
        &self,
        tenant: &TenantId,
        id: &AppId,
    ) -> Result<Option<(App, SigningSecrets)>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.tenants).set_key(Some(app_key(tenant, id)));
        let item = get.consistent_read(true).send().await.map_err(failure)?.item;
        let now = self.clock.now();
        self.read_one(&self.tables.tenants, item, |row| {
            let mut replaced = Vec::new();
            for row in row.rows("replaced_webhooks") {
                replaced.push((read_secret(&row)?, row.time("until")?));
            }
            replaced.retain(|(_, until)| now < *until);
            Ok((read_app(row)?, SigningSecrets { current: read_secret(row)?, replaced }))
        })
    }

    /// A page of a tenant's apps, ordered by id.
    pub async fn apps(
        &self,
        tenant: &TenantId,
        page: &Page,
    ) -> Result<(Vec<App>, Option<String>), StoreError> {
        let query = self
            .items(&self.tables.tenants, tenant, "begins_with(#item, :app)")
            .expression_attribute_values(":app", item::text(APP))
            .limit(page.rows())
            .set_exclusive_start_key(page.after.as_ref().map(|at| item::key(tenant, at)));
        let (rows, last) = query::page(query).await?;
        let apps = self.readable(&self.tables.tenants, &rows, read_app);
        Ok((apps, last.and_then(|key| key.maybe_text("item"))))
    }

    /// A conflict if the webhook URL is to be changed and the app is a Power Automate flow.
    pub async fn change_app(
        &self,
        tenant: &TenantId,
        id: &AppId,
        change: &AppChange,
        entry: &AuditEntry<'_>,
    ) -> Result<ChangeOutcome, StoreError> {
        let only_programs = change.webhook_url != Patch::Keep || change.event_types.is_some();
        let list = |values: Vec<&str>| (!values.is_empty()).then(|| item::texts(&values));
        let kinds = change.event_types.as_ref().map(|kinds| kinds.iter().map(|kind| kind.as_str()).collect());
        let numbers = change.numbers.as_ref().map(|numbers| numbers.iter().map(E164::as_str).collect());
        let fields = [
            ("name", change.name.as_ref().map(|name| Some(item::text(name)))),
            ("webhook_url", update_of(&change.webhook_url)),
            ("event_types", kinds.map(list)),
            ("numbers", numbers.map(list)),
            ("role", update_of(&change.role)),
        ];
        let changed = [("changed_at", Some(Some(item::time(self.clock.now()))))];
        let fields = fields.into_iter().chain(changed).filter_map(|(name, value)| Some((name, value?)));
        let change = Change::of(fields);
        let update = self
            .update_app(tenant, id)
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values));
        let update = if only_programs {
            update
                .condition_expression("kind = :program")
                .expression_attribute_values(":program", item::text(AppKind::Program.as_str()))
        } else {
            update.condition_expression("attribute_exists(tenant)")
        };
        self.update_with(update, entry).await
    }

    /// Replaces an app's webhook secret. The current one keeps signing until `overlap_ends`, and earlier ones until the end of
    /// their own overlap. A conflict if the secret was replaced since `seen` was read.
    pub(crate) async fn replace_webhook_secret(
        &self,
        app: &App,
        seen: &SigningSecrets,
        new: &SealedSecret,
        overlap_ends: Timestamp,
        entry: &AuditEntry<'_>,
    ) -> Result<ChangeOutcome, StoreError> {
        let mut replaced: Vec<_> = seen.replaced.iter().map(|(secret, until)| (secret, *until)).collect();
        replaced.push((&seen.current, overlap_ends));
        let map = |(secret, until)| {
            AttributeValue::M(secret_fields(Writer::default(), secret).set("until", item::time(until)).done())
        };
        let list = AttributeValue::L(replaced.into_iter().map(map).collect());
        let fields = secret_fields(Writer::default().set("replaced_webhooks", list), new).done();
        let change = Change::of(fields.into_iter().map(|(name, value)| (name, Some(value))));
        let update = self
            .update_app(&app.tenant, &app.id)
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .condition_expression("webhook_generation = :seen")
            .expression_attribute_values(":seen", item::number(seen.current.generation));
        self.update_with(update, entry).await
    }

    /// Deletes an app with all its keys. A conflict if its keys changed since it was read.
    pub async fn delete_app(&self, app: &App, entry: &AuditEntry<'_>) -> Result<ChangeOutcome, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(app_key(&app.tenant, &app.id)))
            .condition_expression("#keys = :keys")
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_values(":keys", key_list(&app.keys))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let mut items = vec![TransactWriteItem::builder().delete(complete(delete.build())).build()];
        items.extend(app.keys.iter().map(|id| self.delete_key_item(&app.tenant, id)));
        items.push(self.put_audit_entry(entry));
        Ok(match self.transact(items).await? {
            Ok(()) => ChangeOutcome::Applied,
            Err(reasons)
                if reasons.first().and_then(|reason| reason.item()).is_some_and(|item| !item.is_empty()) =>
            {
                ChangeOutcome::Conflict
            }
            Err(_) => ChangeOutcome::NotFound,
        })
    }

    pub(super) fn update_app(
        &self,
        tenant: &TenantId,
        id: &AppId,
    ) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        Update::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(app_key(tenant, id)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

/// `None` to keep the attribute, else its new value or its removal.
fn update_of(patch: &Patch<String>) -> Option<Option<AttributeValue>> {
    match patch {
        Patch::Keep => None,
        Patch::Set(value) => Some(Some(item::text(value))),
        Patch::Clear => Some(None),
    }
}

/// Prefix of the sort key.
pub(super) const APP: &str = "app#";

fn app_key(tenant: &TenantId, id: &AppId) -> Item {
    item::key(tenant, &format!("{APP}{id}"))
}

fn app_item(app: &App, webhook: &SealedSecret) -> Item {
    let writer = Writer(app_key(&app.tenant, &app.id))
        .set("kind", item::text(app.kind.as_str()))
        .set("name", item::text(&app.name))
        .maybe("webhook_url", app.webhook_url.as_ref().map(item::text))
        .set(
            "event_types",
            item::texts(&app.event_types.iter().map(|kind| kind.as_str()).collect::<Vec<_>>()),
        )
        .set("numbers", item::texts(&app.numbers.iter().map(E164::as_str).collect::<Vec<_>>()))
        .maybe("role", app.role.as_ref().map(item::text))
        .maybe("main_key", app.main_key.as_ref().map(|id| item::text(id.as_str())))
        .set("keys", key_list(&app.keys))
        .maybe("trigger_token", app.trigger_token.as_ref().map(item::text))
        .set("created_at", item::time(app.created_at));
    secret_fields(writer, webhook).done()
}

fn secret_fields(writer: Writer, secret: &SealedSecret) -> Writer {
    writer
        .ciphertext("webhook_secret", &secret.secret)
        .ciphertext("webhook_key", &secret.key)
        .set("webhook_generation", item::number(secret.generation))
}

fn read_secret(row: &Row) -> Result<SealedSecret, StoreError> {
    Ok(SealedSecret {
        secret: row.ciphertext("webhook_secret")?,
        key: row.ciphertext("webhook_key")?,
        generation: row.number("webhook_generation")?,
    })
}

fn read_app(row: &Row) -> Result<App, StoreError> {
    let id = row.text("item")?.strip_prefix(APP).and_then(AppId::parse);
    Ok(App {
        tenant: row.tenant()?,
        id: id.ok_or(StoreError::Damaged("item"))?,
        kind: row.parsed("kind", AppKind::parse)?,
        name: row.text("name")?.to_owned(),
        webhook_url: row.maybe_text("webhook_url"),
        event_types: row.texts("event_types").iter().filter_map(|kind| EventKind::parse(kind)).collect(),
        numbers: row.texts("numbers").iter().filter_map(|text| E164::parse(text)).collect(),
        role: row.maybe_text("role"),
        main_key: row.maybe_text("main_key").as_deref().and_then(KeyId::parse),
        keys: row.texts("keys").iter().filter_map(|id| KeyId::parse(id)).collect(),
        trigger_token: row.maybe_text("trigger_token"),
        created_at: row.time("created_at")?,
    })
}
