//! Renewal of webhook subscriptions: about once a day each subscription is checked and renewed, six days before it would
//! expire. One that RingCentral grants for less than two days is renewed after half of its lifetime.
//!
//! A subscription that is gone or was stopped is replaced by a new one with a new verification token; events in transit
//! may still carry the old token for a while. A backfill by message sync covers the events that were missed. The same
//! check reads the numbers again and deletes our subscriptions that no connection uses.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::consent_sync;
use crate::due_work::{self, DueOutcome, ShardOutcome, ShardTask};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::{
    BackfillReason, Connection, PreviousVerificationToken, SUBSCRIPTION_ACTIVE, Subscription,
};
use crate::ringcentral::subscriptions::{Subscription as Listed, SubscriptionStatus};
use crate::ringcentral::{self, Api, ErrorKind};
use crate::setup;
use crate::store::{ClaimOutcome, DueWork, SubscriptionCheck, WriteOutcome};
use crate::tokens::{self, CallError};

/// Checks every connection of a shard that is due. A failure does not affect the others.
///
/// # Errors
/// If the index can't be read.
pub async fn sweep(gateway: &Gateway, task: &ShardTask) -> Result<ShardOutcome> {
    let within = SignedDuration::from_millis(limits::CHECKS_MS);
    due_work::drain(gateway, task, limits::CHECKS_AT_ONCE, within, async |due| {
        check_connection(gateway, due).await
    })
    .await
}

async fn check_connection(gateway: &Gateway, due: &DueWork) -> Result<DueOutcome> {
    if gateway.store.claim_work(due).await? == ClaimOutcome::NotDue {
        return Ok(DueOutcome::Left);
    }
    let within = Duration::from_millis(limits::SETUP_IN_CALLBACK_MS);
    let check = |api, connection| check_subscription(gateway, api, connection, within);
    match tokens::call(gateway, &due.tenant, &due.connection, check).await {
        Ok(Some(connection)) => {
            // The user's permissions may have changed together with the numbers. The set-up stores what failed.
            if let Err(error) = setup::rediscover(gateway, &connection, within).await {
                tracing::warn!(tenant.id = %due.tenant, connection.id = %due.connection, error = error.chain(), "phone numbers could not be read");
            }
            if let Err(error) = consent_sync::run(gateway, &connection, within).await {
                tracing::warn!(tenant.id = %due.tenant, connection.id = %due.connection, error = error.reason(), "consents could not be read");
            }
        }
        Ok(None) => {}
        Err(CallError::Gateway(Error::NotConnected)) => gateway.store.complete_work(due).await?,
        Err(CallError::Gateway(error)) => {
            // There is no usable token. The keepalive refreshes it; this check waits for that.
            let until = saturating_add(
                gateway.clock.now(),
                SignedDuration::from_secs(limits::CHECK_RETRY_MAX_SECONDS / 6),
            );
            gateway.store.postpone_work(due, until).await?;
            return Err(error);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(DueOutcome::Processed)
}

/// Checks a connection's subscription and stores the result. Returns the connection if its numbers are to be read again.
async fn check_subscription(
    gateway: &Gateway,
    api: Api,
    connection: Connection,
    within: Duration,
) -> Result<Option<Connection>, CallError> {
    // The set-up creates the first subscription.
    let Some(known) = connection.subscription.clone() else { return Ok(None) };
    let mut renewal = Renewal { gateway, api: &api, connection: &connection, known, backfill: None };
    let result = tokio::time::timeout(within, renewal.run()).await.unwrap_or(Err(CallError::Timeout));
    let Renewal { known, backfill, .. } = renewal;
    let check = match &result {
        Ok(subscription) => {
            let due = setup::next_check(&connection.id, subscription.expires_at, gateway.clock.now());
            SubscriptionCheck { subscription: subscription.clone(), due, backfill }
        }
        Err(error) => {
            tracing::warn!(tenant.id = %connection.tenant, connection.id = %connection.id, error = error.reason(), "webhook subscription could not be checked");
            failed_check(gateway, known, backfill)
        }
    };
    let outcome = gateway.store.record_check(&connection, &check).await?;
    let subscription = result?;
    match outcome {
        WriteOutcome::Applied => Ok(Some(connection)),
        WriteOutcome::Conflict => {
            // The connection was deleted or set up again meanwhile, so no row refers to this subscription.
            setup::unsubscribe(&api, &subscription.id).await?;
            Ok(None)
        }
    }
}

/// The renewal of one subscription.
struct Renewal<'a> {
    gateway: &'a Gateway,
    api: &'a Api,
    connection: &'a Connection,
    /// The stored subscription, with the latest status that is known.
    known: Subscription,
    /// Set if events may have been missed.
    backfill: Option<BackfillReason>,
}

impl Renewal<'_> {
    /// Renews an active subscription; replaces any other.
    async fn run(&mut self) -> Result<Subscription, CallError> {
        let listed = self.api.subscriptions().await?;
        let expected = setup::subscription_url(self.gateway, self.connection).await?;
        let reason = match listed.iter().find(|listed| listed.id == self.known.id) {
            None => BackfillReason::Expired,
            // The public URL or the key of the tag has changed.
            Some(found) if found.address().is_some_and(|address| address != expected) => {
                setup::unsubscribe(self.api, &found.id).await?;
                BackfillReason::AddressChanged
            }
            Some(found) if found.is_active() => {
                self.delete_orphans(&listed).await?;
                let now = self.gateway.clock.now();
                match renew(self.api, &self.known, now).await? {
                    Some(renewed) => return Ok(renewed),
                    None => BackfillReason::Expired,
                }
            }
            Some(found) if found.status == Some(SubscriptionStatus::Blacklisted) => {
                BackfillReason::Blacklisted
            }
            Some(_) => BackfillReason::Suspended,
        };
        tracing::warn!(tenant.id = %self.connection.tenant, connection.id = %self.connection.id, reason = reason.as_str(), "webhook subscription is not active; creating a new one");
        self.backfill = Some(reason);
        status_before_replacement(reason).clone_into(&mut self.known.status);
        let created = setup::subscribe(self.gateway, self.api, self.connection).await?;
        let previous = PreviousVerificationToken {
            digest: self.known.token_digest.clone(),
            valid_until: saturating_add(
                self.gateway.clock.now(),
                SignedDuration::from_secs(limits::PREVIOUS_TOKEN_SECONDS),
            ),
        };
        Ok(Subscription { previous: Some(previous), ..created })
    }

    /// Deletes our other subscriptions of this user, which no connection uses.
    async fn delete_orphans(&self, listed: &[Listed]) -> Result<(), CallError> {
        let of_consents = self.connection.consents.subscription.as_ref();
        for orphan in listed {
            let is_known = orphan.id == self.known.id || Some(&orphan.id) == of_consents;
            if !is_known && setup::is_ours(self.gateway, orphan) {
                tracing::info!(connection.id = %self.connection.id, "deleting unused webhook subscription");
                setup::unsubscribe(self.api, &orphan.id).await?;
            }
        }
        Ok(())
    }
}

