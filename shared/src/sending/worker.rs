//! The worker of a sender: what `dispatch` and `reconcile` work with while they hold the sender's lease.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

use crate::clock::saturating_add;
use crate::error::Result;
use crate::gateway::Gateway;
use crate::limits;
use crate::model::ids::MessageId;
use crate::ringcentral::{self, Retry};
use crate::store::SenderLease;
use crate::tokens::UsableToken;

pub(super) struct Worker<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) lease: &'a SenderLease,
    pub(super) started: Instant,
    pub(super) token: Option<UsableToken>,
}

impl Worker<'_> {
    /// Tries a message that cannot be read again later, so that it does not hold up the others.
    pub(super) async fn hold_unreadable(&self, id: &MessageId) -> Result<()> {
        let later = SignedDuration::from_secs(limits::UNREADABLE_RETRY_SECONDS);
        let until = saturating_add(self.gateway.clock.now(), later);
        let (tenant, extension) = (&self.lease.tenant, &self.lease.extension);
        Ok(self.gateway.store.hold_unreadable(tenant, extension, id, until).await?)
    }
}

/// The wait that RingCentral requests.
pub(super) fn retry_after(error: &ringcentral::Error) -> Duration {
    if let Retry::After(wait) = error.retry() { wait } else { Duration::ZERO }
}
