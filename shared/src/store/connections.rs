//! Connections, and which tenant has which extension.
//!
//! Table `connections`, partition `tenant`: items `connection#<id>`. Table `extensions`: one item for each extension
//! that is connected, across all tenants, with the tenant that has it. Both change in one transaction.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};

use super::due::WorkKind;
use super::item::{self, Item, Row, Writer};
use super::refresh::read_upkeep;
use super::subscriptions::{read_subscription, write_gap, write_subscription};
use super::{Store, StoreError, complete, failed, failure, made, query};
use crate::limits;
use crate::model::audit::AuditEntry;
use crate::model::connect_token::Flow;
use crate::model::connection::{
    BackfillReason, Connection, ConnectionStatus, Identity, Part, Revocation, Setup,
};
use crate::model::event::Event;
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};

/// Which tenant has an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The tenant.
    pub tenant: TenantId,
    /// Its connection.
    pub connection: ConnectionId,
    /// When the extension was first connected.
    pub connected_at: Timestamp,
}

/// A connection to be stored, with what it closes and what it replaces.
#[derive(Debug)]
pub struct NewConnection<'a> {
    /// The connection.
    pub connection: &'a Connection,
    /// The flow that it comes from.
    pub flow: &'a Flow,
    /// The claim on the extension that the caller has seen; always of the same tenant.
    pub claim: Option<&'a Claim>,
    /// The connection that it replaces, whose session is to be ended.
    pub replaces: Option<&'a Connection>,
    /// What the audit log is told.
    pub deed: AuditEntry<'a>,
    /// What the tenant's programs are told.
    pub event: Event,
}

/// What became of a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    Yes,
    /// Somebody else connected, refreshed or disconnected the extension meanwhile: look again.
    Moved,
    /// A connection came of the link already, or the flow is not in the caller's hands any more.
    LinkUsed,
    /// The tenant is suspended or gone.
    TenantUnavailable,
}

