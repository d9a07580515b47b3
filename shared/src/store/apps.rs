//! Apps: items `app#…` in the table `tenants`. An app's item names all its keys, so that they change with it in one
//! transaction.

use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use jiff::Timestamp;

use super::item::{self, Change, Item, Row, Writer};
use super::tenants::{Changed, tenant_key};
use super::{Holding, Page, Store, StoreError, complete, failed, failure, query};
use crate::model::app::{App, AppKind, KeyRecord};
use crate::model::audit::AuditEntry;
use crate::model::connection::Sealed;
use crate::model::event::EventKind;
use crate::model::ids::{AppId, KeyId, TenantId};
use crate::model::phone::E164;
use crate::model::tenant::TenantStatus;

/// An app's webhook secret at rest.
#[derive(Debug, Clone)]
pub(crate) struct SealedSecret {
    pub(crate) secret: Sealed,
    pub(crate) key: Sealed,
    pub(crate) generation: u64,
}

/// The webhook secrets that sign an app's events now.
#[derive(Debug, Clone)]
pub(crate) struct SigningSecrets {
    /// Its own.
    pub(crate) current: SealedSecret,
    /// Those that were replaced and sign along, the oldest first, each until its end.
    pub(crate) replaced: Vec<(SealedSecret, Timestamp)>,
}

/// What is changed of an app; `Some(None)` takes a value away.
#[derive(Debug, Clone, Default)]
pub struct AppChange {
    /// A new name.
    pub name: Option<String>,
    /// A new address for its events.
    pub webhook_url: Option<Option<String>>,
    /// The events that it is told of from now on.
    pub event_types: Option<Vec<EventKind>>,
    /// The numbers that it is told of from now on.
    pub numbers: Option<Vec<E164>>,
    /// A new word for what it is.
    pub role: Option<Option<String>>,
}

impl Store {
    /// How many apps a tenant has.
    pub(crate) async fn app_count(&self, tenant: &TenantId) -> Result<usize, StoreError> {
        Ok(self.names(Holding::Tenants, tenant, APP).await?.len())
    }

    /// Writes an app, with its first key if it has one, if fewer than `most` were ever registered. False if there were
    /// more, or the tenant is absent or not active.
    pub(crate) async fn register_app(
        &self,
        app: &App,
        first_key: Option<&KeyRecord>,
        webhook: &SealedSecret,
        most: usize,
        deed: &AuditEntry<'_>,
    ) -> Result<bool, StoreError> {
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
        items.extend(first_key.map(|key| put(super::keys::key_item(key))));
        items.push(self.write_down(deed));
        match self.transact(items).await? {
            Ok(()) => Ok(true),
            Err(reasons) if failed(&reasons, 0) => Ok(false),
            Err(_) => Err(StoreError::Damaged("app")),
        }
    }

