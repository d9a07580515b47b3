//! What follows from a keyword that RingCentral does not know, such as REVOKE or `START!`. An opt-out blocks messages as soon as it is
//! stored. The transaction that stored the consent also left a schedule entry with the id of the inbound message, which leads here.
//!
//! An opt-out:
//!
//! 1. The confirmation is queued, unless the tenant has switched it off, or RingCentral knows of the opt-out and would reject it. It is the
//!    only message that the opt-out does not block, and expires five minutes after it: the rules allow one until then
//!    (47 CFR 64.1200(a)(12)).
//! 2. When RingCentral has accepted the confirmation, or after these five minutes, the opt-out is written to RingCentral, which rejects
//!    messages from then on.
//!
//! An opt-in is written to RingCentral and read back: if RingCentral keeps an opt-out, messages are blocked here too.

use jiff::{SignedDuration, Timestamp};

use super::find::{FoundMessage, find_message};
use super::worker::{DueKeyword, Worker, retry_after};
use crate::clock::saturating_add;
use crate::consents;
use crate::error::Result;
use crate::limits;
use crate::model::consent::{
    ConsentPair, ConsentReport, ConsentReporter, ConsentSource, ConsentStatus, StoredConsent,
};
use crate::model::consent_keyword::{Keyword, KeywordIntent};
use crate::model::ids::MessageId;
use crate::model::message::{Message, Priority};
use crate::model::phone::E164;
use crate::ringcentral::consents::{ConsentChange, ConsentQuery, OptStatus};
use crate::ringcentral::{self, Api, ErrorKind};
use crate::store::WriteOutcome;

/// What a recipient decided, which is still in force.
struct Decision {
    status: OptStatus,
    from: E164,
    to: E164,
    /// Until this moment an opt-out may be confirmed.
    confirm_until: Timestamp,
}

/// Takes the next step for each keyword. A failure delays only this one.
pub(super) async fn run(worker: &mut Worker<'_>, api: &Api) -> Result<()> {
    for due in std::mem::take(&mut worker.keywords) {
        if let Err(error) = process(worker, api, &due).await {
            tracing::warn!(tenant.id = %worker.lease.tenant, message.id = %due.inbound.id, error = error.chain(),
                "keyword could not be followed up");
            let later = SignedDuration::from_secs(limits::OPT_OUT_RETRY_SECONDS);
            postpone(worker, &due, saturating_add(worker.now(), later)).await?;
        }
    }
    Ok(())
}

/// Gives up keywords of a sender that is not connected. Opt-outs block messages here all the same.
pub(super) async fn drop_all(worker: &mut Worker<'_>) -> Result<()> {
    for due in std::mem::take(&mut worker.keywords) {
        remove(worker, &due).await?;
    }
    Ok(())
}

async fn process(worker: &Worker<'_>, api: &Api, due: &DueKeyword) -> Result<()> {
    // The recipient may have decided otherwise since.
    let Some(decision) = find(worker, &due.inbound).await? else { return remove(worker, due).await };
    let now = worker.now();
    let may_confirm = decision.status == OptStatus::OptOut
        && due.at < decision.confirm_until
        && now < decision.confirm_until;
    if !may_confirm {
        return write(worker, api, due, &decision).await;
    }
    match status_at_ringcentral(api, &decision).await {
        Ok((ConsentStatus::OptedOut, _)) => return remove(worker, due).await,
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::RateLimited => {
            return postpone(worker, due, retry_at(worker, &error)).await;
        }
        Err(error) => {
            tracing::info!(tenant.id = %worker.lease.tenant, message.id = %due.inbound.id, error = %error,
            "RingCentral's record of an opt-out could not be read before its confirmation");
        }
    }
    let store = &worker.gateway.store;
    let confirmation = store.settings(&worker.lease.tenant).await?.opt_out_confirmation;
    if !confirmation.enabled {
        return write(worker, api, due, &decision).await;
    }
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
    message.expires_at = Some(decision.confirm_until);
    message.confirms = Some(inbound.id.clone());
    // After a conflict it is queued already.
    let _: WriteOutcome = store.confirm_opt_out(inbound, due.at, &message, decision.confirm_until).await?;
    Ok(())
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
    let Some(decision) = find(worker, &inbound).await? else { return Ok(()) };
    let due = DueKeyword { at: decision.confirm_until, inbound };
    write(worker, api, &due, &decision).await
}

