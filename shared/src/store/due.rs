//! Pending work: the sparse index `due` of the tables `connections`, `deliveries` and `messages`, and the indexes `refresh`,
//! `renewal` and `sync` of the table `connections`. Each kind of work has one partition of its index per shard.
//!
//! Work on a connection has an entry for each piece of work.
//! The row's due time is authoritative. A run claims a piece of work by moving the due time on, so that two runs of the
//! sweep do not do the same work. The same write checks that the connection is not rate-limited.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Item, Row, Writer};
use super::{Store, StoreError, WriteOutcome, failure, is_conditional, made, query};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::shard::Shard;
use crate::model::string_enum::string_enum;

string_enum! {
    /// A kind of pending work.
    pub enum WorkKind {
        /// Finish the set-up of a connection.
        Setup = "setup",
        /// Revoke a session at RingCentral.
        Revocation = "revocation",
        /// Refresh a connection's tokens.
        Refresh = "refresh",
        /// Sync a connection's messages with RingCentral's message store.
        Sync = "sync",
        /// Erase the tokens of a connection whose refresh token RingCentral has rejected.
        Erasure = "erasure",
        /// Check a connection's subscription and numbers.
        Renewal = "renewal",
        /// Erase a deleted tenant.
        Deletion = "deletion",
        /// Deliver an event to an app.
        Delivery = "delivery",
        /// Wake the worker of a sender.
        Send = "send",
    }
}

/// An index of pending work and its key attributes.
pub(super) struct WorkIndex {
    pub name: &'static str,
    /// Holds the partition of the [`WorkKind`] and the shard.
    pub kind: &'static str,
    /// Holds the due time.
    pub due: &'static str,
}

impl WorkKind {
    pub(super) fn index(self) -> WorkIndex {
        let (name, kind, due) = match self {
            Self::Setup | Self::Revocation | Self::Deletion | Self::Delivery | Self::Send => {
                ("due", "work_kind", "due_at")
            }
            Self::Sync => ("sync", "sync_kind", "sync_due"),
            Self::Refresh | Self::Erasure => ("refresh", "refresh_kind", "refresh_due"),
            Self::Renewal => ("renewal", "renewal_kind", "renewal_due"),
        };
        WorkIndex { name, kind, due }
    }

    /// The name of the item that holds this kind of work on a connection.
    pub(super) fn item_name(self, connection: &ConnectionId) -> String {
        let kind = if self == Self::Revocation { "revocation" } else { "connection" };
        format!("{kind}#{connection}")
    }

    /// The partition of the index that holds work of this kind on something with this id.
    pub(super) fn partition_of(self, id: &str) -> AttributeValue {
        item::text(Shard::of(id).partition(self.as_str()))
    }

    /// [`WorkKind::partition_of`] a connection.
    pub(super) fn partition(self, connection: &ConnectionId) -> AttributeValue {
        self.partition_of(connection.as_str())
    }
}

/// A piece of work on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWork {
    pub kind: WorkKind,
    pub tenant: TenantId,
    pub connection: ConnectionId,
    /// The due time that was read. A claim expects it unchanged.
    pub due_at: Timestamp,
}

/// Which work a run claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Work that is due, if no other run has claimed it.
    IfUnclaimed,
    /// Work that may not be due, or that another run may have claimed.
    Always,
}

/// The work exists, and RingCentral does not limit the connection's calls.
const MAY_CALL: &str =
    "begins_with(#kind, :kind) AND (attribute_not_exists(rate_limited_until) OR rate_limited_until <= :now)";

#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The caller does the work; no other run finds it for two minutes.
    Claimed,
    /// Another run has claimed or done it, or the connection is rate-limited: then it is due when the penalty ends.
    NotDue,
}

impl Store {
    /// True if a shard has work of this kind that is due.
    pub async fn is_work_of_all_tenants_due(&self, kind: WorkKind, shard: Shard) -> Result<bool, StoreError> {
        let (rows, _) = query::page(self.query_work(kind, shard, Some(self.clock.now())).limit(1)).await?;
        Ok(!rows.is_empty())
    }

