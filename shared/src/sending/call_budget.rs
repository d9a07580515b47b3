//! Calls that count against the limit of a sender's messages, but are no messages.

use jiff::{SignedDuration, Timestamp};

use super::wake;
use crate::clock::saturating_add;
use crate::error::Result;
use crate::gateway::Gateway;
use crate::limits;
use crate::model::ids::{ExtensionId, TenantId};
use crate::model::secret::Secret;
use crate::store::{LeaseOutcome, LeaseUpdate, SaveOutcome, SenderLease};

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallPermit {
    /// It counts as made.
    Granted,
    /// Ask again then.
    NotBefore(Timestamp),
}

/// Counts a call of RingCentral that uses up the same limit as the extension's messages. Messages come first: the call waits while
/// one is pending, and leaves them half of the limit.
///
/// # Errors
/// If the store fails.
pub async fn take_call(gateway: &Gateway, tenant: &TenantId, extension: &ExtensionId) -> Result<CallPermit> {
    let (store, now) = (&gateway.store, gateway.clock.now());
    let busy = saturating_add(now, SignedDuration::from_secs(limits::MEDIA_COPY_BUSY_SECONDS));
    if store.outbox_head(tenant, extension).await?.is_some() {
        return Ok(CallPermit::NotBefore(busy));
    }
    let owner = Secret::random().expose().to_owned();
    let lease = SenderLease { tenant: tenant.clone(), extension: extension.clone(), owner };
    let LeaseOutcome::Acquired(mut sender) = store.lease_sender(&lease).await? else {
        return Ok(CallPermit::NotBefore(busy));
    };
    let permit = sender.take_call(now);
    let saved = store.save_sender(&lease, &sender, LeaseUpdate::Release).await?;
    // The wake-up of a message that was accepted while the lease was held had no effect.
    if store.outbox_head(tenant, extension).await?.is_some() {
        wake(gateway, tenant, extension, 0).await;
    }
    Ok(match (permit, saved) {
        (Ok(()), SaveOutcome::Saved) => CallPermit::Granted,
        (Err(at), _) => CallPermit::NotBefore(at),
        (Ok(()), SaveOutcome::LeaseLost) => CallPermit::NotBefore(busy),
    })
}