    /// One app of a tenant.
    pub async fn app(&self, tenant: &TenantId, id: &AppId) -> Result<Option<App>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.tenants).set_key(Some(app_key(tenant, id)));
        let row = get.consistent_read(true).send().await.map_err(failure)?.item.map(Row);
        row.map(|row| read_app(&row)).transpose()
    }

    /// One app of a tenant with the secrets that sign its events now.
    pub(crate) async fn signing_app(
        &self,
        tenant: &TenantId,
        id: &AppId,
    ) -> Result<Option<(App, SigningSecrets)>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.tenants).set_key(Some(app_key(tenant, id)));
        let row = get.consistent_read(true).send().await.map_err(failure)?.item.map(Row);
        let Some(row) = row else { return Ok(None) };
        let mut replaced = Vec::new();
        // As it was written when one secret was kept beside an app's own.
        if let Some(until) = row.maybe_time("previous_webhook_until")? {
            let secret = SealedSecret {
                secret: row.ciphertext("previous_webhook_secret")?,
                key: row.ciphertext("previous_webhook_key")?,
                generation: row.number("previous_webhook_generation")?,
            };
            replaced.push((secret, until));
        }
        for row in row.rows("replaced_webhooks") {
            replaced.push((read_secret(&row)?, row.time("until")?));
        }
        let now = self.clock.now();
        replaced.retain(|(_, until)| now < *until);
        Ok(Some((read_app(&row)?, SigningSecrets { current: read_secret(&row)?, replaced })))
    }

    /// A tenant's apps, in the order of their ids.
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
        let apps = rows.iter().map(read_app).collect::<Result<_, _>>()?;
        Ok((apps, last.and_then(|key| key.maybe_text("item"))))
    }

    /// Changes an app.
    pub async fn change_app(
        &self,
        tenant: &TenantId,
        id: &AppId,
        change: &AppChange,
        deed: &AuditEntry<'_>,
    ) -> Result<Changed, StoreError> {
        let list = |words: Vec<&str>| (!words.is_empty()).then(|| item::texts(&words));
        let kinds = change.event_types.as_ref().map(|kinds| kinds.iter().map(|kind| kind.as_str()).collect());
        let numbers = change.numbers.as_ref().map(|numbers| numbers.iter().map(E164::as_str).collect());
        let fields = [
            ("name", change.name.as_ref().map(|name| Some(item::text(name)))),
            ("webhook_url", change.webhook_url.as_ref().map(|url| url.as_ref().map(item::text))),
            ("event_types", kinds.map(list)),
            ("numbers", numbers.map(list)),
            ("role", change.role.as_ref().map(|role| role.as_ref().map(item::text))),
        ];
        let changed = [("changed_at", Some(Some(item::time(self.clock.now()))))];
        let fields = fields.into_iter().chain(changed).filter_map(|(name, value)| Some((name, value?)));
        let change = Change::of(fields);
        let update = self
            .update_app(tenant, id)
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .condition_expression("attribute_exists(tenant)");
        self.update_with(update, deed).await
    }

    /// Replaces an app's webhook secret. Those that signed before sign along: its own until a moment, the others as long as
    /// they would have. [`Changed::Moved`] if it is not of the generation that was seen.
    pub(crate) async fn replace_webhook_secret(
        &self,
        app: &App,
        seen: &SigningSecrets,
        new: &SealedSecret,
        overlap_ends: Timestamp,
        deed: &AuditEntry<'_>,
    ) -> Result<Changed, StoreError> {
        let mut replaced: Vec<_> = seen.replaced.iter().map(|(secret, until)| (secret, *until)).collect();
        replaced.push((&seen.current, overlap_ends));
        let map = |(secret, until)| {
            AttributeValue::M(secret_fields(Writer::default(), secret).set("until", item::time(until)).done())
        };
        let list = AttributeValue::L(replaced.into_iter().map(map).collect());
        let old =
            ["secret", "key", "generation", "until"].map(|name| (format!("previous_webhook_{name}"), None));
        let fields = secret_fields(Writer::default().set("replaced_webhooks", list), new).done();
        let fields = fields.into_iter().map(|(name, value)| (name, Some(value)));
        let change = Change::of(fields.chain(old));
        let update = self
            .update_app(&app.tenant, &app.id)
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .condition_expression("webhook_generation = :seen")
            .expression_attribute_values(":seen", item::number(seen.current.generation));
        self.update_with(update, deed).await
    }

    /// Deletes an app with all its keys. [`Changed::Moved`] if it has other keys than were seen.
    pub async fn delete_app(&self, app: &App, deed: &AuditEntry<'_>) -> Result<Changed, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(app_key(&app.tenant, &app.id)))
            .condition_expression("#keys = :keys")
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_values(":keys", key_list(&app.keys))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let mut items = vec![TransactWriteItem::builder().delete(complete(delete.build())).build()];
        items.extend(app.keys.iter().map(|id| self.delete_key_item(&app.tenant, id)));
        items.push(self.write_down(deed));
        Ok(match self.transact(items).await? {
            Ok(()) => Changed::Yes,
            Err(reasons)
                if reasons.first().and_then(|reason| reason.item()).is_some_and(|item| !item.is_empty()) =>
            {
                Changed::Moved
            }
            Err(_) => Changed::Absent,
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

/// What the names of apps begin with.
pub(super) const APP: &str = "app#";

fn app_key(tenant: &TenantId, id: &AppId) -> Item {
    item::key(tenant, &format!("{APP}{id}"))
}

/// The names of an app's keys, as its item has them.
pub(super) fn key_list(keys: &[KeyId]) -> AttributeValue {
    item::texts(&keys.iter().map(KeyId::as_str).collect::<Vec<_>>())
}

fn app_item(app: &App, webhook: &SealedSecret) -> Item {
    let writer = Writer(app_key(&app.tenant, &app.id))
        .maybe("kind", (app.kind != AppKind::Program).then(|| item::text(app.kind.as_str())))
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
        kind: match row.maybe_text("kind").as_deref() {
            None => AppKind::Program,
            Some("trigger") => AppKind::Trigger,
            Some(_) => return Err(StoreError::Damaged("kind")),
        },
        name: row.text("name")?.to_owned(),
        webhook_url: row.maybe_text("webhook_url"),
        event_types: row.texts("event_types").iter().filter_map(|word| EventKind::parse(word)).collect(),
        numbers: row.texts("numbers").iter().filter_map(|text| E164::parse(text)).collect(),
        role: row.maybe_text("role"),
        main_key: row.maybe_text("main_key").as_deref().and_then(KeyId::parse),
        keys: row.texts("keys").iter().filter_map(|id| KeyId::parse(id)).collect(),
        created_at: row.time("created_at")?,
    })
}