    /// Overdue work of one kind on connections of all tenants in a shard, earliest first, at most [`limits::SWEEP_BATCH`].
    pub async fn overdue_of_all_tenants(
        &self,
        kind: WorkKind,
        shard: Shard,
    ) -> Result<Vec<DueWork>, StoreError> {
        let query = self.query_work(kind, shard, Some(self.clock.now())).limit(limits::SWEEP_BATCH);
        let (mut overdue, mut from) = (Vec::new(), None);
        // Unreadable entries are made due later. Those of one page must not hide the next page.
        for _ in 0..limits::DUE_PAGES {
            let (rows, last) = query::page(query.clone().set_exclusive_start_key(from)).await?;
            for row in &rows {
                match read(kind, row) {
                    Ok(due) => overdue.push(due),
                    Err(error) => self.pass_work(kind, row, &error).await,
                }
            }
            from = last.map(|last| last.0);
            if from.is_none() || !overdue.is_empty() {
                break;
            }
        }
        Ok(overdue)
    }

    /// Makes an entry that cannot be read due later.
    pub(super) async fn pass_work(&self, kind: WorkKind, row: &Row, error: &StoreError) {
        let index = kind.index();
        let key_is_readable = |row: &Row| row.tenant().is_ok() && connection_in(row).is_ok();
        let table = &self.tables.connections;
        self.pass_index_entry(table, (index.kind, index.due), row, key_is_readable, error).await;
    }

    /// Claims a piece of work.
    pub async fn claim_work(&self, due: &DueWork) -> Result<ClaimOutcome, StoreError> {
        let claimed = self.claim_row(due, Claim::IfUnclaimed).await?;
        Ok(claimed.map_or(ClaimOutcome::NotDue, |_| ClaimOutcome::Claimed))
    }

    /// [`Store::claim_work`]; returns the row as it was and when the claim ends, `None` if it is not due.
    pub(super) async fn claim_row(
        &self,
        due: &DueWork,
        claim: Claim,
    ) -> Result<Option<(Row, Timestamp)>, StoreError> {
        let now = self.clock.now();
        let until = saturating_add(now, SignedDuration::from_mins(2));
        let write = self.update_work(due, "SET #due = :until", Some(until));
        let write = match claim {
            Claim::IfUnclaimed => write
                .condition_expression(format!("{MAY_CALL} AND #due = :seen"))
                .expression_attribute_values(":seen", item::time(due.due_at)),
            Claim::Always => write.condition_expression(MAY_CALL),
        };
        let claim = write
            .expression_attribute_values(":now", item::time(now))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match claim.send().await {
            Ok(answer) => return Ok(Some((Row(answer.attributes.unwrap_or_default()), until))),
            Err(error) if is_conditional(&error) => error.into_service_error(),
            Err(error) => return Err(failure(error)),
        };
        let UpdateItemError::ConditionalCheckFailedException(refused) = error else { return Ok(None) };
        let row = Row(refused.item.unwrap_or_default());
        let limited_until = row.maybe_time("rate_limited_until");
        let limited_until = self.checked(&self.tables.connections, &row, limited_until)?;
        if let Some(until) = limited_until.filter(|until| *until > now) {
            let postpone = self
                .update_work(due, "SET #due = :until", Some(until))
                .condition_expression("begins_with(#kind, :kind) AND #due = :seen")
                .expression_attribute_values(":seen", item::time(due.due_at));
            made(postpone.send().await)?;
        }
        Ok(None)
    }

    /// Sets when a piece of work is due next. Does nothing if it was completed meanwhile.
    pub async fn postpone_work(&self, due: &DueWork, until: Timestamp) -> Result<(), StoreError> {
        let update = self.update_work(due, "SET #due = :until", Some(until));
        made(update.condition_expression("begins_with(#kind, :kind)").send().await).map(drop)
    }

    /// Removes a piece of work from its index.
    pub async fn complete_work(&self, due: &DueWork) -> Result<(), StoreError> {
        let update = self.update_work(due, "REMOVE #kind, #due", None);
        made(update.condition_expression("begins_with(#kind, :kind)").send().await).map(drop)
    }

    /// Makes a connection's work due now. A conflict if it is due already, or no longer exists.
    pub async fn make_due(
        &self,
        kind: WorkKind,
        tenant: &TenantId,
        connection: &ConnectionId,
    ) -> Result<WriteOutcome, StoreError> {
        self.make_due_by(kind, tenant, connection, self.clock.now()).await
    }

    /// Makes a connection's work due at this time. A conflict if it is due earlier, or no longer exists.
    pub async fn make_due_by(
        &self,
        kind: WorkKind,
        tenant: &TenantId,
        connection: &ConnectionId,
        at: Timestamp,
    ) -> Result<WriteOutcome, StoreError> {
        let due = DueWork { kind, tenant: tenant.clone(), connection: connection.clone(), due_at: at };
        let update = self.update_work(&due, "SET #due = :until", Some(at));
        let written = update.condition_expression("begins_with(#kind, :kind) AND #due > :until").send().await;
        made(written).map(WriteOutcome::applied_if)
    }

