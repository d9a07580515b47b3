//! Looking in RingCentral's message store for what was handed over without an answer.

use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};

use super::apply;
use super::deliver::Worker;
use crate::error::Result;
use crate::limits;
use crate::model::ids::MessageId;
use crate::model::lane::{self, Lost, Seen};
use crate::model::message::{Message, Stage};
use crate::model::rate::later;
use crate::ringcentral::{self, Direction, MessageQuery};
use crate::store::Place;

/// Looks for what is due to be looked for. Gives when to come again, if RingCentral can't be asked at present. Without a
/// connection nobody can look, ever: then its fate is unknown.
pub(super) async fn look(
    worker: &Worker<'_>,
    settling: &[MessageId],
    is_connected: bool,
) -> Result<Option<Timestamp>> {
    let (store, lease) = (&worker.gateway.store, worker.lease);
    let now = worker.gateway.clock.now();
    let settled = |at: Timestamp| later(at, SignedDuration::from_secs(limits::SETTLE_SECONDS)) <= now;
    let mut due = Vec::new();
    for id in settling {
        let Some(message) = store.message(&lease.tenant, id).await? else { continue };
        let posted = lost_part(&message).and_then(|part| message.parts.get(part)?.posted_at);
        match posted {
            Some(at) if !settled(at) => {}
            _ => due.push(message),
        }
    }
    if due.is_empty() {
        return Ok(None);
    }
    let lost: Vec<(usize, usize, Lost)> = due.iter().enumerate().filter_map(lost_of).collect();
    let records = match (worker.api()?, is_connected) {
        (Some(api), true) => match shown(&api, &lost).await {
            Ok(records) => records,
            Err(error) => {
                tracing::warn!(tenant.id = %lease.tenant, error = %error, "the message store was not shown");
                return Ok(Some(later(now, SignedDuration::from_secs(limits::LANE_OBSTACLE_SECONDS))));
            }
        },
        _ => Vec::new(),
    };
    let mut free = Vec::new();
    for (rc_id, seen) in records {
        let known = store.record(&lease.tenant, &lease.extension, &rc_id).await?;
        if known.is_none_or(|record| record.tied.is_none()) {
            free.push((rc_id, seen));
        }
    }
    let seen: Vec<Seen> = free.iter().map(|(_, seen)| seen.clone()).collect();
    let wanted: Vec<Lost> = lost.iter().map(|(_, _, lost)| lost.clone()).collect();
    for ((at, part, _), found) in lost.iter().zip(lane::find(&wanted, &seen)) {
        if let Some(message) = due.get(*at) {
            let rc_id = found.and_then(|found| free.get(found)).map(|(rc_id, _)| rc_id.as_str());
            settle(worker, message.clone(), *part, rc_id).await?;
        }
    }
    // What is settled already was only not cleared away.
    for message in due.iter().filter(|message| lost_part(message).is_none()) {
        store.move_message(message, message.status, Some(Place::Settling(now)), None).await?;
    }
    Ok(None)
}

fn lost_part(message: &Message) -> Option<usize> {
    message.parts.iter().position(|part| part.stage == Stage::Posted)
}

fn lost_of((at, message): (usize, &Message)) -> Option<(usize, usize, Lost)> {
    let part = lost_part(message)?;
    let text = message.part_text(part).to_owned();
    let same = (message.from.clone(), message.to.clone(), text);
    Some((at, part, Lost { same, at: message.parts.get(part)?.posted_at? }))
}

/// The records that may be one of them.
async fn shown(
    api: &ringcentral::Api,
    lost: &[(usize, usize, Lost)],
) -> ringcentral::Result<Vec<(String, Seen)>> {
    let Some(first) = lost.iter().map(|(_, _, lost)| lost.at).min() else { return Ok(Vec::new()) };
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
    Ok(all.filter(|(_, seen)| lost.iter().any(|(_, _, lost)| lost.same == seen.same)).collect())
}

async fn settle(worker: &Worker<'_>, mut message: Message, part: usize, rc_id: Option<&str>) -> Result<()> {
    let store = &worker.gateway.store;
    let now = worker.gateway.clock.now();
    let (mut found, mut told) = (rc_id, None);
    if let Some(rc_id) = rc_id {
        match store.tie_record(&message, part, rc_id).await? {
            Some(remembered) => told = remembered,
            None => found = None,
        }
    }
    let was = message.status;
    let goes_on = lane::looked(&mut message, part, found, now);
    let to = goes_on.then_some(Place::Outbox);
    store.move_message(&message, was, Some(Place::Settling(now)), to).await?;
    if let Some(told) = told {
        apply(worker.gateway, &message.tenant, &message.id, part, &told).await?;
    }
    Ok(())
}
