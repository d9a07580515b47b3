//! Message sync: synchronizes each connection with RingCentral's message store, so that no inbound message is lost.
//!
//! RingCentral does not repeat an event that was not accepted. So every connection is synced at once after a failure, and
//! otherwise at intervals that follow its activity ([`SyncIntervals`](crate::model::activity::SyncIntervals)), from
//! RingCentral's sync token on. What does not fit into one response or one run becomes the backfill, a range of time that is
//! read page by page. Token and backfill are saved together, and the backfill shrinks only by what is stored: a run may end
//! at any point.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::due_work::{self, DueOutcome, ShardOutcome, ShardTask};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::activity::Activity;
use crate::model::connection::Connection;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::quarantine::QuarantineKind;
use crate::model::refresh::TokenPriority;
use crate::quarantine;
use crate::receiving::{self, MissedMessage, RecordRole};
use crate::ringcentral::{
    self, Api, ErrorKind, Message, MessageKind, MessageQuery, Records, SyncRequest, SyncResult, events,
};
use crate::sending;
use crate::store::{BackfillRange, ClaimedSync, DueWork, SyncCommit, SyncProgress, WorkKind};
use crate::tokens::{self, CallError};

/// Syncs every connection of a shard that is due; one that fails does not stop the others.
///
/// # Errors
/// If the index cannot be read.
pub async fn sweep(gateway: &Gateway, task: &ShardTask) -> Result<ShardOutcome> {
    let within = SignedDuration::from_millis(limits::SYNC_RUN_MS);
    let stop = saturating_add(gateway.clock.now(), SignedDuration::from_millis(limits::SYNC_STOP_MS));
    due_work::drain(gateway, task, limits::SYNCS_AT_ONCE, within, async |due| {
        match sync_connection(gateway, due, stop).await {
            Err(CallError::Gateway(Error::NotConnected)) => {
                // Authorizing again makes the sync due.
                gateway.store.complete_work(due).await?;
                Ok(DueOutcome::Processed)
            }
            outcome => Ok(outcome?),
        }
    })
    .await
}

/// Syncs a connection whether its sync is due or not, because messages were sent and their statuses are likely to have changed.
/// A failure is only logged: the sync is due within the interval of an active connection.
pub async fn sync_now(gateway: &Gateway, tenant: &TenantId, connection: &ConnectionId) {
    let now = gateway.clock.now();
    let due =
        DueWork { kind: WorkKind::Sync, tenant: tenant.clone(), connection: connection.clone(), due_at: now };
    let stop = saturating_add(now, SignedDuration::from_millis(limits::STATUS_SYNC_MS));
    let synced = async {
        match gateway.store.claim_sync_now(&due).await? {
            Some(claimed) => sync_claimed(gateway, &due, claimed, stop).await,
            None => Ok(()),
        }
    };
    if let Err(error) = synced.await {
        tracing::warn!(tenant.id = %tenant, connection.id = %connection, error = error.reason(),
            "statuses of sent messages could not be read");
    }
}

/// Syncs one connection, as far as possible until `stop`.
async fn sync_connection(gateway: &Gateway, due: &DueWork, stop: Timestamp) -> Result<DueOutcome, CallError> {
    match gateway.store.claim_sync(due).await? {
        Some(claimed) => sync_claimed(gateway, due, claimed, stop).await.map(|()| DueOutcome::Processed),
        None => Ok(DueOutcome::Left),
    }
}

async fn sync_claimed(
    gateway: &Gateway,
    due: &DueWork,
    mut claimed: ClaimedSync,
    stop: Timestamp,
) -> Result<(), CallError> {
    let result = run_sync(gateway, due, &mut claimed, stop).await;
    if result.is_err() && claimed.activity(gateway.clock.now()) != Activity::Active {
        // The claim ends in two minutes, which is too often for the many idle connections if RingCentral is down. One whose
        // tokens are refreshed again is due at once.
        let next = gateway.config.sync_intervals.next_while_active(&due.connection, gateway.clock.now());
        gateway.store.postpone_sync(due, &claimed, next).await?;
    }
    result
}

async fn run_sync(
    gateway: &Gateway,
    due: &DueWork,
    claimed: &mut ClaimedSync,
    stop: Timestamp,
) -> Result<(), CallError> {
    let (tenant, id) = (&due.tenant, &due.connection);
    let before = &*claimed;
    let sync = |api, connection: Connection| async move {
        sync_changes(gateway, &api, &connection, before, stop).await
    };
    claimed.progress = tokens::call_with_priority(gateway, TokenPriority::Low, tenant, id, sync).await?;
    for pages in 0.. {
        let backfill = claimed.progress.backfill;
        let now = gateway.clock.now();
        let next = match backfill {
            Some(_) => saturating_add(now, SignedDuration::from_secs(limits::BACKFILL_INTERVAL_SECONDS)),
            None => claimed.next_sync(&gateway.config.sync_intervals, id, now),
        };
        let commit = gateway.store.commit_sync(due, claimed, next).await?;
        let may_continue = commit == SyncCommit::Committed && pages < limits::BACKFILL_PAGES && now < stop;
        let Some(range) = backfill.filter(|_| may_continue) else { break };
        let backfill = |api, connection| backfill_page(gateway, api, connection, range, stop);
        claimed.progress.backfill = tokens::call(gateway, tenant, id, backfill).await?;
    }
    Ok(())
}

