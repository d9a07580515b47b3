//! Reconciliation: looking up in RingCentral's message store whether a part whose response was lost was sent.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};

use super::find::{FoundMessage, find_message};
use super::wake;
use super::worker::{Worker, retry_after};
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::ids::MessageId;
use crate::model::media::media_type;
use crate::model::message::{Message, PartStage};
use crate::model::phone::{self, E164};
use crate::model::sender::{
    self, AmbiguousPart, PartContent, Remaining, SenderState, UncorrelatedRecord, reconcile_at,
};
use crate::ringcentral::{self, Api, Direction, ErrorKind, MessageQuery};
use crate::store::{Correlation, PendingIn, StoreError, StoredRecord, WriteOutcome};
use crate::tokens::{self, CallError};

/// A message to reconcile, with the part whose response was lost.
struct Ambiguous {
    message: Message,
    index: usize,
    part: AmbiguousPart,
}

/// Reconciles the sender's messages that are due. If RingCentral cannot be queried at present, the sender's state says when
/// to try again, and sending continues. Without a connection it can never be queried: then the outcome is unknown.
pub(super) async fn run(
    worker: &Worker<'_>,
    sender: &mut SenderState,
    reconciling: &[MessageId],
) -> Result<()> {
    let store = &worker.gateway.store;
    let tenant = &worker.lease.tenant;
    let now = worker.gateway.clock.now();
    if sender.reconcile_after.is_some_and(|at| at > now) {
        return Ok(());
    }
    let mut due = Vec::new();
    for id in reconciling {
        let message = match find_message(worker.gateway, tenant, id).await? {
            FoundMessage::Readable(message) => message,
            FoundMessage::Absent => {
                store.remove_orphan(tenant, &worker.lease.extension, id).await?;
                continue;
            }
            FoundMessage::Unreadable => {
                worker.hold_unreadable(id).await?;
                continue;
            }
        };
        match ambiguous(&message) {
            Some((_, part)) if reconcile_at(part.submitted_at) > now => {}
            Some((index, part)) => due.push(Ambiguous { message, index, part }),
            // Its outcome is known; only the entry was left behind.
            None => {
                let from = Some(PendingIn::Reconciling);
                // On a conflict, the next run deletes the entry.
                let _: WriteOutcome = store.move_message(&message, message.status, from, None).await?;
            }
        }
    }
    if due.is_empty() {
        return Ok(());
    }
    let records = match query_records(worker, &due).await? {
        QueryOutcome::Records(records) => records,
        QueryOutcome::RetryAfter(wait) => {
            let at = saturating_add(now, SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX));
            sender.reconcile_after = Some(at);
            let delay = i32::try_from(wait.as_secs()).unwrap_or(i32::MAX).saturating_add(1);
            wake(worker.gateway, tenant, &worker.lease.extension, delay).await;
            return Ok(());
        }
    };
    // A worker that crashed may have correlated a record with one of the parts already.
    let (mut correlated, mut ids, mut candidates) = (HashMap::new(), Vec::new(), Vec::new());
    for (rc_id, record) in records {
        match store.record(tenant, &worker.lease.extension, &rc_id).await {
            Ok(Some(StoredRecord { part: Some(part), .. })) => {
                correlated.insert(part, rc_id);
            }
            Ok(_) => {
                ids.push(rc_id);
                candidates.push(record);
            }
            // It may be correlated with any message.
            Err(StoreError::Damaged(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut unmatched = Vec::new();
    for Ambiguous { message, index, part } in due {
        match correlated.remove(&(message.id.clone(), index)) {
            Some(rc_id) => save(worker, message, index, Some(&rc_id)).await?,
            None => unmatched.push(Ambiguous { message, index, part }),
        }
    }
    let parts: Vec<AmbiguousPart> = unmatched.iter().map(|ambiguous| ambiguous.part.clone()).collect();
    let matches = sender::match_records(&parts, &candidates);
    for (Ambiguous { message, index, .. }, found) in unmatched.into_iter().zip(matches) {
        let rc_id = found.and_then(|found| ids.get(found)).map(String::as_str);
        save(worker, message, index, rc_id).await?;
    }
    Ok(())
}

/// The part of a message whose response was lost, with its index.
fn ambiguous(message: &Message) -> Option<(usize, AmbiguousPart)> {
    let index = message.parts.iter().position(|part| part.stage == PartStage::Submitted)?;
    let submitted_at = message.parts.get(index)?.submitted_at?;
    let text = message.part_text(index).to_owned();
    let types = message.media.iter().filter_map(|file| file.content_type.as_deref());
    let (from, to) = (message.from.clone(), message.to.clone());
    let content = PartContent { from, to, text, media: media_types(types) };
    Some((index, AmbiguousPart { content, submitted_at }))
}

enum QueryOutcome {
    /// Records with the content of one of the parts, by RingCentral's id.
    Records(Vec<(String, UncorrelatedRecord)>),
    /// RingCentral cannot be queried for this long.
    RetryAfter(Duration),
}

async fn query_records(worker: &Worker<'_>, due: &[Ambiguous]) -> Result<QueryOutcome> {
    let none = Ok(QueryOutcome::Records(Vec::new()));
    let Some(token) = &worker.token else { return none };
    let query = |api, _| async move { Ok(records(&api, due).await?) };
    let failure = match tokens::call(worker.gateway, &worker.lease.tenant, &token.connection.id, query).await
    {
        Ok(records) => return Ok(QueryOutcome::Records(records)),
        Err(failure) => failure,
    };
    for Ambiguous { message, .. } in due {
        tracing::warn!(tenant.id = %message.tenant, extension.id = %message.extension,
            message.id = %message.id, error = failure.reason(), "reconciliation query failed");
    }
    let blocked = Duration::from_secs(limits::SENDER_BLOCKED_RETRY_SECONDS.unsigned_abs());
    match &failure {
        CallError::RingCentral(error) => match error.kind() {
            // A retry would fail the same way.
            ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Refused => none,
            _ => Ok(QueryOutcome::RetryAfter(retry_after(error).max(blocked))),
        },
        CallError::Gateway(Error::NotConnected) => none,
        _ => Ok(QueryOutcome::RetryAfter(blocked)),
    }
}

async fn records(api: &Api, due: &[Ambiguous]) -> ringcentral::Result<Vec<(String, UncorrelatedRecord)>> {
    let Some(first) = due.iter().map(|ambiguous| ambiguous.part.submitted_at).min() else {
        return Ok(Vec::new());
    };
    let since: Timestamp = first.saturating_sub(SignedDuration::from_secs(60)).unwrap_or(first);
    let mut query = MessageQuery::sms(Direction::Outbound, since);
    query.per_page = Some(1_000);
    let records: Vec<ringcentral::Message> = api.messages(&query).try_collect().await?;
    let read = |record: ringcentral::Message| {
        let to = record.to.first().filter(|_| record.to.len() == 1)?.phone_number.clone()?;
        let from = phone::address(record.from.as_ref()?.phone_number.as_deref()?, None);
        let to = phone::address(&to, E164::parse(&from).as_ref());
        let media = media_types(record.media().map(|file| file.content_type.as_deref().unwrap_or_default()));
        let content = PartContent { from, to, text: record.text.unwrap_or_default(), media };
        let created_at = record.creation_time?;
        Some((record.id.to_string(), UncorrelatedRecord { content, created_at }))
    };
    let all = records.into_iter().filter_map(read);
    let is_wanted = |record: &UncorrelatedRecord| due.iter().any(|one| one.part.content == record.content);
    Ok(all.filter(|(_, record)| is_wanted(record)).collect())
}

/// The media types of a message's files, sorted. RingCentral may report another name of a type.
fn media_types<'a>(types: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name = |text: &str| media_type(text).map_or_else(|| text.to_owned(), |known| known.name.to_owned());
    let mut types: Vec<String> = types.map(name).collect();
    types.sort_unstable();
    types
}

/// Saves the result for one part: the id of its record, or `None` if there is none.
async fn save(worker: &Worker<'_>, mut message: Message, part: usize, rc_id: Option<&str>) -> Result<()> {
    let store = &worker.gateway.store;
    let now = worker.gateway.clock.now();
    let correlation = match rc_id {
        Some(rc_id) => store.correlate_record(&message, part, rc_id).await?,
        None => Correlation::Taken,
    };
    let previous_status = message.status;
    let rc_id = rc_id.filter(|_| correlation != Correlation::Taken);
    let remaining = sender::apply_reconciliation(&mut message, part, rc_id, now);
    if let Correlation::Correlated(Some(report)) = &correlation {
        message.apply_delivery_report(part, report, now);
    }
    let to = (remaining == Remaining::Parts).then_some(PendingIn::Outbox);
    let from = Some(PendingIn::Reconciling);
    // On a conflict, the next run repeats the reconciliation.
    if store.move_message(&message, previous_status, from, to).await? == WriteOutcome::Applied {
        tracing::info!(tenant.id = %message.tenant, extension.id = %message.extension,
            message.id = %message.id, part, found = rc_id.is_some(), message.status = message.status.as_str(),
            "message reconciled");
    }
    Ok(())
}
