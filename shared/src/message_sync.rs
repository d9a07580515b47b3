//! Comparing with RingCentral's message store: the guarantee that nothing that came in is lost.
//!
//! RingCentral does not repeat an event that was not taken. So every connection's messages are compared every ten minutes
//! or so, and at once after trouble, from where the last comparison ended: a token of RingCentral's. A comparison that is
//! too long for one run goes on with the next one. The token is written together with the rest that is still to be looked
//! through, and the rest gets shorter only by what is stored; so a run may end anywhere.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::batch;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::Connection;
use crate::receiving;
use crate::ringcentral::{
    self, Api, Direction, Kind, Message, MessageKind, MessageQuery, SyncRequest, Synced,
};
use crate::sending;
use crate::store::{Due, Lane, Progress, Rest};
use crate::tokens::{self, Failure};

/// Compares the messages of every connection whose turn has come; one that fails does not stop the others. Gives how many
/// were compared.
///
/// # Errors
/// If the index can't be read.
pub async fn sweep(gateway: &Gateway) -> Result<usize> {
    let within = SignedDuration::from_millis(limits::SYNC_RUN_MS);
    let stop = saturating_add(gateway.clock.now(), SignedDuration::from_millis(limits::SYNC_STOP_MS));
    batch::drain_due(gateway, Lane::Sync, limits::SYNCS_AT_ONCE, within, async |due| {
        match turn(gateway, due, stop).await {
            Err(Failure::Ours(Error::NotConnected)) => {
                // A connection that comes back is compared at once.
                gateway.store.end_due(due).await?;
                Ok(true)
            }
            outcome => Ok(outcome?),
        }
    })
    .await
}

/// Compares the messages of one connection, as far as there is time until a moment.
async fn turn(gateway: &Gateway, due: &Due, stop: Timestamp) -> Result<bool, Failure> {
    let Some(mut taken) = gateway.store.take_sync(due).await? else { return Ok(false) };
    let (tenant, id) = (&due.tenant, &due.connection);
    let before = &taken.progress;
    let go_on = |api, connection: Connection| async move {
        let progress = take_news(gateway, &api, &connection, before, stop).await?;
        Ok((connection.at_its_pace(limits::SYNC_SECONDS), progress))
    };
    let (pace, progress) = tokens::call(gateway, tenant, id, go_on).await?;
    taken.progress = progress;
    for pages in 0.. {
        let rest = taken.progress.rest;
        let pause = rest.map_or(pace, |_| SignedDuration::from_secs(limits::SYNC_REST_SECONDS));
        let now = gateway.clock.now();
        let is_ours = gateway.store.commit_sync(due, &mut taken, saturating_add(now, pause)).await?;
        let Some(rest) = rest.filter(|_| is_ours && pages < limits::SYNC_PAGES && now < stop) else { break };
        let go_on = |api, connection| take_page(gateway, api, connection, rest, stop);
        taken.progress.rest = tokens::call(gateway, tenant, id, go_on).await?;
    }
    Ok(true)
}

/// Takes in what has changed since the last time. Gives how far the comparison has come then.
async fn take_news(
    gateway: &Gateway,
    api: &Api,
    connection: &Connection,
    before: &Progress,
    stop: Timestamp,
) -> Result<Progress, Failure> {
    let now = gateway.clock.now();
    let since = begin(connection, now);
    let api = api.with_timeout(Duration::from_millis(limits::SYNC_CALL_MS));
    let synced = ask(&api, since, before, now).await?;
    let older = || Rest { from: since, until: before_all(&synced.records).unwrap_or(now) };
    let older = synced.older_records_exist.then(older);
    let left = take_in(gateway, connection, &synced.records, stop).await?;
    let rest = [before.rest, older, left].into_iter().flatten().reduce(Rest::and);
    Ok(Progress { token: Some((synced.token, now)), rest })
}

/// What has changed since a token. The newest of the last days if there is none, or RingCentral does not know it any more,
/// or so much has changed that no answer holds it.
async fn ask(api: &Api, since: Timestamp, before: &Progress, now: Timestamp) -> ringcentral::Result<Synced> {
    if let Some((token, at)) = &before.token {
        let is_stale = now.duration_since(*at).as_secs() > limits::SYNC_STALE_SECONDS;
        match api.sync_messages(&SyncRequest::since(token)).await {
            Err(error) if error.needs_full_sync() || (is_stale && came_in_part(&error)) => {}
            other => return other,
        }
    }
    api.sync_messages(&SyncRequest::Full {
        date_from: since,
        date_to: None,
        direction: Vec::new(),
        kind: vec![MessageKind::Sms],
        record_count: Some(limits::SYNC_PAGE),
    })
    .await
}

