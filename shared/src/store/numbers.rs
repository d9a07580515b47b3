//! Phone numbers, in the table `connections`: items `number#<E.164>` for the numbers that a connected extension can send
//! from, and `account-number#<account>#<E.164>` for the numbers of the account-wide list.

use std::collections::HashSet;

use aws_sdk_dynamodb::types::{DeleteRequest, PutRequest, WriteRequest};

use super::connection_item::read_connection;
use super::item::{self, Item, Row, Writer};
use super::{Store, StoreError, complete, failure, query};
use crate::model::connection::Connection;
use crate::model::ids::{ExtensionId, TenantId};
use crate::model::number::{AccountNumber, Number, Readiness};
use crate::model::phone::E164;

/// A tenant's connections with their numbers.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The earliest connected first.
    pub connections: Vec<Connection>,
    /// The numbers that the connected extensions can send from.
    pub numbers: Vec<Number>,
    /// All numbers of their accounts, including those of the connected extensions.
    pub account_numbers: Vec<AccountNumber>,
}

impl Store {
    /// A tenant's connections and numbers, in one query.
    pub async fn inventory(&self, tenant: &TenantId) -> Result<Inventory, StoreError> {
        let mut inventory = Inventory::default();
        for row in self.all_rows(tenant).await? {
            let read = match row.text("item")?.split_once('#').map(|(kind, _)| kind) {
                Some("connection") => {
                    read_connection(&row).map(|connection| inventory.connections.push(connection))
                }
                Some("number") => read_number(&row).map(|number| inventory.numbers.push(number)),
                Some("account-number") => {
                    read_account_number(&row).map(|number| inventory.account_numbers.push(number))
                }
                _ => Ok(()),
            };
            // An unreadable row is passed.
            let _ = self.checked(&self.tables.connections, &row, read);
        }
        inventory
            .connections
            .sort_by(|a, b| (a.connected_at, &a.extension).cmp(&(b.connected_at, &b.extension)));
        Ok(inventory)
    }

    /// A number, if a connected extension can send from it.
    pub async fn number(&self, tenant: &TenantId, number: &E164) -> Result<Option<Number>, StoreError> {
        let row = self.connections_row(tenant, format!("number#{number}")).await?;
        self.read_one(&self.tables.connections, row.map(|row| row.0), read_number)
    }

    pub async fn is_account_number(
        &self,
        tenant: &TenantId,
        account: &str,
        number: &E164,
    ) -> Result<bool, StoreError> {
        Ok(self.connections_row(tenant, format!("account-number#{account}#{number}")).await?.is_some())
    }

    async fn connections_row(&self, tenant: &TenantId, name: String) -> Result<Option<Row>, StoreError> {
        let key = item::key(tenant, &name);
        let get = self.db.get_item().table_name(&self.tables.connections).set_key(Some(key));
        Ok(get.consistent_read(true).send().await.map_err(failure)?.item.map(Row))
    }

    /// Stores the numbers of an extension and deletes those that are no longer in the list.
    pub async fn replace_numbers(
        &self,
        tenant: &TenantId,
        extension: &ExtensionId,
        numbers: &[Number],
    ) -> Result<(), StoreError> {
        let items: Vec<Item> = numbers.iter().map(|number| number_item(tenant, number)).collect();
        let rows = self.rows(tenant, "number#").await?;
        let old =
            rows.into_iter().filter(|row| row.maybe_text("extension").as_deref() == Some(extension.as_str()));
        self.replace(old, items).await
    }

    /// Stores the numbers of an account and deletes those that are no longer in the list.
    pub async fn replace_account_numbers(
        &self,
        tenant: &TenantId,
        account: &str,
        numbers: &[AccountNumber],
    ) -> Result<(), StoreError> {
        let items: Vec<Item> = numbers.iter().map(|number| account_number_item(tenant, number)).collect();
        let old = self.rows(tenant, &format!("account-number#{account}#")).await?;
        self.replace(old.into_iter(), items).await
    }

