//! What follows an attempt: counting it, and the work after a new pair is stored.

use crate::error::Error;
use crate::gateway::Gateway;
use crate::keepalive;
use crate::model::connection::{BackfillReason, Connection, ConnectionStatus};
use crate::model::refresh::RefreshRow;

/// What the metrics count of refreshing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefreshCounts {
    /// Pairs that were stored.
    pub refreshed: u32,
    /// Attempts that found a newer pair, which another attempt had stored.
    pub adopted: u32,
    /// Connections whose new pair was lost.
    pub lost: u32,
    /// Calls of the token endpoint that returned neither a pair nor a denial.
    pub unanswered: u32,
}

/// Moves the schedule of the connection. If the connection was not active before, message sync backfills. A failure of
/// either does not fail the refresh.
pub(super) async fn after_refresh(gateway: &Gateway, before: &Connection, row: &RefreshRow) {
    keepalive::move_schedule(gateway, &row.applied_to(before)).await;
    if before.status != ConnectionStatus::Active
        && let Err(error) =
            gateway.store.request_backfill(&before.tenant, &before.id, BackfillReason::Recovered).await
    {
        let error = Error::from(error);
        tracing::warn!(connection.id = %before.id, error = error.chain(), "backfill could not be requested; the next message sync follows its interval");
    }
}
