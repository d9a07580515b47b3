//! What follows from an opt-out by a word that RingCentral does not know, such as REVOKE. The opt-out blocks messages as soon as it is
//! stored. The transaction that stored it also left a schedule entry with the id of the inbound message, which leads here:
//!
//! 1. The confirmation is queued, unless the tenant has switched it off. It is the only message that the opt-out does not block, and
//!    expires five minutes after the opt-out: the rules allow one until then (47 CFR 64.1200(a)(12)).
//! 2. When RingCentral has accepted the confirmation, or after these five minutes, the opt-out is written to RingCentral, which rejects
//!    messages from then on.

use jiff::{SignedDuration, Timestamp};

use super::find::{FoundMessage, find_message};
use super::worker::{DueOptOut, Worker, retry_after};
use crate::clock::saturating_add;
use crate::error::Result;
use crate::limits;
use crate::model::consent::{ConsentPair, ConsentStatus, StoredConsent};
use crate::model::ids::MessageId;
use crate::model::message::{Message, Priority};
use crate::model::phone::E164;
use crate::ringcentral::consents::{ConsentChange, OptStatus};
use crate::ringcentral::{Api, ErrorKind};
use crate::store::WriteOutcome;

/// An opt-out that is still in force.
struct OptOut {
    from: E164,
    to: E164,
    /// Until this moment a confirmation may be sent.
    confirm_until: Timestamp,
}

/// Takes the next step for each opt-out. A failure delays only this one.
pub(super) async fn run(worker: &mut Worker<'_>, api: &Api) -> Result<()> {
    for due in std::mem::take(&mut worker.opt_outs) {
        if let Err(error) = process(worker, api, &due).await {
            tracing::warn!(tenant.id = %worker.lease.tenant, message.id = %due.inbound.id, error = error.chain(),
                "opt-out could not be followed up");
            let later = SignedDuration::from_secs(limits::OPT_OUT_RETRY_SECONDS);
            postpone(worker, &due, saturating_add(worker.now(), later)).await?;
        }
    }
    Ok(())
}

/// Gives up opt-outs of a sender that is not connected. They block messages here all the same.
pub(super) async fn drop_all(worker: &mut Worker<'_>) -> Result<()> {
    for due in std::mem::take(&mut worker.opt_outs) {
        remove(worker, &due).await?;
    }
    Ok(())
}

async fn process(worker: &Worker<'_>, api: &Api, due: &DueOptOut) -> Result<()> {
    let (store, now) = (&worker.gateway.store, worker.now());
    // The recipient may have opted in again.
    let Some(opt_out) = find(worker, &due.inbound).await? else { return remove(worker, due).await };
    let is_first_step = due.at < opt_out.confirm_until && now < opt_out.confirm_until;
    if is_first_step {
        let confirmation = store.settings(&worker.lease.tenant).await?.opt_out_confirmation;
        if confirmation.enabled {
            let inbound = &due.inbound;
            let mut message = Message::outbound(
                inbound.tenant.clone(),
                inbound.extension.clone(),
                inbound.to.clone(),
                inbound.from.clone(),
                confirmation.text,
                None,
                now,
            );
            message.priority = Priority::High;
            message.expires_at = Some(opt_out.confirm_until);
            message.confirms = Some(inbound.id.clone());
            // After a conflict it is queued already.
            let _: WriteOutcome =
                store.confirm_opt_out(inbound, due.at, &message, opt_out.confirm_until).await?;
            return Ok(());
        }
    }
    write(worker, api, due, &opt_out).await
}

/// Writes the opt-out of an inbound message to RingCentral, after its confirmation was accepted. A failure is only logged: the schedule
/// entry leads here again.
pub(super) async fn write_confirmed(worker: &Worker<'_>, api: &Api, inbound: &MessageId) {
    if let Err(error) = try_write_confirmed(worker, api, inbound).await {
        tracing::warn!(tenant.id = %worker.lease.tenant, message.id = %inbound, error = error.chain(),
            "confirmed opt-out not written to RingCentral yet");
    }
}

async fn try_write_confirmed(worker: &Worker<'_>, api: &Api, inbound: &MessageId) -> Result<()> {
    let FoundMessage::Readable(inbound) = find_message(worker.gateway, &worker.lease.tenant, inbound).await?
    else {
        return Ok(());
    };
    let Some(opt_out) = find(worker, &inbound).await? else { return Ok(()) };
    let due = DueOptOut { at: opt_out.confirm_until, inbound };
    write(worker, api, &due, &opt_out).await
}

/// The opt-out by an inbound message, unless the recipient has opted in since.
async fn find(worker: &Worker<'_>, inbound: &Message) -> Result<Option<OptOut>> {
    let Some((from, to)) = E164::parse(&inbound.to).zip(E164::parse(&inbound.from)) else { return Ok(None) };
    let pair = ConsentPair::of_number(from.clone(), to.clone());
    let StoredConsent::Readable(consent) = worker.gateway.store.consent(&inbound.tenant, &pair).await? else {
        return Ok(None);
    };
    let mark = consent.state.gateway_only.filter(|mark| mark.status == ConsentStatus::OptedOut);
    let within = SignedDuration::from_secs(limits::OPT_OUT_CONFIRMATION_SECONDS);
    Ok(mark.map(|mark| OptOut { from, to, confirm_until: saturating_add(mark.at, within) }))
}

async fn write(worker: &Worker<'_>, api: &Api, due: &DueOptOut, opt_out: &OptOut) -> Result<()> {
    let change = ConsentChange {
        from: opt_out.from.to_string(),
        to: opt_out.to.to_string(),
        opt_status: OptStatus::OptOut,
    };
    match api.update_consents(&[change]).await {
        Ok(failed) => {
            for failed in failed {
                tracing::warn!(tenant.id = %worker.lease.tenant, message.id = %due.inbound.id, error.code = failed.error.code,
                    "opt-out rejected by RingCentral");
            }
            remove(worker, due).await
        }
        Err(error) => {
            let is_final = matches!(
                error.kind(),
                ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Refused
            );
            let give_up = saturating_add(
                opt_out.confirm_until,
                SignedDuration::from_secs(limits::OPT_OUT_GIVE_UP_SECONDS),
            );
            tracing::warn!(tenant.id = %worker.lease.tenant, message.id = %due.inbound.id, error = %error,
                "opt-out could not be written to RingCentral");
            if is_final || worker.now() >= give_up {
                return remove(worker, due).await;
            }
            let wait = SignedDuration::try_from(retry_after(&error)).unwrap_or(SignedDuration::ZERO);
            let wait = wait.max(SignedDuration::from_secs(limits::OPT_OUT_RETRY_SECONDS));
            // Not before that moment: an earlier entry would lead to a confirmation.
            postpone(worker, due, saturating_add(worker.now(), wait).max(opt_out.confirm_until)).await
        }
    }
}

async fn remove(worker: &Worker<'_>, due: &DueOptOut) -> Result<()> {
    let (store, inbound) = (&worker.gateway.store, &due.inbound);
    Ok(store.remove_scheduled(&inbound.tenant, &inbound.extension, (due.at, &inbound.id)).await?)
}

async fn postpone(worker: &Worker<'_>, due: &DueOptOut, until: Timestamp) -> Result<()> {
    if until != due.at {
        // After a conflict it is postponed already.
        let _: WriteOutcome = worker.gateway.store.postpone_opt_out(&due.inbound, due.at, until).await?;
    }
    Ok(())
}
