//! The progress of message sync, in the connection's row: up to where RingCentral's message store has been read.

use jiff::Timestamp;

use super::connection_item::key;
use super::due::{Claim, DueWork};
use super::item::{self, Change, Row};
use super::{Store, StoreError, made};
use crate::model::activity::{self, Activity, SyncIntervals};
use crate::model::ids::ConnectionId;

/// The progress of a connection's sync. Every change before the sync token is stored, except for those in the backfill.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncProgress {
    /// RingCentral's sync token, from which the next sync continues, and when it was requested.
    pub token: Option<(String, Timestamp)>,
    /// What is still to be read page by page.
    pub backfill: Option<BackfillRange>,
    /// When the newest message that a sync has seen was sent or received.
    pub last_message_at: Option<Timestamp>,
    /// When the newest sent message was sent, if its delivery is not reported.
    pub undelivered_since: Option<Timestamp>,
}

/// Records of the message store that were created within these bounds, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillRange {
    pub from: Timestamp,
    /// Moves back as records are stored: the newest are read first.
    pub until: Timestamp,
}

impl BackfillRange {
    /// The smallest range that contains both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), until: self.until.max(other.until) }
    }
}

/// A sync that the caller has claimed.
#[derive(Debug, Clone)]
pub struct ClaimedSync {
    pub progress: SyncProgress,
    /// When the connection's subscription and numbers are checked next.
    pub next_check: Option<Timestamp>,
    /// Incremented by every write of progress.
    revision: u64,
    /// When the connection's sync is due, unless another one was requested after the claim.
    due_at: Timestamp,
}

impl ClaimedSync {
    pub fn activity(&self, now: Timestamp) -> Activity {
        Activity::at(self.progress.last_message_at, now)
    }

    /// When the sync after one at `now` is due.
    pub fn next_sync(
        &self,
        intervals: &SyncIntervals,
        connection: &ConnectionId,
        now: Timestamp,
    ) -> Timestamp {
        let due = intervals.next_sync(connection, self.progress.last_message_at, self.next_check, now);
        self.progress.undelivered_since.map_or(due, |since| due.min(activity::follow_up(since, now)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncCommit {
    Committed,
    /// Another run has saved its progress, which may be less than this run's. This run has to end.
    Superseded,
}

impl Store {
    /// Claims a connection's sync for two minutes; a sync requested meanwhile is due earlier. `None` if another run has
    /// claimed it, or if the connection is rate-limited.
    pub async fn claim_sync(&self, due: &DueWork) -> Result<Option<ClaimedSync>, StoreError> {
        self.claim_sync_as(due, Claim::IfUnclaimed).await
    }

    /// Claims a connection's sync, due or not. Another run that has claimed it may go on: what both store is stored once, and the
    /// second one to commit ends. `None` if the connection is rate-limited.
    pub async fn claim_sync_now(&self, due: &DueWork) -> Result<Option<ClaimedSync>, StoreError> {
        self.claim_sync_as(due, Claim::Always).await
    }

    async fn claim_sync_as(&self, due: &DueWork, claim: Claim) -> Result<Option<ClaimedSync>, StoreError> {
        let Some((row, due_at)) = self.claim_row(due, claim).await? else { return Ok(None) };
        let table = &self.tables.connections;
        // Without readable progress, the sync starts anew.
        let progress = self.checked(table, &row, read_progress(&row)).unwrap_or_default();
        let revision = self.checked(table, &row, row.maybe_number("sync_revision"))?.unwrap_or(0);
        let next_check = row.maybe_time("renewal_due").ok().flatten();
        Ok(Some(ClaimedSync { progress, next_check, revision, due_at }))
    }

    /// Postpones a sync that has failed. One that was requested after the claim stays due.
    pub async fn postpone_sync(
        &self,
        due: &DueWork,
        claimed: &ClaimedSync,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let update = self
            .update_work(due, "SET #due = :until", Some(until))
            .condition_expression("begins_with(#kind, :kind) AND #due = :claimed")
            .expression_attribute_values(":claimed", item::time(claimed.due_at));
        made(update.send().await).map(drop)
    }

    /// Saves the progress of a sync, after all records up to it were stored, and when the next one is due. A sync that was
    /// requested after the claim stays due.
    pub async fn commit_sync(
        &self,
        due: &DueWork,
        claimed: &mut ClaimedSync,
        next: Timestamp,
    ) -> Result<SyncCommit, StoreError> {
        let SyncProgress { token, backfill, last_message_at, undelivered_since } = &claimed.progress;
        let token = token.as_ref().map(|(token, at)| (item::text(token), item::time(*at)));
        let (token, token_at) = token.unzip();
        let fields = vec![
            ("sync_token", token),
            ("sync_token_at", token_at),
            ("backfill_from", backfill.map(|range| item::time(range.from))),
            ("backfill_until", backfill.map(|range| item::time(range.until))),
            ("last_message_at", last_message_at.map(item::time)),
            ("undelivered_since", undelivered_since.map(item::time)),
            ("sync_revision", Some(item::number(claimed.revision + 1))),
        ];
        let write = |fields: Vec<_>| {
            let change = Change::of(fields);
            self.db
                .update_item()
                .table_name(&self.tables.connections)
                .set_key(Some(key(&due.tenant, &due.connection)))
                .update_expression(change.expression)
                .set_expression_attribute_names(Some(change.names))
                .set_expression_attribute_values(Some(change.values))
                .expression_attribute_values(":none", item::number(0))
                .expression_attribute_values(":seen", item::number(claimed.revision))
        };
        let due_next = [("sync_due", Some(item::time(next)))].into_iter();
        let completed = backfill.is_none().then_some(("sync_reason", None));
        let with_due = due_next.chain(completed).chain(fields.iter().cloned()).collect();
        let unless_requested = write(with_due)
            .condition_expression(format!("{SAME_REVISION} AND sync_due = :claimed"))
            .expression_attribute_values(":claimed", item::time(claimed.due_at));
        if made(unless_requested.send().await)? {
            (claimed.revision, claimed.due_at) = (claimed.revision + 1, next);
            return Ok(SyncCommit::Committed);
        }
        let is_committed = made(write(fields).condition_expression(SAME_REVISION).send().await)?;
        claimed.revision += 1;
        Ok(if is_committed { SyncCommit::Committed } else { SyncCommit::Superseded })
    }
}

fn read_progress(row: &Row) -> Result<SyncProgress, StoreError> {
    let token = row.maybe_text("sync_token").zip(row.maybe_time("sync_token_at")?);
    let bounds = row.maybe_time("backfill_from")?.zip(row.maybe_time("backfill_until")?);
    Ok(SyncProgress {
        token,
        backfill: bounds.map(|(from, until)| BackfillRange { from, until }),
        last_message_at: row.maybe_time("last_message_at")?,
        undelivered_since: row.maybe_time("undelivered_since")?,
    })
}

/// The row exists, and no other run has saved progress since the claim.
const SAME_REVISION: &str = "attribute_exists(tenant) AND (sync_revision = :seen OR (attribute_not_exists(sync_revision) AND :seen = :none))";
