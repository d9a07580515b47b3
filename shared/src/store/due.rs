//! What is left to do: the sparse indexes `due`, `refresh`, `renewal` and `sync` over the table `connections`, one lane
//! for each kind of work.
//!
//! The row's `due_at` is the truth about when; whoever takes a piece of work moves it on first, so that two runs of the
//! sweep don't do the same.

use super::item::{self, Row};
use super::{Store, StoreError, failure, made};
use crate::limits;
use crate::model::ids::{ConnectionId, TenantId};
use jiff::{SignedDuration, Timestamp};

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
        let (index, of, at) = lane.index();
        let answer = self
            .db
            .query()
            .table_name(&self.tables.connections)
            .index_name(index)
            .key_condition_expression("#lane = :lane AND #at <= :now")
            .expression_attribute_names("#lane", of)
            .expression_attribute_names("#at", at)
            .expression_attribute_values(":lane", item::text(lane.as_str()))
            .expression_attribute_values(":now", item::time(self.clock.now()))
            .limit(limits::SWEEP_BATCH)
            .send()
            .await
            .map_err(failure)?;
        answer.items.unwrap_or_default().into_iter().map(|row| read(lane, &Row(row))).collect()
    }

    /// Takes a piece of work: nobody else finds it for the next two minutes. False if somebody else was faster or it is
    /// done.
    pub async fn take_due(&self, due: &Due) -> Result<bool, StoreError> {
        let until = self.clock.now().saturating_add(SignedDuration::from_mins(2)).unwrap_or(due.at);
        let key = item::key(&due.tenant, &due.lane.row(&due.connection));
        let (_, of, at) = due.lane.index();
        let taken = self
            .db
            .update_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key))
            .update_expression("SET #at = :until")
            .condition_expression("#lane = :lane AND #at = :seen")
            .expression_attribute_names("#lane", of)
            .expression_attribute_names("#at", at)
            .expression_attribute_values(":lane", item::text(due.lane.as_str()))
            .expression_attribute_values(":seen", item::time(due.at))
            .expression_attribute_values(":until", item::time(until))
            .send()
            .await;
        made(taken)
    }
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
