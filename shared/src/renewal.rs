//! Webhook subscriptions that never lapse: once a day each is looked at and renewed, six days before it would end.
//!
//! One that is gone or was stopped is made again, with a new verification token; events that are on their way may come
//! with the old one for a while. What may have been missed meanwhile is noted for the message sync. The same look finds
//! numbers that have changed, and subscriptions of ours that nobody knows of any more.

use std::time::Duration;

use jiff::SignedDuration;

use crate::batch;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::{ACTIVE, BackfillReason, Connection, PreviousToken, Subscription};
use crate::ringcentral::subscriptions::{Subscription as Listed, SubscriptionStatus};
use crate::ringcentral::{self, Api, Kind};
use crate::setup;
use crate::store::{Checked, ClaimOutcome, DueWork, WorkKind};
use crate::tokens::{self, Failure};

/// Looks at every connection whose turn has come; one that fails does not stop the others. Gives how many were looked at.
///
/// # Errors
/// If the index can't be read.
pub async fn sweep(gateway: &Gateway) -> Result<usize> {
    let within = SignedDuration::from_millis(limits::CHECKS_MS);
    batch::drain_due(gateway, WorkKind::Renewal, limits::CHECKS_AT_ONCE, within, async |due| {
        look(gateway, due).await
    })
    .await
}

async fn look(gateway: &Gateway, due: &DueWork) -> Result<bool> {
    if gateway.store.claim_work(due).await? == ClaimOutcome::NotDue {
        return Ok(false);
    }
    let within = Duration::from_millis(limits::SETUP_IN_CALLBACK_MS);
    let look = |api, connection| look_at(gateway, api, connection, within);
    match tokens::call(gateway, &due.tenant, &due.connection, look).await {
        Ok(Some(connection)) => {
            // What its user may do can have changed with the numbers, too; the set-up's own sentence says what failed.
            if let Err(error) = setup::rediscover(gateway, &connection, within).await {
                tracing::warn!(tenant.id = %due.tenant, error = error.chain(), "numbers were not looked at");
            }
        }
        Ok(None) => {}
        Err(Failure::Ours(Error::NotConnected)) => gateway.store.complete_work(due).await?,
        Err(Failure::Ours(error)) => {
            // Its tokens are somebody else's work; this waits for them.
            let until = saturating_add(
                gateway.clock.now(),
                SignedDuration::from_secs(limits::CHECK_RETRY_MAX_SECONDS / 6),
            );
            gateway.store.postpone_work(due, until).await?;
            return Err(error);
        }
        Err(failure) => return Err(failure.into()),
    }
    Ok(true)
}

/// Looks at a connection's subscription and writes down what that came to. Gives the connection if its numbers are to be
/// looked at, too.
async fn look_at(
    gateway: &Gateway,
    api: Api,
    connection: Connection,
    within: Duration,
) -> Result<Option<Connection>, Failure> {
    // Making the first one is a part of the set-up.
    let Some(known) = connection.subscription.clone() else { return Ok(None) };
    let mut look = Look { gateway, api: &api, connection: &connection, known, gap: None };
    let found = tokio::time::timeout(within, look.check()).await.unwrap_or(Err(Failure::Timeout));
    let Look { known, gap, .. } = look;
    let checked = match &found {
        Ok(found) => {
            let due = setup::next_check(&connection, gateway.clock.now());
            Checked { subscription: found.clone(), due, gap }
        }
        Err(failure) => {
            tracing::warn!(connection.id = %connection.id, problem = failure.sentence(), "a subscription is not well");
            postponed(gateway, known, gap)
        }
    };
    let recorded = gateway.store.record_check(&connection, &checked).await?;
    let found = found?;
    if !recorded {
        // Disconnected meanwhile: nobody else knows of a new one.
        setup::unsubscribe(&api, &found.id).await?;
        return Ok(None);
    }
    Ok(Some(connection))
}

/// A look at one subscription.
struct Look<'a> {
    gateway: &'a Gateway,
    api: &'a Api,
    connection: &'a Connection,
    /// As it was, or as RingCentral shows it by now.
    known: Subscription,
    /// Why events may have been missed.
    gap: Option<BackfillReason>,
}

impl Look<'_> {
    /// Renews the subscription if it is well, makes it again if it is not.
    async fn check(&mut self) -> Result<Subscription, Failure> {
        let listed = self.api.subscriptions().await?;
        let gap = match listed.iter().find(|listed| listed.id == self.known.id) {
            None => BackfillReason::Expired,
            Some(found) if found.is_active() => {
                let ours =
                    |listed: &&Listed| listed.id != self.known.id && setup::is_ours(self.gateway, listed);
                for orphan in listed.iter().filter(ours) {
                    tracing::info!(connection.id = %self.connection.id, "a subscription that nobody knows of is deleted");
                    setup::unsubscribe(self.api, &orphan.id).await?;
                }
                match renew(self.api, &self.known).await? {
                    Some(renewed) => return Ok(renewed),
                    None => BackfillReason::Expired,
                }
            }
            Some(found) if found.status == Some(SubscriptionStatus::Blacklisted) => {
                BackfillReason::Blacklisted
            }
            Some(_) => BackfillReason::Suspended,
        };
        tracing::warn!(tenant.id = %self.connection.tenant, gap = gap.as_str(), "a subscription is made again");
        self.gap = Some(gap);
        stopped(gap).clone_into(&mut self.known.status);
        let made = setup::subscribe(self.gateway, self.api, self.connection).await?;
        let previous = PreviousToken {
            digest: self.known.token_digest.clone(),
            until: saturating_add(
                self.gateway.clock.now(),
                SignedDuration::from_secs(limits::PREVIOUS_TOKEN_SECONDS),
            ),
        };
        Ok(Subscription { previous: Some(previous), ..made })
    }
}

/// Renews a subscription. None if it is gone, or no longer delivers.
async fn renew(api: &Api, known: &Subscription) -> Result<Option<Subscription>, ringcentral::Error> {
    match api.renew_subscription(&known.id).await {
        Ok(renewed) if renewed.is_active() => Ok(Some(Subscription {
            status: ACTIVE.to_owned(),
            expires_at: renewed.expiration_time.unwrap_or(known.expires_at),
            failures: 0,
            ..known.clone()
        })),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A look that failed is repeated, with pauses that double.
fn postponed(gateway: &Gateway, known: Subscription, gap: Option<BackfillReason>) -> Checked {
    let pause = limits::CHECK_RETRY_SECONDS.saturating_mul(1 << known.failures.min(20));
    let pause = SignedDuration::from_secs(pause.min(limits::CHECK_RETRY_MAX_SECONDS));
    let failures = known.failures.saturating_add(1);
    let due = saturating_add(gateway.clock.now(), pause);
    Checked { subscription: Subscription { failures, ..known }, due, gap }
}

/// What the API shows of a subscription that is to be made again.
fn stopped(gap: BackfillReason) -> &'static str {
    match gap {
        BackfillReason::Blacklisted => "Blacklisted",
        BackfillReason::Suspended => "Suspended",
        BackfillReason::Connected | BackfillReason::Expired | BackfillReason::Recovered => "Expired",
    }
}
