//! Connections, and which tenant owns which extension.
//!
//! Table `connections`, partition `tenant`, items `connection#<id>`. Table `extensions`, one item for each connected
//! extension across all tenants, with its owner. Both change in one transaction.

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use jiff::Timestamp;

use super::connection_item::{
    key, new_connection_item, read_connection, set_backfill, set_subscription, steps, subscription_ids,
};
use super::due::WorkKind;
use super::item::{self, Change, Item, Row, Writer};
use super::{Store, StoreError, WriteOutcome, complete, failed, failure, query, write_outcome};
use crate::limits;
use crate::model::audit::AuditEntry;
use crate::model::connect_token::Flow;
use crate::model::connection::{BackfillReason, Connection, Revocation, SealedToken, Subscription};
use crate::model::event::Event;
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};

/// The tenant that has connected an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionOwner {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    /// When the tenant first connected the extension.
    pub connected_at: Timestamp,
}

/// The parts of the transaction that stores a connection.
#[derive(Debug)]
pub struct NewConnection<'a> {
    pub connection: &'a Connection,
    /// The flow in which the user authorized.
    pub flow: &'a Flow,
    /// The owner of the extension as the caller has read it. It belongs to the same tenant.
    pub owner: Option<&'a ExtensionOwner>,
    /// The connection to replace. Its session is to be ended.
    pub replaces: Option<&'a RemovableConnection>,
    pub audit_entry: AuditEntry<'a>,
}