    pub async fn delete_numbers(
        &self,
        tenant: &TenantId,
        numbers: &[Number],
        account_numbers: &[AccountNumber],
    ) -> Result<(), StoreError> {
        let own = numbers.iter().map(|number| Row(number_item(tenant, number)));
        let accounts = account_numbers.iter().map(|number| Row(account_number_item(tenant, number)));
        self.replace(own.chain(accounts), Vec::new()).await
    }

    async fn replace(&self, old: impl Iterator<Item = Row>, new: Vec<Item>) -> Result<(), StoreError> {
        // RingCentral's pages may shift while they are read, and DynamoDB rejects a batch that contains an item twice.
        let mut seen = HashSet::new();
        let new: Vec<Item> =
            new.into_iter().filter(|item| seen.insert(item["item"].clone().as_s().cloned().ok())).collect();
        let kept: HashSet<String> = new.iter().filter_map(|item| item["item"].as_s().ok().cloned()).collect();
        let mut writes = Vec::new();
        for row in old {
            if !kept.contains(row.text("item")?) {
                let key = Writer::keyed(["tenant", "item"].map(|name| (name, row.0[name].clone())));
                let delete = DeleteRequest::builder().set_key(Some(key.done()));
                writes.push(WriteRequest::builder().delete_request(complete(delete.build())).build());
            }
        }
        for item in new {
            let put = PutRequest::builder().set_item(Some(item));
            writes.push(WriteRequest::builder().put_request(complete(put.build())).build());
        }
        for chunk in writes.chunks(25) {
            self.write_all(&self.tables.connections, chunk.to_vec()).await?;
        }
        Ok(())
    }

    async fn all_rows(&self, tenant: &TenantId) -> Result<Vec<Row>, StoreError> {
        // All other kinds of items sort before revocations. So one range suffices, and no list reads sealed refresh tokens.
        let query = self
            .items(&self.tables.connections, tenant, "#item < :end")
            .expression_attribute_values(":end", item::text("revocation#"));
        query::all(query).await
    }
}

fn number_item(tenant: &TenantId, number: &Number) -> Item {
    let readiness = match &number.readiness {
        Readiness::Pending(status) => format!("pending:{status}"),
        other => other.as_str().to_owned(),
    };
    Writer(item::key(tenant, &format!("number#{}", number.number)))
        .set("number_id", item::text(&number.id))
        .set("extension", item::text(number.extension.as_str()))
        .set("features", item::texts(&number.features))
        .maybe("usage", number.usage.as_ref().map(item::text))
        .maybe("label", number.label.as_ref().map(item::text))
        .set("readiness", item::text(readiness))
        .done()
}

fn read_number(row: &Row) -> Result<Number, StoreError> {
    let number = row.text("item")?.strip_prefix("number#").and_then(E164::parse);
    Ok(Number {
        number: number.ok_or(StoreError::Damaged("item"))?,
        id: row.text("number_id")?.to_owned(),
        extension: row.extension()?,
        features: row.texts("features"),
        usage: row.maybe_text("usage"),
        label: row.maybe_text("label"),
        readiness: match row.text("readiness")? {
            "ready" => Readiness::Ready,
            "unregistered" => Readiness::Unregistered,
            other => other
                .strip_prefix("pending:")
                .map_or(Readiness::Unknown, |s| Readiness::Pending(s.to_owned())),
        },
    })
}

fn account_number_item(tenant: &TenantId, number: &AccountNumber) -> Item {
    Writer(item::key(tenant, &format!("account-number#{}#{}", number.account, number.number)))
        .maybe("extension", number.extension.as_ref().map(|extension| item::text(extension.as_str())))
        .maybe("extension_name", number.extension_name.as_ref().map(item::text))
        .maybe("usage", number.usage.as_ref().map(item::text))
        .done()
}

fn read_account_number(row: &Row) -> Result<AccountNumber, StoreError> {
    let mut name = row.text("item")?.splitn(3, '#').skip(1);
    let account = name.next().ok_or(StoreError::Damaged("item"))?;
    let number = name.next().and_then(E164::parse).ok_or(StoreError::Damaged("item"))?;
    Ok(AccountNumber {
        number,
        account: account.to_owned(),
        extension: row.maybe_text("extension").as_deref().and_then(ExtensionId::parse),
        extension_name: row.maybe_text("extension_name"),
        usage: row.maybe_text("usage"),
    })
}
