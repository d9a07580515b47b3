//! What is left to do: the sparse indexes `due`, `refresh`, `renewal` and `sync` over the table `connections`, one lane
//! for each kind of work.
//!
//! The row's `due_at` is the truth about when; whoever takes a piece of work moves it on first, so that two runs of the
//! sweep don't do the same. The same write asks whether RingCentral wants to hear nothing of the connection at present.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Row};
use super::{Store, StoreError, failure, is_conditional, made, query};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::ids::{ConnectionId, TenantId};

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Finish the set-up of a connection.
    Setup,
    /// End a session at RingCentral.
    Revocation,
    /// Refresh the tokens of a connection.
    Refresh,
    /// Compare the messages of a connection with RingCentral's message store.
    Sync,
    /// Erase the tokens of a connection that RingCentral has refused.
    Erasure,
    /// Look at a connection's subscription and numbers.
    Renewal,
}

impl Lane {
    /// The word in the index.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Revocation => "revocation",
            Self::Refresh => "refresh",
            Self::Sync => "sync",
            Self::Erasure => "erasure",
            Self::Renewal => "renewal",
        }
    }

    /// The index that has it, and its attributes: the lane's word, and when.
    pub(super) fn index(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Setup | Self::Revocation => ("due", "due_lane", "due_at"),
            Self::Sync => ("sync", "sync_lane", "sync_due"),
            Self::Refresh | Self::Erasure => ("refresh", "refresh_lane", "refresh_due"),
            Self::Renewal => ("renewal", "renewal_lane", "renewal_due"),
        }
    }

    /// How the rows of this lane are called.
    pub(super) fn row(self, connection: &ConnectionId) -> String {
        match self {
            Self::Setup | Self::Refresh | Self::Sync | Self::Erasure | Self::Renewal => {
                format!("connection#{connection}")
            }
            Self::Revocation => format!("revocation#{connection}"),
        }
    }
}

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The kind.
    pub lane: Lane,
    /// Whose.
    pub tenant: TenantId,
    /// Of which connection.
    pub connection: ConnectionId,
    /// Since when.
    pub at: Timestamp,
}

impl Store {
    /// What is overdue in a lane across all tenants, earliest first, at most [`limits::SWEEP_BATCH`].
    pub async fn overdue_of_all_tenants(&self, lane: Lane) -> Result<Vec<Due>, StoreError> {
        let query = self.lane(lane, Some(self.clock.now())).limit(limits::SWEEP_BATCH);
        let (rows, _) = query::page(query).await?;
        Ok(rows.iter().filter_map(|row| legible(read(lane, row))).collect())
    }

    /// Takes a piece of work: nobody else finds it for the next two minutes. False if somebody else was faster, it is done,
    /// or it is of a connection that RingCentral wants to hear nothing of; then it waits for the end of that.
    pub async fn take_due(&self, due: &Due) -> Result<bool, StoreError> {
        Ok(self.take(due).await?.is_some())
    }

    /// [`Store::take_due`], with the row as it was, and until when nobody else finds it.
    pub(super) async fn take(&self, due: &Due) -> Result<Option<(Row, Timestamp)>, StoreError> {
        let now = self.clock.now();
        let until = saturating_add(now, SignedDuration::from_mins(2));
        let take = self
            .change_due(due, "SET #at = :until", Some(until))
            .condition_expression(
                "#lane = :lane AND #at = :seen AND (attribute_not_exists(quiet_until) OR quiet_until <= :now)",
            )
            .expression_attribute_values(":seen", item::time(due.at))
            .expression_attribute_values(":now", item::time(now))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match take.send().await {
            Ok(answer) => return Ok(Some((Row(answer.attributes.unwrap_or_default()), until))),
            Err(error) if is_conditional(&error) => error.into_service_error(),
            Err(error) => return Err(failure(error)),
        };
        let UpdateItemError::ConditionalCheckFailedException(refused) = error else { return Ok(None) };
        let row = Row(refused.item.unwrap_or_default());
        if let Some(quiet) = row.maybe_time("quiet_until")?.filter(|quiet| *quiet > now) {
            let put_off = self
                .change_due(due, "SET #at = :until", Some(quiet))
                .condition_expression("#lane = :lane AND #at = :seen")
                .expression_attribute_values(":seen", item::time(due.at));
            made(put_off.send().await)?;
        }
        Ok(None)
    }