impl Store {
    /// Which tenant has an extension, whichever it is.
    pub async fn claim_of_any_tenant(
        &self,
        issuer: &str,
        extension: &ExtensionId,
    ) -> Result<Option<Claim>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.extensions).consistent_read(true);
        let answer =
            get.key("extension", item::text(claim_key(issuer, extension))).send().await.map_err(failure)?;
        let read = |row: Row| {
            Ok(Claim {
                tenant: row.tenant()?,
                connection: row.connection()?,
                connected_at: row.time("connected_at")?,
            })
        };
        answer.item.map(Row).map(read).transpose()
    }

    /// Stores a connection: the row, the claim on its extension, the end of its link and flow, and the revocation of
    /// what it replaces, in one transaction.
    pub async fn store_connection(&self, new: &NewConnection<'_>) -> Result<Stored, StoreError> {
        let connection = new.connection;
        let now = self.clock.now();
        let put_connection = Put::builder()
            .table_name(&self.tables.connections)
            .set_item(Some(connection_item(connection, now)))
            .condition_expression("attribute_not_exists(tenant)");
        let claim = Put::builder().table_name(&self.tables.extensions).set_item(Some(
            Writer::keyed([("extension", item::text(claim_key(&connection.issuer, &connection.extension)))])
                .set("tenant", item::text(connection.tenant.as_str()))
                .set("connection", item::text(connection.id.as_str()))
                .set("connected_at", item::time(connection.connected_at))
                .done(),
        ));
        let claim = match new.claim {
            None => claim.condition_expression("attribute_not_exists(extension)"),
            Some(seen) => claim
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
            TransactWriteItem::builder().put(complete(claim.build())).build(),
        ];
        if let Some(old) = new.replaces {
            items.extend(self.replace_by_revocation(old));
        }
        items.push(self.write_down(&new.deed));
        items.push(self.append(&new.event));
        Ok(match self.transact(items).await? {
            Ok(()) => Stored::Yes,
            Err(reasons) if failed(&reasons, 0) => Stored::TenantUnavailable,
            Err(reasons) if failed(&reasons, 1) || failed(&reasons, 2) => Stored::LinkUsed,
            Err(_) => Stored::Moved,
        })
    }

    /// One connection.
    pub async fn connection(
        &self,
        tenant: &TenantId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.connections).set_key(Some(key(tenant, id)));
        let answer = get.consistent_read(true).send().await.map_err(failure)?;
        answer.item.map(|row| read_connection(&Row(row))).transpose()
    }

    /// A tenant's connections, the earliest first.
    pub async fn connections(&self, tenant: &TenantId) -> Result<Vec<Connection>, StoreError> {
        let rows = self.rows(tenant, "connection#").await?;
        let mut connections = rows.iter().map(read_connection).collect::<Result<Vec<_>, _>>()?;
        connections.sort_by(|a, b| (a.connected_at, &a.extension).cmp(&(b.connected_at, &b.extension)));
        Ok(connections)
    }

    /// Writes what a set-up has found out: when it is to go on, and when the subscription that it has made is looked at.
    /// False if the connection is gone, or has got another subscription from somebody else.
    pub async fn record_setup(
        &self,
        connection: &Connection,
        due: Option<Timestamp>,
        renewal_due: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let request = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(&connection.tenant, &connection.id)));
        let mut set = Writer::default()
            .maybe("account", connection.identity.account.as_ref().map(item::text))
            .maybe("name", connection.identity.name.as_ref().map(item::text))
            .maybe("extension_number", connection.identity.extension_number.as_ref().map(item::text))
            .set("setup_attempts", item::number(connection.setup.attempts));
        for (name, part) in parts(&connection.setup) {
            set = set.set(&format!("setup_{name}"), item::text(part.as_str()));
            set = set.maybe(&format!("setup_{name}_error"), part.error().map(item::text));
        }
        let made_now = renewal_due.zip(connection.subscription.as_ref());
        let request = if let Some((at, subscription)) = made_now {
            set =
                write_gap(write_subscription(set, subscription), BackfillReason::Connected, self.clock.now())
                    .set("renewal_kind", item::text(WorkKind::Renewal.as_str()))
                    .set("renewal_due", item::time(at));
            request
                .condition_expression(
                    "attribute_exists(tenant) AND (attribute_not_exists(subscription) OR subscription = :made)",
                )
                .expression_attribute_values(":made", item::text(&subscription.id))
        } else {
            // One that was there before is its renewal's: what was read of it may be old.
            request.condition_expression("attribute_exists(tenant)")
        };
        if let Some(due) = due {
            set = set.set("work_kind", item::text(WorkKind::Setup.as_str())).set("due_at", item::time(due));
        }
        let mut remove: Vec<String> = Vec::new();
        if due.is_none() {
            remove.extend(["work_kind".to_owned(), "due_at".to_owned()]);
        }
        let without_error = parts(&connection.setup).into_iter().filter(|(_, part)| part.error().is_none());
        remove.extend(without_error.map(|(name, _)| format!("setup_{name}_error")));
        let (mut request, mut update) = (request, String::new());
        for (at, (name, value)) in set.done().into_iter().enumerate() {
            update.push_str(if at == 0 { "SET " } else { ", " });
            update.push_str(&format!("#s{at} = :s{at}"));
            request = request
                .expression_attribute_names(format!("#s{at}"), name)
                .expression_attribute_values(format!(":s{at}"), value);
        }
        for (at, name) in remove.into_iter().enumerate() {
            update.push_str(if at == 0 { " REMOVE " } else { ", " });
            update.push_str(&format!("#r{at}"));
            request = request.expression_attribute_names(format!("#r{at}"), name);
        }
        made(request.update_expression(update).send().await)
    }

    /// Gives up a connection: the row and the claim go, and the revocation of its session comes, in one transaction.
    /// False if it changed meanwhile: look again.
    pub async fn give_up_connection(
        &self,
        connection: &Connection,
        deed: &AuditEntry<'_>,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let claim = Delete::builder()
            .table_name(&self.tables.extensions)
            .key("extension", item::text(claim_key(&connection.issuer, &connection.extension)))
            .condition_expression("attribute_not_exists(extension) OR #connection = :connection")
            .expression_attribute_names("#connection", "connection")
            .expression_attribute_values(":connection", item::text(connection.id.as_str()));
        let mut items = vec![TransactWriteItem::builder().delete(complete(claim.build())).build()];
        items.extend(self.replace_by_revocation(connection));
        items.push(self.write_down(deed));
        items.push(self.append(event));
        Ok(self.transact(items).await?.is_ok())
    }

    /// The part of a transaction that puts a revocation in the place of a connection.
    fn replace_by_revocation(&self, old: &Connection) -> [TransactWriteItem; 2] {
        let delete = Delete::builder()
            .table_name(&self.tables.connections)
            .set_key(Some(key(&old.tenant, &old.id)))
            .condition_expression("generation = :generation")
            .expression_attribute_values(":generation", item::number(old.generation));
        [
            TransactWriteItem::builder().delete(complete(delete.build())).build(),
            self.put_revocation_item(&Revocation::from(old)),
        ]
    }

    /// All rows of a tenant whose name begins in a certain way.
    pub(super) async fn rows(&self, tenant: &TenantId, prefix: &str) -> Result<Vec<Row>, StoreError> {
        let query = self
            .items(&self.tables.connections, tenant, "begins_with(#item, :prefix)")
            .expression_attribute_values(":prefix", item::text(prefix));
        query::all(query).await
    }
}