/// Stores what has changed since the last sync. Returns the progress after it.
async fn sync_changes(
    gateway: &Gateway,
    api: &Api,
    connection: &Connection,
    claimed: &ClaimedSync,
    stop: Timestamp,
) -> Result<SyncProgress, CallError> {
    let now = gateway.clock.now();
    let before = &claimed.progress;
    let since = sync_start(connection, now);
    let api = api.with_timeout(Duration::from_millis(limits::SYNC_CALL_MS));
    let is_stale = before.token.as_ref().is_some_and(|(_, at)| {
        let due = claimed.next_sync(&gateway.config.sync_intervals, &connection.id, *at);
        now > saturating_add(due, SignedDuration::from_secs(limits::SYNC_STALE_SECONDS))
    });
    let synced = request_changes(&api, since, before, is_stale).await?;
    let older =
        || BackfillRange { from: since, until: continue_before(&synced.records, since).unwrap_or(now) };
    let older = synced.older_records_exist.then(older);
    let unstored = store_records(gateway, connection, &synced.records, stop).await?;
    let backfill = [before.backfill, older, unstored].into_iter().flatten().reduce(BackfillRange::union);
    let token = synced.token.map(|token| (token, now)).or_else(|| before.token.clone());
    let last_message_at = last_message_at(&synced.records, now).max(before.last_message_at);
    let undelivered_since = undelivered_since(&synced.records, before.undelivered_since);
    Ok(SyncProgress { token, backfill, last_message_at, undelivered_since })
}

/// When the newest sent message was sent, unless its delivery is reported.
fn undelivered_since(records: &[Message], before: Option<Timestamp>) -> Option<Timestamp> {
    let sent = records.iter().filter(|record| receiving::role(record, None) == RecordRole::Outbound);
    let (mut newest, mut is_reported) = (before, false);
    for record in sent {
        let at = record.creation_time;
        if at >= newest {
            (newest, is_reported) = (at, sending::is_final(record));
        }
    }
    newest.filter(|_| !is_reported)
}

/// When the newest of these messages was sent or received.
fn last_message_at(records: &[Message], now: Timestamp) -> Option<Timestamp> {
    let messages = records.iter().filter(|record| receiving::role(record, None) != RecordRole::Irrelevant);
    messages
        .filter_map(|record| record.creation_time.or(record.last_modified_time))
        .map(|at| at.min(now))
        .max()
}

