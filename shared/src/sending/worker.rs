//! The worker of a sender: what `dispatch` and `reconcile` work with while they hold the sender's lease.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::ids::{ConnectionId, MessageId, TenantId};
use crate::ringcentral::{self, Retry};
use crate::store::{SenderLease, WorkKind, WriteOutcome};
use crate::tokens::UsableToken;

pub(super) struct Worker<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) lease: &'a SenderLease,
    pub(super) started: Instant,
    pub(super) token: Option<UsableToken>,
}

/// The connection of a sender.
#[derive(Debug, Clone)]
pub struct SenderConnection {
    pub tenant: TenantId,
    pub connection: ConnectionId,
}

impl Worker<'_> {
    /// `None` if the extension is not connected any more.
    pub(super) async fn sender_connection(&self) -> Result<Option<SenderConnection>> {
        let connection = match &self.token {
            Some(token) => Ok(token.connection.id.clone()),
            None => self.connection().await,
        };
        match connection {
            Ok(connection) => Ok(Some(SenderConnection { tenant: self.lease.tenant.clone(), connection })),
            Err(Error::NotConnected) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tries a message that cannot be read again later, so that it does not hold up the others.
    pub(super) async fn hold_unreadable(&self, id: &MessageId) -> Result<()> {
        let later = SignedDuration::from_secs(limits::UNREADABLE_RETRY_SECONDS);
        let until = saturating_add(self.gateway.clock.now(), later);
        let (tenant, extension) = (&self.lease.tenant, &self.lease.extension);
        Ok(self.gateway.store.hold_unreadable(tenant, extension, id, until).await?)
    }

    /// Makes the connection's message sync due within the interval of an active connection. Usually it is, which the row
    /// that was read with the token shows. A failure is only logged: the sync then comes later.
    pub(super) async fn sync_while_active(&mut self) {
        let now = self.gateway.clock.now();
        let Some(UsableToken { connection, .. }) = &mut self.token else { return };
        let by = self.gateway.config.sync_intervals.next_while_active(&connection.id, now);
        if connection.sync_due.is_none_or(|due| due <= by) {
            return;
        }
        let (store, tenant) = (&self.gateway.store, &self.lease.tenant);
        match store.make_due_by(WorkKind::Sync, tenant, &connection.id, by).await {
            // After a conflict it is due earlier.
            Ok(WriteOutcome::Applied | WriteOutcome::Conflict) => connection.sync_due = Some(by),
            Err(error) => {
                let error = Error::from(error);
                tracing::warn!(tenant.id = %tenant, connection.id = %connection.id, error = error.chain(),
                    "message sync of a sender could not be requested");
            }
        }
    }
}

/// The wait that RingCentral requests.
pub(super) fn retry_after(error: &ringcentral::Error) -> Duration {
    if let Retry::After(wait) = error.retry() { wait } else { Duration::ZERO }
}

/// Rounded down: the worker sleeps for the rest.
pub(super) fn whole_seconds(now: Timestamp, at: Timestamp) -> i32 {
    i32::try_from(at.duration_since(now).as_secs()).unwrap_or(0).max(0)
}

/// When the sender's worker runs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextRun {
    /// Nothing is pending.
    WhenWoken,
    /// Messages are pending, and this run's time is over.
    Now,
    /// Messages are pending and can be sent from this moment on.
    At(Timestamp),
}
