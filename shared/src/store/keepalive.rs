//! Keeping connections alive, across all tenants: the index `refresh`, which has a line for every connection that can be
//! used, with what is to be known of it without reading it.

use jiff::Timestamp;

use super::due::{DueWork, WorkKind, skip_unreadable};
use super::item::{self, Row};
use super::{Store, StoreError, made, query};
use crate::limits;
use crate::model::connection::{ACTIVE, ConnectionStatus};
use crate::model::ids::{ConnectionId, TenantId};

/// A connection's line in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub connection: ConnectionId,
    /// When it is refreshed next.
    pub due: Timestamp,
    /// When its refresh token ends.
    pub expires_at: Timestamp,
    /// True if refreshing fails at present, or RingCentral has refused once.
    pub failing: bool,
    /// Since when a call of the token endpoint has no known outcome.
    pub intent_since: Option<Timestamp>,
    /// True if it has no subscription that delivers events.
    pub subscription_down: bool,
}

impl Store {
    /// Connections across all tenants that are overdue to be refreshed: up to [`limits::SWEEP_OVERDUE`] of the longest
    /// overdue, of these what expires first first.
    pub async fn overdue_refreshes_of_all_tenants(&self) -> Result<Vec<Kept>, StoreError> {
        let mut overdue = self.lines(Some(self.clock.now()), limits::SWEEP_OVERDUE).await?;
        overdue.sort_by_key(|kept| kept.expires_at);
        Ok(overdue)
    }

    /// Every connection across all tenants that can be used.
    pub async fn kept_of_all_tenants(&self) -> Result<Vec<Kept>, StoreError> {
        self.lines(None, usize::MAX).await
    }

    async fn lines(&self, until: Option<Timestamp>, most: usize) -> Result<Vec<Kept>, StoreError> {
        let rows = query::up_to(most, self.query_work(WorkKind::Refresh, until)).await?;
        Ok(rows.iter().filter_map(|row| skip_unreadable(read(row))).take(most).collect())
    }

    /// Connections across all tenants that need a new authorization, while their tokens are kept.
    pub async fn revoked_of_all_tenants(&self) -> Result<Vec<DueWork>, StoreError> {
        let rows = query::all(self.query_work(WorkKind::Erasure, None)).await?;
        Ok(rows.iter().filter_map(|row| skip_unreadable(super::due::read(WorkKind::Erasure, row))).collect())
    }

    /// Puts an overdue refresh off that fails on our side. False if somebody has got further with it meanwhile.
    pub async fn postpone_refresh(&self, kept: &Kept, until: Timestamp) -> Result<bool, StoreError> {
        let due = DueWork {
            kind: WorkKind::Refresh,
            tenant: kept.tenant.clone(),
            connection: kept.connection.clone(),
            due_at: kept.due,
        };
        let update = self
            .update_work(&due, "SET #due = :until", Some(until))
            .condition_expression("#kind = :kind AND #due = :seen")
            .expression_attribute_values(":seen", item::time(due.due_at));
        made(update.send().await)
    }
}

fn read(row: &Row) -> Result<Kept, StoreError> {
    let due = super::due::read(WorkKind::Refresh, row)?;
    Ok(Kept {
        tenant: due.tenant,
        connection: due.connection,
        due: due.due_at,
        expires_at: row.time("refresh_expires_at")?,
        failing: row.text("status")? == ConnectionStatus::RefreshFailed.as_str()
            || row.maybe_time("denied_at")?.is_some(),
        intent_since: row.maybe_time("intent_since")?,
        subscription_down: row.maybe_text("subscription_status").as_deref() != Some(ACTIVE),
    })
}