/// Requests the changes since the sync token. Requests the newest records since `since` if there is no token, if RingCentral
/// does not know it any more, or if the changes do not fit into a response, which is assumed after failing for a while
/// (`is_stale`).
async fn request_changes(
    api: &Api,
    since: Timestamp,
    before: &SyncProgress,
    is_stale: bool,
) -> ringcentral::Result<SyncResult> {
    if let Some((token, _)) = &before.token {
        match api.sync_messages(&SyncRequest::since(token)).await {
            // An incremental sync has no other parameter that RingCentral could reject.
            Err(error) if error.needs_full_sync() || is_verdict(&error) => {
                tracing::info!(error = %error, "sync token rejected; full sync");
            }
            Err(error) if is_stale && may_be_too_large(&error) => {}
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

/// True if RingCentral, or the client itself, has rejected the parameters of the call.
fn is_verdict(error: &ringcentral::Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Refused)
}

/// True if the call may have failed because the response is too large.
fn may_be_too_large(error: &ringcentral::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unreadable | ErrorKind::Timeout | ErrorKind::Interrupted)
}

/// Stores the newest page of a backfill. Returns what is left of the range.
async fn backfill_page(
    gateway: &Gateway,
    api: Api,
    connection: Connection,
    range: BackfillRange,
    stop: Timestamp,
) -> Result<Option<BackfillRange>, CallError> {
    let query = MessageQuery {
        date_from: Some(range.from),
        date_to: Some(range.until),
        kind: vec![MessageKind::Sms],
        per_page: Some(limits::SYNC_PAGE),
        ..MessageQuery::default()
    };
    let mut page = 1;
    loop {
        let found = api.messages_page(&query, page).await?;
        if store_records(gateway, &connection, &found.records, stop).await?.is_some() {
            return Ok(Some(range));
        }
        if !found.has_next() {
            return Ok(None);
        }
        match continue_before(&found.records, range.from).filter(|until| *until < range.until) {
            Some(until) => return Ok(Some(BackfillRange { until, ..range })),
            None if gateway.clock.now() >= stop => return Ok(Some(range)),
            // All records of the page have the same time.
            None => page += 1,
        }
    }
}

/// The end of the range of records older than these. RingCentral may truncate times to seconds, and its bounds may be
/// exclusive: one second is read twice. A time before the start of the range is wrong, and would end the backfill.
fn continue_before(records: &[Message], from: Timestamp) -> Option<Timestamp> {
    let oldest = records.iter().filter_map(|record| record.creation_time).filter(|at| *at >= from).min()?;
    Some(saturating_add(oldest, SignedDuration::from_secs(1)))
}

/// The time from which messages are synced: when the extension was connected, but no longer ago than duplicates of stored
/// messages are recognized.
fn sync_start(connection: &Connection, now: Timestamp) -> Timestamp {
    let lookback = SignedDuration::from_secs(limits::SYNC_LOOKBACK_SECONDS);
    connection.connected_at.max(now.saturating_sub(lookback).unwrap_or(now))
}

/// Stores inbound messages that no event has brought, oldest first, then applies delivery reports of outbound messages, and
/// quarantines the records that cannot be read. Returns the range of records that were not stored before `stop`.
async fn store_records(
    gateway: &Gateway,
    connection: &Connection,
    records: &Records<Message>,
    stop: Timestamp,
) -> Result<Option<BackfillRange>> {
    let (tenant, extension) = (&connection.tenant, &connection.extension);
    let is_over = || gateway.clock.now() >= stop;
    let (mut inbound, mut outbound): (Vec<&Message>, Vec<&Message>) = (Vec::new(), Vec::new());
    let mut unusable = Vec::new();
    for record in records {
        match receiving::role(record, None) {
            RecordRole::Inbound => inbound.push(record),
            RecordRole::Outbound => outbound.push(record),
            RecordRole::Irrelevant => {}
            RecordRole::Unusable(reason) => unusable.push((reason, record)),
        }
    }
    let ids: BTreeSet<String> = inbound.iter().map(|record| record.id.to_string()).collect();
    let correlated = gateway.store.correlated_records(tenant, extension, ids).await?;
    inbound.retain(|record| !correlated.contains(&record.id.to_string()));
    inbound.sort_by_key(|record| record.creation_time);
    let (mut unstored, mut found) = (Vec::new(), 0);
    // One after another: each transaction has a condition on the connection's row, so concurrent ones would conflict.
    for record in inbound {
        if is_over() {
            unstored.push(record);
        } else if receiving::store_missed(gateway, connection, record).await? == MissedMessage::Stored {
            found += 1;
        }
    }
    if found > 0 {
        tracing::info!(tenant.id = %tenant, connection.id = %connection.id, extension.id = %extension, found,
            "message sync found missed messages");
        // Events may have stopped: check the subscription now rather than within a day.
        // A conflict means that the check is due.
        _ = gateway.store.make_due(WorkKind::Renewal, tenant, &connection.id).await?;
    }
    let reported = stream::iter(outbound).map(async |record| {
        if is_over() {
            return Ok(Some(record));
        }
        sending::apply_delivery_report(gateway, tenant, extension, record).await.map(|_| None)
    });
    let reported: Vec<_> = reported.buffer_unordered(limits::REPORTS_AT_ONCE).try_collect::<Vec<_>>().await?;
    unstored.extend(reported.into_iter().flatten());
    // Last, so that a failing quarantine delays no message.
    let kind = QuarantineKind::MessageRecord;
    quarantine::add_all(gateway, kind, connection, records.unreadable()).await?;
    for (reason, record) in unusable {
        quarantine::add_record(gateway, kind, connection, reason, record.json()).await?;
    }
    let now = gateway.clock.now();
    let ranges = unstored.into_iter().map(|record| match record.creation_time {
        Some(at) => BackfillRange { from: at, until: saturating_add(at, SignedDuration::from_secs(1)) },
        None => BackfillRange { from: sync_start(connection, now), until: now },
    });
    Ok(ranges.reduce(BackfillRange::union))
}

/// Processes a quarantined record of the message store again.
///
/// # Errors
/// [`Error::StillUnreadable`], or if the store is unavailable.
pub async fn reprocess_record(gateway: &Gateway, connection: &Connection, json: &[u8]) -> Result<()> {
    let unreadable = |reason: &str| Error::StillUnreadable { reason: reason.to_owned() };
    let record: Message = events::from_slice(json).ok_or_else(|| unreadable("the message cannot be read"))?;
    match receiving::role(&record, None) {
        RecordRole::Inbound => receiving::store_missed(gateway, connection, &record).await.map(|_| ()),
        RecordRole::Outbound => {
            let (tenant, extension) = (&connection.tenant, &connection.extension);
            sending::apply_delivery_report(gateway, tenant, extension, &record).await.map(|_| ())
        }
        RecordRole::Irrelevant => Ok(()),
        RecordRole::Unusable(reason) => Err(unreadable(reason)),
    }
}