/// Renews a subscription. Returns `None` if it no longer exists or no longer delivers events.
async fn renew(
    api: &Api,
    known: &Subscription,
    now: Timestamp,
) -> Result<Option<Subscription>, ringcentral::Error> {
    match api.renew_subscription(&known.id).await {
        Ok(renewed) if renewed.is_active() => Ok(Some(Subscription {
            status: SUBSCRIPTION_ACTIVE.to_owned(),
            expires_at: setup::subscription_expiry(&renewed, known.expires_at, now),
            failures: 0,
            ..known.clone()
        })),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The result of a failed check. The pauses between retries double.
fn failed_check(
    gateway: &Gateway,
    known: Subscription,
    backfill: Option<BackfillReason>,
) -> SubscriptionCheck {
    let pause = limits::CHECK_RETRY_SECONDS.saturating_mul(1 << known.failures.min(20));
    let pause = SignedDuration::from_secs(pause.min(limits::CHECK_RETRY_MAX_SECONDS));
    let failures = known.failures.saturating_add(1);
    let due = saturating_add(gateway.clock.now(), pause);
    SubscriptionCheck { subscription: Subscription { failures, ..known }, due, backfill }
}

/// The status that the API shows until the subscription is replaced.
fn status_before_replacement(reason: BackfillReason) -> &'static str {
    match reason {
        BackfillReason::Blacklisted => "Blacklisted",
        BackfillReason::Suspended => "Suspended",
        BackfillReason::Connected
        | BackfillReason::Expired
        | BackfillReason::AddressChanged
        | BackfillReason::Recovered => "Expired",
    }
}