    /// Says when a piece of work comes next, if it is still to be done.
    pub async fn postpone_due(&self, due: &Due, until: Timestamp) -> Result<(), StoreError> {
        let update = self.change_due(due, "SET #at = :until", Some(until));
        made(update.condition_expression("#lane = :lane").send().await).map(drop)
    }

    /// There is nothing to do any more.
    pub async fn end_due(&self, due: &Due) -> Result<(), StoreError> {
        let update = self.change_due(due, "REMOVE #lane, #at", None);
        made(update.condition_expression("#lane = :lane").send().await).map(drop)
    }

    /// Makes a connection's work of a lane due now. False if it is due already, or was done or given up meanwhile.
    pub async fn make_due(
        &self,
        lane: Lane,
        tenant: &TenantId,
        connection: &ConnectionId,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let due = Due { lane, tenant: tenant.clone(), connection: connection.clone(), at: now };
        let update = self.change_due(&due, "SET #at = :until", Some(now));
        made(update.condition_expression("#lane = :lane AND #at > :until").send().await)
    }

    /// Writes down until when RingCentral wants to hear nothing of a connection.
    pub async fn keep_quiet(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(super::connections::key(tenant, connection)))
            .update_expression("SET quiet_until = :until")
            .condition_expression(
                "attribute_exists(tenant) AND (attribute_not_exists(quiet_until) OR quiet_until < :until)",
            )
            .expression_attribute_values(":until", item::time(until));
        made(update.send().await)
    }

    /// A lane of its index, up to a moment if there is one.
    pub(super) fn lane(&self, lane: Lane, until: Option<Timestamp>) -> QueryFluentBuilder {
        let (index, of, at) = lane.index();
        let query = self
            .db
            .query()
            .table_name(&self.tables.connections)
            .index_name(index)
            .expression_attribute_names("#lane", of)
            .expression_attribute_values(":lane", item::text(lane.as_str()));
        match until {
            None => query.key_condition_expression("#lane = :lane"),
            Some(until) => query
                .key_condition_expression("#lane = :lane AND #at <= :until")
                .expression_attribute_names("#at", at)
                .expression_attribute_values(":until", item::time(until)),
        }
    }

    /// A change of the row of a piece of work.
    pub(super) fn change_due(
        &self,
        due: &Due,
        change: &str,
        until: Option<Timestamp>,
    ) -> UpdateItemFluentBuilder {
        let (_, of, at) = due.lane.index();
        let key = item::key(&due.tenant, &due.lane.row(&due.connection));
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key))
            .update_expression(change)
            .expression_attribute_names("#lane", of)
            .expression_attribute_names("#at", at)
            .expression_attribute_values(":lane", item::text(due.lane.as_str()));
        match until {
            None => update,
            Some(until) => update.expression_attribute_values(":until", item::time(until)),
        }
    }
}

/// A line that can be read: one that can't keeps nobody else waiting. The log tells of it, as an error: somebody has to look
/// at it.
pub(super) fn legible<T>(line: Result<T, StoreError>) -> Option<T> {
    line.inspect_err(|error| tracing::error!(error = %error, "a line of an index can't be read")).ok()
}

/// A line of a lane's index.
pub(super) fn read(lane: Lane, row: &Row) -> Result<Due, StoreError> {
    let (_, connection) = row.text("item")?.split_once('#').ok_or(StoreError::Damaged("item"))?;
    Ok(Due {
        lane,
        tenant: row.tenant()?,
        connection: ConnectionId::from_record(connection).ok_or(StoreError::Damaged("item"))?,
        at: row.time(lane.index().2)?,
    })
}