/// True if an answer may have been too long.
fn came_in_part(error: &ringcentral::Error) -> bool {
    matches!(error.kind(), Kind::Unreadable | Kind::Timeout | Kind::Interrupted)
}

/// Takes in the newest page of a rest. Gives what is left of it then.
async fn take_page(
    gateway: &Gateway,
    api: Api,
    connection: Connection,
    rest: Rest,
    stop: Timestamp,
) -> Result<Option<Rest>, Failure> {
    let query = MessageQuery {
        date_from: Some(rest.from),
        date_to: Some(rest.until),
        kind: vec![MessageKind::Sms],
        per_page: Some(limits::SYNC_PAGE),
        ..MessageQuery::default()
    };
    let mut page = 1;
    loop {
        let found = api.messages_page(&query, page).await?;
        if take_in(gateway, &connection, &found.records, stop).await?.is_some() {
            return Ok(Some(rest));
        }
        if !found.has_next() {
            return Ok(None);
        }
        match before_all(&found.records).filter(|until| *until < rest.until) {
            Some(until) => return Ok(Some(Rest { until, ..rest })),
            // A whole page of one moment.
            None => page += 1,
        }
    }
}

/// Where older records than these are looked for. RingCentral's times may be cut to seconds, and its bounds exclusive: a
/// second is looked through twice.
fn before_all(records: &[Message]) -> Option<Timestamp> {
    let oldest = records.iter().filter_map(|record| record.creation_time).min()?;
    Some(saturating_add(oldest, SignedDuration::from_secs(1)))
}

/// From when on messages are ours to tell: since the extension was connected, and not for longer than what is remembered
/// of messages that came in before.
fn begin(connection: &Connection, now: Timestamp) -> Timestamp {
    let back = now.saturating_sub(SignedDuration::from_secs(limits::SYNC_BACK_SECONDS)).unwrap_or(now);
    connection.connected_at.max(back)
}

/// Takes in what records tell: first the texts to us that no event has brought, from the oldest on, then what became of
/// those from us. Gives what was left when the time was over.
async fn take_in(
    gateway: &Gateway,
    connection: &Connection,
    records: &[Message],
    stop: Timestamp,
) -> Result<Option<Rest>> {
    let (tenant, extension) = (&connection.tenant, &connection.extension);
    let is_over = || gateway.clock.now() >= stop;
    let mut inbound: Vec<&Message> = records.iter().filter(|record| receiving::is_inbound(record)).collect();
    let ids: Vec<String> = inbound.iter().map(|record| record.id.to_string()).collect();
    let tied = gateway.store.tied_records(tenant, extension, &ids).await?;
    inbound.retain(|record| !tied.contains(&record.id.to_string()));
    inbound.sort_by_key(|record| record.creation_time);
    let (mut left, mut found) = (Vec::new(), 0);
    // One after the other: each is stored under a condition on the connection's row, where they would meet.
    for record in inbound {
        if is_over() {
            left.push(record);
        } else if receiving::take_late(gateway, connection, record).await? {
            found += 1;
        }
    }
    if found > 0 {
        tracing::info!(tenant.id = %tenant, connection.id = %connection.id, found, "messages were found by comparing");
        // Perhaps no event comes any more: whoever renews the subscription looks at it now, not within a day.
        gateway.store.make_due(Lane::Renewal, tenant, &connection.id).await?;
    }
    let outbound = records.iter().filter(|record| record.direction == Some(Direction::Outbound));
    let noted = stream::iter(outbound).map(async |record| {
        if is_over() {
            return Ok(Some(record));
        }
        sending::note_record(gateway, tenant, extension, record).await.map(|_| None)
    });
    let noted: Vec<_> = noted.buffer_unordered(limits::RECORDS_AT_ONCE).try_collect::<Vec<_>>().await?;
    left.extend(noted.into_iter().flatten());
    let now = gateway.clock.now();
    let bounds = left.into_iter().map(|record| match record.creation_time {
        Some(at) => Rest { from: at, until: saturating_add(at, SignedDuration::from_secs(1)) },
        None => Rest { from: begin(connection, now), until: now },
    });
    Ok(bounds.reduce(Rest::and))
}