/// A connection to remove. Its row may be unreadable.
#[derive(Debug, Clone)]
pub struct RemovableConnection {
    pub tenant: TenantId,
    pub id: ConnectionId,
    pub extension: Option<ExtensionId>,
    issuer: Option<String>,
    /// The attribute as it was read. The removal requires that it has not changed.
    generation: Option<AttributeValue>,
    /// `None` if the row cannot be read.
    pub connection: Option<Connection>,
    /// `None` if the tokens cannot be read: the session ends when they expire.
    pub revocation: Option<Revocation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreConnectionOutcome {
    Stored,
    /// The extension was connected, refreshed or disconnected since it was read.
    Conflict,
    /// The link was already used, or the flow is no longer this caller's.
    LinkUsed,
    /// The tenant is suspended or deleted.
    TenantUnavailable,
}

impl Store {
    /// The tenant that has an extension connected, and its connection.
    ///
    /// If its row cannot be read and `tenant` has a connection of the extension, it is the owner, and the row is written again: no
    /// other tenant can have one.
    pub async fn extension_owner_of_any_tenant(
        &self,
        issuer: &str,
        extension: &ExtensionId,
        tenant: &TenantId,
    ) -> Result<Option<ExtensionOwner>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.extensions).consistent_read(true);
        let output =
            get.key("extension", item::text(owner_key(issuer, extension))).send().await.map_err(failure)?;
        let unreadable = output.item.clone();
        let read = self.read_one(&self.tables.extensions, output.item, |row| {
            Ok(ExtensionOwner {
                tenant: row.tenant()?,
                connection: row.connection()?,
                connected_at: row.time("connected_at")?,
            })
        });
        match (read, unreadable) {
            (Err(StoreError::Damaged(name)), Some(item)) => {
                let repaired = self.repair_owner(issuer, extension, tenant, Row(item)).await?;
                repaired.map(Some).ok_or(StoreError::Damaged(name))
            }
            (read, _) => read,
        }
    }

    /// Writes the owner of an extension again, unless the row has changed. `None` if the tenant does not have the extension.
    async fn repair_owner(
        &self,
        issuer: &str,
        extension: &ExtensionId,
        tenant: &TenantId,
        damaged: Row,
    ) -> Result<Option<ExtensionOwner>, StoreError> {
        let connections = self.removable_connections(tenant).await?;
        let found = connections.into_iter().find(|connection| {
            connection.extension.as_ref() == Some(extension) && connection.issuer.as_deref() == Some(issuer)
        });
        let Some(found) = found else { return Ok(None) };
        let now = self.clock.now();
        let owner = ExtensionOwner {
            tenant: tenant.clone(),
            connected_at: found.connection.map_or(now, |connection| connection.connected_at),
            connection: found.id,
        };
        let mut put = self
            .db
            .put_item()
            .table_name(&self.tables.extensions)
            .set_item(Some(owner_item(issuer, extension, &owner)));
        let mut unchanged = vec!["attribute_exists(extension)".to_owned()];
        for name in ["tenant", "connection", "connected_at"] {
            put = put.expression_attribute_names(format!("#{name}"), name);
            match damaged.0.get(name) {
                Some(value) => {
                    unchanged.push(format!("#{name} = :{name}"));
                    put = put.expression_attribute_values(format!(":{name}"), value.clone());
                }
                None => unchanged.push(format!("attribute_not_exists(#{name})")),
            }
        }
        let written = write_outcome(put.condition_expression(unchanged.join(" AND ")).send().await)?;
        Ok(written.is_applied().then_some(owner))
    }

    /// Stores a connection in one transaction, which also sets the extension's owner, closes the link and the flow, and
    /// turns the replaced connection into a revocation.
    pub async fn store_connection(
        &self,
        new: &NewConnection<'_>,
    ) -> Result<StoreConnectionOutcome, StoreError> {
        let connection = new.connection;
        let now = self.clock.now();
        let put_connection = Put::builder()
            .table_name(&self.tables.connections)
            .set_item(Some(new_connection_item(connection, now)))
            .condition_expression("attribute_not_exists(tenant)");
        let owner = ExtensionOwner {
            tenant: connection.tenant.clone(),
            connection: connection.id.clone(),
            connected_at: connection.connected_at,
        };
        let put_owner = Put::builder().table_name(&self.tables.extensions).set_item(Some(owner_item(
            &connection.issuer,
            &connection.extension,
            &owner,
        )));
        let put_owner = match new.owner {
            None => put_owner.condition_expression("attribute_not_exists(extension)"),
            Some(seen) => put_owner
                .condition_expression("tenant = :tenant AND #connection = :seen")
                .expression_attribute_names("#connection", "connection")
                .expression_attribute_values(":tenant", item::text(seen.tenant.as_str()))
                .expression_attribute_values(":seen", item::text(seen.connection.as_str())),
        };
        let [use_link, finish_flow] = self.close_link_and_flow(new.flow);
        let mut items = vec![
            self.if_tenant_is_active(&connection.tenant),
            use_link,
            finish_flow,
            TransactWriteItem::builder().put(complete(put_connection.build())).build(),
            TransactWriteItem::builder().put(complete(put_owner.build())).build(),
        ];
        if let Some(old) = new.replaces {
            items.extend(self.replace_by_revocation(old));
        }
        items.push(self.put_audit_entry(&new.audit_entry));
        Ok(match self.transact(items).await? {
            Ok(()) => StoreConnectionOutcome::Stored,
            Err(reasons) if failed(&reasons, 0) => StoreConnectionOutcome::TenantUnavailable,
            Err(reasons) if failed(&reasons, 1) || failed(&reasons, 2) => StoreConnectionOutcome::LinkUsed,
            Err(_) => StoreConnectionOutcome::Conflict,
        })
    }

    pub async fn connection(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.connections).set_key(Some(key(tenant, id)));
        let output = get.consistent_read(true).send().await.map_err(failure)?;
        self.read_one(&self.tables.connections, output.item, read_connection)
    }

    /// A connection to remove, even if its row cannot be read.
    pub async fn removable_connection(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
    ) -> Result<Option<RemovableConnection>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.connections).set_key(Some(key(tenant, id)));
        let output = get.consistent_read(true).send().await.map_err(failure)?;
        Ok(output.item.map(Row).and_then(|row| self.removable(tenant, &row)))
    }

    /// A tenant's connections to remove, including those whose rows cannot be read.
    pub async fn removable_connections(
        &self,
        tenant: &TenantId,
    ) -> Result<Vec<RemovableConnection>, StoreError> {
        let rows = self.rows(tenant, CONNECTION).await?;
        Ok(rows.iter().filter_map(|row| self.removable(tenant, row)).collect())
    }

    /// At most [`limits::DELETION_BATCH`] of them.
    pub async fn some_removable_connections(
        &self,
        tenant: &TenantId,
    ) -> Result<Vec<RemovableConnection>, StoreError> {
        let query = self
            .items(&self.tables.connections, tenant, "begins_with(#item, :prefix)")
            .expression_attribute_values(":prefix", item::text(CONNECTION))
            .limit(limits::DELETION_BATCH);
        let mut from = None;
        loop {
            let (rows, next) = query::page(query.clone().set_exclusive_start_key(from)).await?;
            let removable: Vec<_> = rows.iter().filter_map(|row| self.removable(tenant, row)).collect();
            from = next.map(|next| next.0);
            if from.is_none() || !removable.is_empty() {
                return Ok(removable);
            }
        }
    }

    /// `None` if not even the key of the row can be read: no other item refers to that.
    fn removable(&self, tenant: &TenantId, row: &Row) -> Option<RemovableConnection> {
        let id = ConnectionId::from_record(row.text("item").ok()?.strip_prefix(CONNECTION)?)?;
        let connection = self.checked(&self.tables.connections, row, read_connection(row)).ok();
        let revocation = match &connection {
            Some(connection) => Some(Revocation::from(connection)),
            None => salvage_revocation(tenant, &id, row, self.clock.now()).ok(),
        };
        Some(RemovableConnection {
            tenant: tenant.clone(),
            extension: row.extension().ok(),
            issuer: row.maybe_text("issuer"),
            generation: row.0.get("generation").cloned(),
            id,
            connection,
            revocation,
        })
    }

    /// A tenant's connections, the earliest connected first.
    pub async fn connections(&self, tenant: &TenantId) -> Result<Vec<Connection>, StoreError> {
        let rows = self.rows(tenant, CONNECTION).await?;
        let mut connections = self.readable(&self.tables.connections, &rows, read_connection);
        connections.sort_by(|a, b| (a.connected_at, &a.extension).cmp(&(b.connected_at, &b.extension)));
        Ok(connections)
    }

    /// Stores the progress of a set-up, and when the next attempt is due. `created` is a subscription that the set-up has
    /// created, with the time of its first check. `event` is appended in the same transaction. The condition fails if the
    /// connection was deleted, or has another subscription than the created one, or if another attempt was recorded before
    /// this one with an event.
    pub async fn record_setup(
        &self,
        connection: &Connection,
        due: Option<Timestamp>,
        created: Option<(&Subscription, Timestamp)>,
        event: Option<&Event>,
    ) -> Result<WriteOutcome, StoreError> {
        let identity = &connection.identity;
        let mut set = Writer::default()
            .maybe("account", identity.account.as_ref().map(item::text))
            .maybe("name", identity.name.as_ref().map(item::text))
            .maybe("extension_number", identity.extension_number.as_ref().map(item::text))
            .set("setup_attempts", item::number(connection.setup.attempts))
            .maybe("work_kind", due.map(|_| WorkKind::Setup.partition(&connection.id)))
            .maybe("due_at", due.map(item::time));
        if let Some((subscription, first_check)) = created {
            set = set_subscription(set, subscription)
                .set("renewal_kind", WorkKind::Renewal.partition(&connection.id))
                .set("renewal_due", item::time(first_check));
            set = set_backfill(set, &connection.id, BackfillReason::Connected, self.clock.now());
        }
        let mut fields: Vec<_> = set.done().into_iter().map(|(name, value)| (name, Some(value))).collect();
        if due.is_none() {
            fields.extend([("work_kind".to_owned(), None), ("due_at".to_owned(), None)]);
        }
        for (name, step) in steps(&connection.setup) {
            fields.push((format!("setup_{name}"), Some(item::text(step.as_str()))));
            fields.push((format!("setup_{name}_error"), step.error().map(item::text)));
        }
        let Change { expression, names, mut values } = Change::of(fields);
        let mut conditions = vec!["attribute_exists(tenant)"];
        if let Some((subscription, _)) = created {
            // The renewal function owns an older subscription; what this caller has read of it may be outdated.
            conditions.push("(attribute_not_exists(subscription) OR subscription = :created)");
            values.insert(":created".to_owned(), item::text(&subscription.id));
        }
        if event.is_some() {
            conditions.push("setup_attempts < :setup_attempts");
        }
        let update = Update::builder()
            .table_name(&self.tables.connections)
            .set_key(Some(key(&connection.tenant, &connection.id)))
            .update_expression(expression)
            .condition_expression(conditions.join(" AND "))
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values));
        let mut items = vec![TransactWriteItem::builder().update(complete(update.build())).build()];
        items.extend(event.map(|event| self.append(event)));
        Ok(WriteOutcome::applied_if(self.transact(items).await?.is_ok()))
    }

    /// Deletes a connection and its extension's owner, and stores the revocation of its session, in one transaction. The
    /// condition fails if the connection has changed since it was read.
    pub async fn delete_connection(
        &self,
        connection: &RemovableConnection,
        audit_entry: &AuditEntry<'_>,
        event: &Event,
    ) -> Result<WriteOutcome, StoreError> {
        let mut items = Vec::new();
        if let (Some(issuer), Some(extension)) = (&connection.issuer, &connection.extension) {
            let delete_owner = Delete::builder()
                .table_name(&self.tables.extensions)
                .key("extension", item::text(owner_key(issuer, extension)))
                .condition_expression("attribute_not_exists(extension) OR #connection = :connection")
                .expression_attribute_names("#connection", "connection")
                .expression_attribute_values(":connection", item::text(connection.id.as_str()));
            items.push(TransactWriteItem::builder().delete(complete(delete_owner.build())).build());
        }
        items.extend(self.replace_by_revocation(connection));
        items.push(self.put_audit_entry(audit_entry));
        items.push(self.append(event));
        Ok(WriteOutcome::applied_if(self.transact(items).await?.is_ok()))
    }

    /// Stores the account of a connection's extension. A conflict if the connection was deleted.
    pub async fn set_account(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        account: &str,
    ) -> Result<WriteOutcome, StoreError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(tenant, id)))
            .update_expression("SET account = :account")
            .condition_expression("attribute_exists(tenant)")
            .expression_attribute_values(":account", item::text(account));
        write_outcome(update.send().await)
    }

    /// Stores the end of RingCentral's penalty for a connection, unless a later end is stored or the connection was
    /// deleted.
    pub async fn set_rate_limited(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(tenant, id)))
            .update_expression("SET rate_limited_until = :until")
            .condition_expression(
                "attribute_exists(tenant) \
                 AND (attribute_not_exists(rate_limited_until) OR rate_limited_until < :until)",
            )
            .expression_attribute_values(":until", item::time(until));
        write_outcome(update.send().await).map(drop)
    }

    /// The items of a transaction that turn a connection into a revocation.
    fn replace_by_revocation(&self, old: &RemovableConnection) -> Vec<TransactWriteItem> {
        let delete =
            Delete::builder().table_name(&self.tables.connections).set_key(Some(key(&old.tenant, &old.id)));
        let delete = match &old.generation {
            Some(generation) => delete
                .condition_expression("generation = :generation")
                .expression_attribute_values(":generation", generation.clone()),
            None => {
                delete.condition_expression("attribute_exists(tenant) AND attribute_not_exists(generation)")
            }
        };
        let mut items = vec![TransactWriteItem::builder().delete(complete(delete.build())).build()];
        items.extend(old.revocation.as_ref().map(|revocation| self.put_revocation_item(revocation)));
        items
    }

    /// All items of a tenant in this table whose sort key begins with `prefix`.
    pub(super) async fn rows(&self, tenant: &TenantId, prefix: &str) -> Result<Vec<Row>, StoreError> {
        let query = self
            .items(&self.tables.connections, tenant, "begins_with(#item, :prefix)")
            .expression_attribute_values(":prefix", item::text(prefix));
        query::all(query).await
    }
}

