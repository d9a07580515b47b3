//! Looking in RingCentral's message store for what was handed over without an answer.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};

use super::dispatch::{Worker, wanted_pause};
use super::ring;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::ids::MessageId;
use crate::model::message::{Message, Stage};
use crate::model::sender::{self, Lane, Lost, Seen};
use crate::ringcentral::{self, Api, Direction, Kind, MessageQuery};
use crate::store::Place;
use crate::tokens::{self, Failure};

/// Looks for what is due to be looked for. If RingCentral can't be asked at present, the lane says when it can, and texts go
/// out all the same. Without a connection nobody can look, ever: then its fate is unknown.
pub(super) async fn look(worker: &Worker<'_>, lane: &mut Lane, settling: &[MessageId]) -> Result<()> {
    let store = &worker.gateway.store;
    let tenant = &worker.lease.tenant;
    let now = worker.gateway.clock.now();
    if lane.look_after.is_some_and(|at| at > now) {
        return Ok(());
    }
    let settled =
        |at: Timestamp| saturating_add(at, SignedDuration::from_secs(limits::SETTLE_SECONDS)) <= now;
    let mut due = Vec::new();
    for id in settling {
        let Some(message) = store.message(tenant, id).await? else { continue };
        match lost_part(&message).and_then(|part| message.parts.get(part)?.posted_at) {
            Some(at) if !settled(at) => {}
            Some(_) => due.push(message),
            // It was only not cleared away.
            None => {
                store.move_message(&message, message.status, Some(Place::Settling(now)), None).await?;
            }
        }
    }
    if due.is_empty() {
        return Ok(());
    }
    let lost: Vec<(usize, Lost)> = due.iter().filter_map(lost_of).collect();
    let records = match shown(worker, &lost).await? {
        Shown::Records(records) => records,
        Shown::NotBefore(wait) => {
            let at = saturating_add(now, SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX));
            lane.look_after = Some(at);
            let delay = i32::try_from(wait.as_secs()).unwrap_or(i32::MAX).saturating_add(1);
            ring(worker.gateway, tenant, &worker.lease.extension, delay).await;
            return Ok(());
        }
    };
    // A record that is tied to a lost part was found by a worker that came no further.
    let (mut own, mut free) = (HashMap::new(), Vec::new());
    for (rc_id, seen) in records {
        match store.record(tenant, &worker.lease.extension, &rc_id).await?.and_then(|record| record.tied) {
            Some(tied) => {
                own.insert(tied, rc_id);
            }
            None => free.push((rc_id, seen)),
        }
    }
    let pairs = || due.iter().zip(&lost);
    let found_before = |message: &Message, part: usize| own.get(&(message.id.clone(), part));
    let wanted: Vec<_> =
        pairs().filter(|(message, (part, _))| found_before(message, *part).is_none()).collect();
    let asked: Vec<Lost> = wanted.iter().map(|(_, (_, lost))| lost.clone()).collect();
    let seen: Vec<Seen> = free.iter().map(|(_, seen)| seen.clone()).collect();
    for ((message, (part, _)), found) in wanted.into_iter().zip(sender::find(&asked, &seen)) {
        let rc_id = found.and_then(|found| free.get(found)).map(|(rc_id, _)| rc_id.as_str());
        settle(worker, message.clone(), *part, rc_id).await?;
    }
    for (message, (part, _)) in pairs() {
        if let Some(rc_id) = found_before(message, *part) {
            settle(worker, message.clone(), *part, Some(rc_id)).await?;
        }
    }
    Ok(())
}

fn lost_part(message: &Message) -> Option<usize> {
    message.parts.iter().position(|part| part.stage == Stage::Posted)
}

fn lost_of(message: &Message) -> Option<(usize, Lost)> {
    let part = lost_part(message)?;
    let text = message.part_text(part).to_owned();
    let same = (message.from.clone(), message.to.clone(), text);
    Some((part, Lost { same, at: message.parts.get(part)?.posted_at? }))
}

/// What RingCentral's message store has to show.
enum Shown {
    /// The records that may be one of the lost parts.
    Records(Vec<(String, Seen)>),
    /// It can't be asked for so long.
    NotBefore(Duration),
}

async fn shown(worker: &Worker<'_>, lost: &[(usize, Lost)]) -> Result<Shown> {
    let nothing = Ok(Shown::Records(Vec::new()));
    let Some(usable) = &worker.usable else { return nothing };
    let ask = |api, _| async move { Ok(records(&api, lost).await?) };
    let failure = match tokens::call(worker.gateway, &worker.lease.tenant, &usable.connection.id, ask).await {
        Ok(records) => return Ok(Shown::Records(records)),
        Err(failure) => failure,
    };
    tracing::warn!(tenant.id = %worker.lease.tenant, why = failure.sentence(), "the message store was not shown");
    let obstacle = Duration::from_secs(limits::LANE_OBSTACLE_SECONDS.unsigned_abs());
    match &failure {
        Failure::RingCentral(error) => match error.kind() {
            // It never will be shown to us.
            Kind::Forbidden | Kind::NotFound | Kind::Invalid | Kind::Refused => nothing,
            _ => Ok(Shown::NotBefore(wanted_pause(error).max(obstacle))),
        },
        Failure::Ours(Error::NotConnected) => nothing,
        _ => Ok(Shown::NotBefore(obstacle)),
    }
}

async fn records(api: &Api, lost: &[(usize, Lost)]) -> ringcentral::Result<Vec<(String, Seen)>> {
    let Some(first) = lost.iter().map(|(_, lost)| lost.at).min() else { return Ok(Vec::new()) };
    let since = first.saturating_sub(SignedDuration::from_secs(60)).unwrap_or(first);
    let mut query = MessageQuery::sms(Direction::Outbound, since);
    query.per_page = Some(1_000);
    let records: Vec<ringcentral::Message> = api.messages(&query).try_collect().await?;
    let read = |record: ringcentral::Message| {
        let to = record.to.first().filter(|_| record.to.len() == 1)?.phone_number.clone()?;
        let same = (record.from?.phone_number?, to, record.text.unwrap_or_default());
        Some((record.id.to_string(), Seen { same, at: record.creation_time? }))
    };
    let all = records.into_iter().filter_map(read);
    Ok(all.filter(|(_, seen)| lost.iter().any(|(_, lost)| lost.same == seen.same)).collect())
}

async fn settle(worker: &Worker<'_>, mut message: Message, part: usize, rc_id: Option<&str>) -> Result<()> {
    let store = &worker.gateway.store;
    let now = worker.gateway.clock.now();
    let tied = match rc_id {
        Some(rc_id) => store.tie_record(&message, part, rc_id).await?,
        None => None,
    };
    let was = message.status;
    let goes_on = sender::looked(&mut message, part, rc_id.filter(|_| tied.is_some()), now);
    if let Some(told) = tied.flatten() {
        message.note_part(part, &told, now);
    }
    let to = goes_on.then_some(Place::Outbox);
    store.move_message(&message, was, Some(Place::Settling(now)), to).await?;
    Ok(())
}
