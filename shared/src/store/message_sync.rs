//! How far a connection's messages were compared with RingCentral's message store, in the connection's row.

use jiff::Timestamp;

use super::connections::key;
use super::due::Due;
use super::item::{self, Change};
use super::{Store, StoreError, made};

/// How far a comparison has come: what is before its token was stored, but for the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// RingCentral's token, where the next one goes on, and when it was asked for.
    pub token: Option<(String, Timestamp)>,
    /// What is still to be looked through.
    pub rest: Option<Rest>,
}

/// Records of the message store that were made within these bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Not before this moment.
    pub from: Timestamp,
    /// Not after this one; it moves back as they are taken in.
    pub until: Timestamp,
}

/// A comparison that was taken.
#[derive(Debug, Clone)]
pub struct TakenSync {
    /// Where it goes on.
    pub progress: Progress,
    /// How often progress was written before.
    round: u64,
    /// When it is due, unless it was asked for meanwhile.
    due: Timestamp,
}

impl Store {
    /// Takes a comparison: nobody else finds it for the next two minutes, unless it is asked for meanwhile. `None` if
    /// somebody else was faster, or it has to wait.
    pub async fn take_sync(&self, due: &Due) -> Result<Option<TakenSync>, StoreError> {
        let Some((row, due)) = self.take(due).await? else { return Ok(None) };
        let token = row.maybe_text("sync_token").zip(row.maybe_time("sync_token_at")?);
        let bounds = row.maybe_time("sync_rest_from")?.zip(row.maybe_time("sync_rest_until")?);
        let progress = Progress { token, rest: bounds.map(|(from, until)| Rest { from, until }) };
        Ok(Some(TakenSync { progress, round: row.maybe_number("sync_round")?.unwrap_or(0), due }))
    }

    /// Writes how far a comparison has come, after everything up to there was stored, and when it goes on. If it was asked
    /// for meanwhile, it stays due. False if another one has written since, which may have come less far: this one ends.
    pub async fn commit_sync(
        &self,
        due: &Due,
        taken: &mut TakenSync,
        next: Timestamp,
    ) -> Result<bool, StoreError> {
        let Progress { token, rest } = &taken.progress;
        let token = token.as_ref().map(|(token, at)| (item::text(token), item::time(*at)));
        let (token, token_at) = token.unzip();
        let fields = vec![
            ("sync_token", token),
            ("sync_token_at", token_at),
            ("sync_rest_from", rest.map(|rest| item::time(rest.from))),
            ("sync_rest_until", rest.map(|rest| item::time(rest.until))),
            ("sync_round", Some(item::number(taken.round + 1))),
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
                .expression_attribute_values(":seen", item::number(taken.round))
        };
        let due_next = [("sync_due", Some(item::time(next)))].into_iter();
        let done = rest.is_none().then_some(("sync_reason", None));
        let with_due = due_next.chain(done).chain(fields.iter().cloned()).collect();
        let on_time = write(with_due)
            .condition_expression(format!("{SAME_ROUND} AND sync_due = :taken"))
            .expression_attribute_values(":taken", item::time(taken.due));
        if made(on_time.send().await)? {
            (taken.round, taken.due) = (taken.round + 1, next);
            return Ok(true);
        }
        let committed = made(write(fields).condition_expression(SAME_ROUND).send().await)?;
        taken.round += 1;
        Ok(committed)
    }
}

/// The row is there, and no other run has written progress since this one took it.
const SAME_ROUND: &str = "attribute_exists(tenant) AND (sync_round = :seen OR (attribute_not_exists(sync_round) AND :seen = :none))";

impl Rest {
    /// Both rests, and what is between them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), until: self.until.max(other.until) }
    }
}
