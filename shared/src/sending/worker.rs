//! The worker of a sender: what `dispatch` and `reconcile` work with while they hold the sender's lease.

use std::time::Duration;

use tokio::time::Instant;

use crate::gateway::Gateway;
use crate::ringcentral::{self, Retry};
use crate::store::SenderLease;
use crate::tokens::UsableToken;

pub(super) struct Worker<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) lease: &'a SenderLease,
    pub(super) started: Instant,
    pub(super) token: Option<UsableToken>,
}

/// The wait that RingCentral requests.
pub(super) fn retry_after(error: &ringcentral::Error) -> Duration {
    if let Retry::After(wait) = error.retry() { wait } else { Duration::ZERO }
}