fn owner_item(issuer: &str, extension: &ExtensionId, owner: &ExtensionOwner) -> Item {
    Writer::keyed([("extension", item::text(owner_key(issuer, extension)))])
        .set("tenant", item::text(owner.tenant.as_str()))
        .set("connection", item::text(owner.connection.as_str()))
        .set("connected_at", item::time(owner.connected_at))
        .done()
}

/// The prefix of the sort key.
const CONNECTION: &str = "connection#";

/// The revocation of a connection whose row cannot be read, if at least its tokens can. Unreadable expiries count as past.
fn salvage_revocation(
    tenant: &TenantId,
    id: &ConnectionId,
    row: &Row,
    now: Timestamp,
) -> Result<Revocation, StoreError> {
    let token = |token, key, expires_at| {
        Ok(SealedToken {
            token: row.ciphertext(token)?,
            key: row.ciphertext(key)?,
            expires_at: row.time(expires_at).unwrap_or(now),
        })
    };
    Ok(Revocation {
        tenant: tenant.clone(),
        connection: id.clone(),
        extension: row.extension()?,
        issuer: row.text("issuer")?.to_owned(),
        generation: row.number("generation")?,
        access: token("access_token", "access_key", "access_expires_at")?,
        refresh: token("refresh_token", "refresh_key", "refresh_expires_at")?,
        subscriptions: subscription_ids(row),
        attempts: 0,
    })
}

fn owner_key(issuer: &str, extension: &ExtensionId) -> String {
    format!("{issuer}#{extension}")
}