    /// A query for the work of one kind in a shard, earliest first; with `until`, for the work that is due by then. Eventually
    /// consistent, as every query of an index.
    pub(super) fn query_work(
        &self,
        kind: WorkKind,
        shard: Shard,
        until: Option<Timestamp>,
    ) -> QueryFluentBuilder {
        let index = kind.index();
        let table = match kind {
            WorkKind::Delivery => &self.tables.deliveries,
            WorkKind::Send => &self.tables.messages,
            _ => &self.tables.connections,
        };
        let query = self
            .db
            .query()
            .table_name(table)
            .index_name(index.name)
            .expression_attribute_names("#kind", index.kind)
            .expression_attribute_values(":kind", item::text(shard.partition(kind.as_str())));
        match until {
            None => query.key_condition_expression("#kind = :kind"),
            Some(until) => query
                .key_condition_expression("#kind = :kind AND #due <= :until")
                .expression_attribute_names("#due", index.due)
                .expression_attribute_values(":until", item::time(until)),
        }
    }

    /// A page of a pass over the overdue work of a shard; `after` is the [`position`] at which the previous page ended.
    pub(super) fn pass_over_work(
        &self,
        kind: WorkKind,
        shard: Shard,
        after: Option<&str>,
    ) -> QueryFluentBuilder {
        self.query_work(kind, shard, Some(self.clock.now()))
            .limit(limits::PASS_PAGE)
            .set_exclusive_start_key(after.and_then(|after| key_at(kind, shard, after)))
    }

    /// A page of all work of a kind in a shard, whenever it is due, and the [`position`] at which it ended, if there may be more.
    pub(super) async fn page_of_work(
        &self,
        kind: WorkKind,
        shard: Shard,
        after: Option<&str>,
    ) -> Result<(Vec<Row>, Option<String>), StoreError> {
        let start = after.and_then(|after| key_at(kind, shard, after));
        let query = self.query_work(kind, shard, None).limit(limits::PASS_PAGE);
        let (rows, last) = query::page(query.set_exclusive_start_key(start)).await?;
        Ok((rows, last.as_ref().and_then(|last| position(kind, last))))
    }

    /// An update of the item that holds a piece of work. `expression` names the attributes `#kind` and `#due`, and the value
    /// `:until`. `:kind` is the beginning of the partition: the kind of work in any shard.
    pub(super) fn update_work(
        &self,
        due: &DueWork,
        expression: &str,
        until: Option<Timestamp>,
    ) -> UpdateItemFluentBuilder {
        let index = due.kind.index();
        let key = item::key(&due.tenant, &due.kind.item_name(&due.connection));
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key))
            .update_expression(expression)
            .expression_attribute_names("#kind", index.kind)
            .expression_attribute_names("#due", index.due)
            .expression_attribute_values(":kind", item::text(format!("{}#", due.kind.as_str())));
        match until {
            None => update,
            Some(until) => update.expression_attribute_values(":until", item::time(until)),
        }
    }
}

/// The position of an index entry: `<due>/<tenant>/<item>`.
pub(super) fn position(kind: WorkKind, row: &Row) -> Option<String> {
    let due = row.0.get(kind.index().due)?.as_n().ok()?;
    Some(format!("{due}/{}/{}", row.maybe_text("tenant")?, row.maybe_text("item")?))
}

/// The key of the index entry at a [`position`].
fn key_at(kind: WorkKind, shard: Shard, position: &str) -> Option<Item> {
    let mut parts = position.splitn(3, '/');
    let (due, tenant, name) = (parts.next()?, parts.next()?, parts.next()?);
    let index = kind.index();
    let key = Writer::default()
        .set("tenant", item::text(tenant))
        .set("item", item::text(name))
        .set(index.kind, item::text(shard.partition(kind.as_str())))
        .set(index.due, item::number(due));
    Some(key.done())
}

/// Reads an index entry.
pub(super) fn read(kind: WorkKind, row: &Row) -> Result<DueWork, StoreError> {
    let (tenant, connection) = (row.tenant()?, connection_in(row)?);
    Ok(DueWork { kind, tenant, connection, due_at: row.time(kind.index().due)? })
}

/// The connection in the sort key of its item, or of its revocation.
fn connection_in(row: &Row) -> Result<ConnectionId, StoreError> {
    let (_, connection) = row.text("item")?.split_once('#').ok_or(StoreError::Damaged("item"))?;
    ConnectionId::from_record(connection).ok_or(StoreError::Damaged("item"))
}