pub(super) fn key(tenant: &TenantId, id: &ConnectionId) -> Item {
    item::key(tenant, &WorkKind::Setup.item_name(id))
}

fn claim_key(issuer: &str, extension: &ExtensionId) -> String {
    format!("{issuer}#{extension}")
}

fn parts(setup: &Setup) -> [(&'static str, &Part); 3] {
    [("identity", &setup.identity), ("numbers", &setup.numbers), ("subscription", &setup.subscription)]
}

fn connection_item(connection: &Connection, now: Timestamp) -> Item {
    let due = now.saturating_add(SignedDuration::from_secs(limits::SETUP_GRACE_SECONDS)).unwrap_or(now);
    let mut item = Writer(key(&connection.tenant, &connection.id))
        .set("connection", item::text(connection.id.as_str()))
        .set("extension", item::text(connection.extension.as_str()))
        .set("issuer", item::text(&connection.issuer))
        .set("generation", item::number(connection.generation))
        .set("status", item::text(connection.status.as_str()))
        .sealed("access", &connection.access)
        .sealed("refresh", &connection.refresh)
        .set("scope", item::text(&connection.scope))
        .set("connected_at", item::time(connection.connected_at))
        .set("authorized_at", item::time(connection.authorized_at))
        .maybe("account", connection.identity.account.as_ref().map(item::text))
        .maybe("name", connection.identity.name.as_ref().map(item::text))
        .maybe("extension_number", connection.identity.extension_number.as_ref().map(item::text))
        .set("setup_attempts", item::number(connection.setup.attempts))
        .set("work_kind", item::text(WorkKind::Setup.as_str()))
        .set("due_at", item::time(due))
        .set("sync_kind", item::text(WorkKind::Sync.as_str()))
        .set("sync_due", item::time(due))
        .set("sync_reason", item::text(BackfillReason::Connected.as_str()))
        .set("refresh_kind", item::text(WorkKind::Refresh.as_str()))
        .maybe("status_since", connection.upkeep.since.map(item::time))
        .maybe("refresh_due", connection.upkeep.due.map(item::time))
        .maybe("rate_limited_until", connection.rate_limited_until.map(item::time));
    for (name, part) in parts(&connection.setup) {
        item = item.set(&format!("setup_{name}"), item::text(part.as_str()));
    }
    item.done()
}

/// A connection as its row has it.
pub(super) fn read_connection(row: &Row) -> Result<Connection, StoreError> {
    let part = |status: &'static str, error: &str| -> Result<Part, StoreError> {
        Ok(match row.text(status)? {
            "done" => Part::Done,
            "failed" => Part::Failed(row.maybe_text(error).unwrap_or_default()),
            _ => Part::Pending,
        })
    };
    Ok(Connection {
        tenant: row.tenant()?,
        id: row.connection()?,
        extension: row.extension()?,
        issuer: row.text("issuer")?.to_owned(),
        generation: row.number("generation")?,
        status: ConnectionStatus::parse(row.text("status")?).ok_or(StoreError::Damaged("status"))?,
        access: row.access()?,
        refresh: row.refresh()?,
        scope: row.text("scope")?.to_owned(),
        connected_at: row.time("connected_at")?,
        authorized_at: row.time("authorized_at")?,
        identity: Identity {
            account: row.maybe_text("account"),
            name: row.maybe_text("name"),
            extension_number: row.maybe_text("extension_number"),
        },
        setup: Setup {
            identity: part("setup_identity", "setup_identity_error")?,
            numbers: part("setup_numbers", "setup_numbers_error")?,
            subscription: part("setup_subscription", "setup_subscription_error")?,
            attempts: row.number("setup_attempts")?,
        },
        subscription: read_subscription(row)?,
        upkeep: read_upkeep(row)?,
        rate_limited_until: row.maybe_time("rate_limited_until")?,
    })
}