/// The decision that an inbound message expresses, unless the recipient has decided otherwise since.
async fn find(worker: &Worker<'_>, inbound: &Message) -> Result<Option<Decision>> {
    let Some((from, to)) = E164::parse(&inbound.to).zip(E164::parse(&inbound.from)) else { return Ok(None) };
    let (expected, status) = match Keyword::of_message(&inbound.body).map(|keyword| keyword.intent) {
        Some(KeywordIntent::Stop) => (ConsentStatus::OptedOut, OptStatus::OptOut),
        Some(KeywordIntent::Start) => (ConsentStatus::OptedIn, OptStatus::OptIn),
        Some(KeywordIntent::Help) | None => return Ok(None),
    };
    let pair = ConsentPair::of_number(from.clone(), to.clone());
    let StoredConsent::Readable(consent) = worker.gateway.store.consent(&inbound.tenant, &pair).await? else {
        return Ok(None);
    };
    let mark = consent.state.gateway_only.filter(|mark| mark.status == expected);
    let within = SignedDuration::from_secs(limits::OPT_OUT_CONFIRMATION_SECONDS);
    Ok(mark.map(|mark| Decision { status, from, to, confirm_until: saturating_add(mark.at, within) }))
}

async fn status_at_ringcentral(
    api: &Api,
    decision: &Decision,
) -> ringcentral::Result<(ConsentStatus, Option<Timestamp>)> {
    let query = ConsentQuery {
        to: vec![decision.to.to_string()],
        per_page: Some(limits::CONSENT_SEARCH_PAGE),
        ..ConsentQuery::default()
    };
    let page = api.consents_page(&query, None).await?;
    Ok(consents::status_in(&page.records, &decision.from, &decision.to))
}

async fn write(worker: &Worker<'_>, api: &Api, due: &DueKeyword, decision: &Decision) -> Result<()> {
    match try_write(api, decision).await {
        Ok((failed, status)) => {
            for failed in failed {
                tracing::warn!(tenant.id = %worker.lease.tenant, message.id = %due.inbound.id, error.code = failed.error.code,
                    "consent rejected by RingCentral");
            }
            if decision.status == OptStatus::OptIn && status == ConsentStatus::OptedOut {
                record_kept_opt_out(worker, decision).await?;
            }
            remove(worker, due).await
        }
        Err(error) => {
            let is_final = matches!(
                error.kind(),
                ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Refused
            );
            let give_up = saturating_add(
                decision.confirm_until,
                SignedDuration::from_secs(limits::OPT_OUT_GIVE_UP_SECONDS),
            );
            tracing::warn!(tenant.id = %worker.lease.tenant, message.id = %due.inbound.id, error = %error,
                "consent could not be written to RingCentral");
            if is_final || worker.now() >= give_up {
                return remove(worker, due).await;
            }
            let again = retry_at(worker, &error);
            let again = match decision.status {
                OptStatus::OptIn => again,
                // Not before that moment: an earlier entry would lead to a confirmation.
                _ => again.max(decision.confirm_until),
            };
            postpone(worker, due, again).await
        }
    }
}

/// Writes a decision to RingCentral. Returns the records that RingCentral refused, and the status that it shows for an opt-in.
async fn try_write(
    api: &Api,
    decision: &Decision,
) -> ringcentral::Result<(Vec<ringcentral::consents::FailedConsent>, ConsentStatus)> {
    let change = ConsentChange {
        from: decision.from.to_string(),
        to: decision.to.to_string(),
        opt_status: decision.status.clone(),
    };
    let failed = api.update_consents(&[change]).await?;
    let status = match decision.status {
        OptStatus::OptIn => status_at_ringcentral(api, decision).await?.0,
        _ => ConsentStatus::Unknown,
    };
    Ok((failed, status))
}

/// RingCentral still rejects messages to this recipient, so the gateway must not accept them.
async fn record_kept_opt_out(worker: &Worker<'_>, decision: &Decision) -> Result<()> {
    let report = ConsentReport {
        status: ConsentStatus::OptedOut,
        source: ConsentSource::RingcentralSearch,
        reporter: ConsentReporter::RingCentral,
        at: worker.now(),
    };
    let pair = ConsentPair::of_number(decision.from.clone(), decision.to.clone());
    consents::record(worker.gateway, &worker.lease.tenant, &pair, &report, None).await.map(drop)
}

fn retry_at(worker: &Worker<'_>, error: &ringcentral::Error) -> Timestamp {
    let wait = SignedDuration::try_from(retry_after(error)).unwrap_or(SignedDuration::ZERO);
    saturating_add(worker.now(), wait.max(SignedDuration::from_secs(limits::OPT_OUT_RETRY_SECONDS)))
}

async fn remove(worker: &Worker<'_>, due: &DueKeyword) -> Result<()> {
    let (store, inbound) = (&worker.gateway.store, &due.inbound);
    Ok(store.remove_scheduled(&inbound.tenant, &inbound.extension, (due.at, &inbound.id)).await?)
}

async fn postpone(worker: &Worker<'_>, due: &DueKeyword, until: Timestamp) -> Result<()> {
    if until != due.at {
        // After a conflict it is postponed already.
        let _: WriteOutcome = worker.gateway.store.postpone_follow_up(&due.inbound, due.at, until).await?;
    }
    Ok(())
}
