//! Refreshing a pair of tokens: what one attempt does, as a pure function of what it has seen.
//!
//! [`step`] decides, whoever runs it does the I/O: the function in production, the model check, and the property tests
//! run the same code. [`permits`] says when a write to the row is allowed; the store writes the same conditions in
//! DynamoDB's words.
//!
//! The order that keeps the grant: everything that AWS must do comes before the call; the call is made under a lease,
//! with an intent written down; the pair is stored, if the generation has not moved, before anybody uses it.

use jiff::{SignedDuration, Timestamp};

use super::connection::{Connection, ConnectionStatus};
use super::random;
use crate::clock::saturating_add;
use crate::limits;

/// Why a connection can't be used, or not at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// RingCentral gives no usable answer.
    RingCentralUnavailable,
    /// RingCentral refuses the refresh token: the user or an administrator has taken the access away.
    RevokedByUser,
    /// The refresh token has expired.
    Expired,
    /// The answer to an earlier refresh was lost, and RingCentral no longer repeats it.
    LostRotation,
}

impl Cause {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RingCentralUnavailable => "ringcentral_unavailable",
            Self::RevokedByUser => "revoked_by_user",
            Self::Expired => "expired",
            Self::LostRotation => "lost_rotation",
        }
    }

    /// The cause behind a stored word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::RingCentralUnavailable, Self::RevokedByUser, Self::Expired, Self::LostRotation]
            .into_iter()
            .find(|cause| cause.as_str() == word)
    }
}

/// Who may call the token endpoint for a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The attempt that has it.
    pub owner: String,
    /// Until when; later than its process can live.
    pub until: Timestamp,
}

/// A call of the token endpoint whose outcome is not stored yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Intent {
    /// The attempt that makes it.
    pub id: String,
    /// Since when an outcome is missing: the first attempt's time, while none was resolved.
    pub since: Timestamp,
}

/// What a connection's row says about refreshing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Upkeep {
    /// Who may call.
    pub lease: Option<Lease>,
    /// A call whose outcome is missing.
    pub intent: Option<Intent>,
    /// The attempt that stored the present pair.
    pub writer: Option<String>,
    /// No call before this moment: RingCentral's penalty, which every call would restart.
    pub blocked_until: Option<Timestamp>,
    /// Attempts without a usable answer since the last success.
    pub failures: u32,
    /// When RingCentral first refused the present refresh token.
    pub denied_at: Option<Timestamp>,
    /// Why the status is what it is, unless it is active.
    pub cause: Option<Cause>,
    /// Since when the status is what it is.
    pub since: Option<Timestamp>,
    /// When to refresh next; the truth, whatever a schedule says.
    pub due: Option<Timestamp>,
}

/// What an attempt sees of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Counts the pairs.
    pub generation: u64,
    /// Whether the connection can be used.
    pub status: ConnectionStatus,
    /// When the access token ends.
    pub access_until: Timestamp,
    /// When the refresh token ends.
    pub refresh_until: Timestamp,
    /// The rest.
    pub upkeep: Upkeep,
}

impl From<&Connection> for Record {
    fn from(connection: &Connection) -> Self {
        Self {
            generation: connection.generation,
            status: connection.status,
            access_until: connection.access.expires_at,
            refresh_until: connection.refresh.expires_at,
            upkeep: connection.upkeep.clone(),
        }
    }
}

impl Record {
    /// A connection that this is written to.
    #[must_use]
    pub fn applied_to(&self, connection: &Connection) -> Connection {
        Connection {
            generation: self.generation,
            status: self.status,
            upkeep: self.upkeep.clone(),
            ..connection.clone()
        }
    }
}

/// What a write to the row expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    /// Takes the lease and notes the intent: generation and due moment are the ones that were read, the connection is
    /// usable, and nobody has a lease that lives. Every write of an attempt moves the due moment, so what the lease
    /// repeats of the row is what the row says: no penalty or failure that was noted meanwhile is forgotten.
    Lease,
    /// Stores the pair: the generation is the one that was read, and the connection was not given up.
    Pair,
    /// Notes how an attempt without a pair ended: the generation is the one that was read, and the lease is its own.
    End,
    /// Flags the connection as revoked: the generation is the one that was read, and the connection is usable.
    Revoked,
}

/// True if a write of an attempt may be made to a row that is there, and that the attempt has seen in this state. A row
/// that was given up permits none.
pub fn permits(write: Write, row: &Record, seen: &Record, attempt: &str, now: Timestamp) -> bool {
    let lease = row.upkeep.lease.as_ref();
    row.generation == seen.generation
        && match write {
            Write::Lease => {
                row.status.is_connected()
                    && row.upkeep.due == seen.upkeep.due
                    && lease.is_none_or(|lease| lease.until < now)
            }
            Write::Pair => true,
            Write::End => lease.is_some_and(|lease| lease.owner == attempt),
            Write::Revoked => row.status.is_connected(),
        }
}

/// Who asks, and when.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    /// The attempt's own id, random.
    pub id: &'a str,
    /// The generation that the caller has and can't use; `None` if it is simply due.
    pub stale: Option<u64>,
    /// The present moment.
    pub now: Timestamp,
    /// When the process is killed, at the latest.
    pub deadline: Timestamp,
    /// When it stops waiting for another attempt's lease.
    pub patience: Timestamp,
    /// Jitter in percent, from -20 to 20.
    pub jitter: i64,
}

impl Attempt<'_> {
    fn after(&self, seconds: i64) -> Timestamp {
        saturating_add(self.now, SignedDuration::from_millis(seconds * 10 * (100 + self.jitter)))
    }
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum State {
    /// It begins.
    Begun,
    /// It reads the row.
    Reading,
    /// It waits for another attempt.
    Waiting,
    /// It makes the data keys ready.
    Preparing(Record),
    /// It takes the lease.
    Leasing(Record),
    /// It asks whether it may call now: there is no penalty, and a share of the token endpoint is left.
    Counting(Record),
    /// It calls the token endpoint.
    Calling(Record),
    /// It stores the pair that it has got.
    Storing(Record),
    /// The pair was refused: it reads the row.
    Refused(Record),
    /// RingCentral refused the refresh token: it reads the row.
    Denied(Record, Denial),
    /// It notes how it ended, or lets go of what it has; then it is over.
    Ending(Outcome),
    /// It is over.
    Over(Outcome),
}

/// What RingCentral says of a refresh token that it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// It is too old.
    Expired,
    /// It is not good, for whatever reason.
    Refused,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// A new pair.
    Pair,
    /// No usable answer; the call may have had its effect.
    Unclear,
    /// Nothing was sent, or it surely had no effect.
    NotSent,
    /// The refresh token is refused.
    Denied(Denial),
    /// The app's own id or secret is refused: no connection is to blame.
    Misconfigured,
    /// Too many calls; none before this moment.
    Limited(Timestamp),
}

/// What an attempt is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub enum Event {
    /// Go.
    Begin,
    /// The row, if it is there.
    Found(Option<Record>),
    /// It has waited.
    Waited,
    /// Keys are there, or the call may be made.
    Ready,
    /// Keys are not to be had, or the call may not be made, before this moment. Nothing was spent.
    NotReady(Timestamp),
    /// A write was made.
    Written,
    /// A write was refused: the row is not as it expects.
    NotWritten,
    /// The answer of the token endpoint.
    Answered(Answer),
    /// The store does not answer. A write may have been made all the same.
    StoreFailed,
}

/// What an attempt wants done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub enum Effect {
    /// Read the row, consistently.
    Read,
    /// Wait a moment.
    Wait,
    /// Make the data keys ready.
    Prepare,
    /// See whether the call may be made, and count it.
    Count,
    /// Write this to the row, if it is as the write expects.
    Write(Write, Record),
    /// Call the token endpoint with the refresh token of this generation.
    Call,
    /// End the session of the pair: the connection was given up.
    Discard,
    /// Keep the pair, sealed, where it will be stored from: the store does not take it.
    Park,
    /// Nothing more.
    Finish(Outcome),
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// There is a pair that the caller does not have: of this generation.
    Generation(u64),
    /// The connection is gone, or needs a new authorization.
    NotConnected,
    /// Not now; again at this moment.
    Busy(Timestamp),
    /// The app's own id or secret is refused.
    Misconfigured,
}

/// What an attempt does after what it was told.
pub fn step(state: State, event: Event, attempt: &Attempt<'_>) -> (State, Effect) {
    match (state, event) {
        (State::Begun, Event::Begin) | (State::Waiting, Event::Waited) => (State::Reading, Effect::Read),
        (State::Reading, Event::Found(row)) => decide(row, attempt),
        (State::Preparing(row), Event::Ready) => lease(row, attempt),
        (State::Preparing(_), Event::NotReady(at)) => over(Outcome::Busy(at)),
        // Only who has the lease asks: others would use up the share of the call that they wait for, and there may be a
        // penalty since they have asked.
        (State::Leasing(row), Event::Written) => (State::Counting(row), Effect::Count),
        (State::Counting(row), Event::Ready) => call(row, attempt),
        (State::Counting(mut row), Event::NotReady(at)) => {
            row.upkeep.blocked_until = Some(at);
            let intent = row.upkeep.intent.clone();
            end(row, intent, at, Outcome::Busy(at))
        }
        // Somebody else has the lease, or the row has moved: look again.
        (State::Leasing(_), Event::NotWritten) => (State::Waiting, Effect::Wait),
        (State::Calling(row), Event::Answered(answer)) => answered(row, answer, attempt),
        (State::Storing(row), Event::Written) => over(Outcome::Generation(row.generation + 1)),
        (State::Storing(row), Event::NotWritten) => (State::Refused(row), Effect::Read),
        (State::Storing(_), Event::StoreFailed) => {
            (State::Ending(Outcome::Busy(attempt.after(RETRY_SECONDS[0]))), Effect::Park)
        }
        (State::Refused(row), Event::Found(found)) => refused(&row, found, attempt),
        (State::Refused(_), Event::StoreFailed) => {
            (State::Ending(Outcome::Busy(attempt.after(RETRY_SECONDS[0]))), Effect::Park)
        }
        (State::Denied(row, denial), Event::Found(found)) => denied(&row, found, denial, attempt),
        (State::Ending(outcome), _) => over(outcome),
        (State::Over(outcome), _) => over(outcome),
        // The store does not answer before anything was spent, or after a refusal: the lease runs out by itself.
        (_, _) => over(Outcome::Busy(attempt.after(RETRY_SECONDS[0]))),
    }
}

/// Pauses after attempts without a usable answer.
const RETRY_SECONDS: [i64; 6] = [10, 10, 30, 60, 120, 300];

fn over(outcome: Outcome) -> (State, Effect) {
    (State::Over(outcome), Effect::Finish(outcome))
}

/// What to do about a row.
fn decide(row: Option<Record>, attempt: &Attempt<'_>) -> (State, Effect) {
    let now = attempt.now;
    let Some(row) = row.filter(|row| row.status.is_connected()) else { return over(Outcome::NotConnected) };
    let has_another = attempt.stale.is_some_and(|stale| stale < row.generation);
    if attempt.stale.is_none() && row.upkeep.due.is_some_and(|due| due > now) {
        // Somebody has refreshed it since this was ordered.
        return over(Outcome::Generation(row.generation));
    }
    let is_fresh =
        saturating_add(now, SignedDuration::from_secs(limits::ACCESS_MARGIN_SECONDS)) < row.access_until;
    if has_another && is_fresh {
        return over(Outcome::Generation(row.generation));
    }
    if let Some(until) = row.upkeep.blocked_until.filter(|until| *until > now) {
        return over(Outcome::Busy(until));
    }
    // After a failure the pauses hold for everybody, or a busy tenant would call far too often.
    let pausing = row.upkeep.failures > 0 || row.upkeep.denied_at.is_some();
    if let Some(due) = row.upkeep.due.filter(|due| pausing && *due > now) {
        return over(Outcome::Busy(due));
    }
    if let Some(lease) = row.upkeep.lease.as_ref().filter(|lease| lease.until >= now) {
        if attempt.patience <= now {
            return over(Outcome::Busy(lease.until));
        }
        return (State::Waiting, Effect::Wait);
    }
    (State::Preparing(row), Effect::Prepare)
}

fn lease(mut row: Record, attempt: &Attempt<'_>) -> (State, Effect) {
    let older = row.upkeep.intent.clone();
    let before = row.clone();
    let until = saturating_add(attempt.deadline, SignedDuration::from_secs(limits::LEASE_MARGIN_SECONDS));
    row.upkeep.lease = Some(Lease { owner: attempt.id.to_owned(), until });
    // If this process dies, the sweep finds the intent as soon as the lease is over.
    row.upkeep.due = Some(until);
    row.upkeep.intent =
        Some(Intent { id: attempt.id.to_owned(), since: older.map_or(attempt.now, |older| older.since) });
    (State::Leasing(before), Effect::Write(Write::Lease, row))
}

/// The call, if there is time for it. `row` is as it was before the lease.
fn call(row: Record, attempt: &Attempt<'_>) -> (State, Effect) {
    let needed = SignedDuration::from_millis(limits::TOKEN_CALL_NEEDS_MS);
    if saturating_add(attempt.now, needed) >= attempt.deadline {
        let at = attempt.after(RETRY_SECONDS[0]);
        return end(row.clone(), row.upkeep.intent, at, Outcome::Busy(at));
    }
    (State::Calling(row), Effect::Call)
}

fn answered(row: Record, answer: Answer, attempt: &Attempt<'_>) -> (State, Effect) {
    let intent = row.upkeep.intent.clone();
    match answer {
        Answer::Pair => {
            let mut next = row.clone();
            next.generation += 1;
            next.status = ConnectionStatus::Active;
            next.upkeep = Upkeep { writer: Some(attempt.id.to_owned()), ..Upkeep::default() };
            next.upkeep.since =
                if row.status == ConnectionStatus::Active { row.upkeep.since } else { Some(attempt.now) };
            (State::Storing(row), Effect::Write(Write::Pair, next))
        }
        Answer::Unclear => {
            let mut row = row;
            let at = failed(&mut row, attempt);
            // What was sent may have had its effect: somebody has to find out.
            let since = intent.map_or(attempt.now, |older| older.since);
            end(row, Some(Intent { id: attempt.id.to_owned(), since }), at, Outcome::Busy(at))
        }
        Answer::NotSent => {
            let mut row = row;
            let at = failed(&mut row, attempt);
            end(row, intent, at, Outcome::Busy(at))
        }
        Answer::Denied(denial) => (State::Denied(row, denial), Effect::Read),
        Answer::Misconfigured => {
            let at = attempt.after(limits::MISCONFIGURED_RETRY_SECONDS);
            end(row, intent, at, Outcome::Misconfigured)
        }
        Answer::Limited(until) => {
            let mut row = row;
            row.upkeep.blocked_until = Some(until);
            if row.access_until <= attempt.now {
                unusable(&mut row, attempt);
            }
            end(row, intent, until, Outcome::Busy(until))
        }
    }
}

/// One more attempt without a usable answer: the status says so, and the pauses grow.
fn failed(row: &mut Record, attempt: &Attempt<'_>) -> Timestamp {
    let at = usize::try_from(row.upkeep.failures).unwrap_or(usize::MAX).min(RETRY_SECONDS.len() - 1);
    row.upkeep.failures += 1;
    unusable(row, attempt);
    attempt.after(RETRY_SECONDS[at])
}

fn unusable(row: &mut Record, attempt: &Attempt<'_>) {
    if row.status == ConnectionStatus::Active {
        row.status = ConnectionStatus::RefreshFailed;
        row.upkeep.since = Some(attempt.now);
    }
    row.upkeep.cause = Some(Cause::RingCentralUnavailable);
}

/// When a pair is refreshed, if nobody needs it before: at half of the refresh token's life, give or take a fifth.
pub fn half_life(now: Timestamp, refresh_until: Timestamp, jitter: i64) -> Timestamp {
    let life = refresh_until.duration_since(now).as_millis().clamp(0, i128::from(i64::MAX / 200));
    let life = i64::try_from(life).unwrap_or(0);
    saturating_add(now, SignedDuration::from_millis(life / 200 * (100 + jitter)))
}

/// A fifth more or less, by chance, in percent: so that connections that began together don't come together for ever.
pub fn jitter() -> i64 {
    random::below(41).cast_signed() - 20
}

/// Lets go of the lease, with what is left to find out.
fn end(mut row: Record, intent: Option<Intent>, due: Timestamp, outcome: Outcome) -> (State, Effect) {
    row.upkeep.lease = None;
    row.upkeep.intent = intent;
    row.upkeep.due = Some(due);
    (State::Ending(outcome), Effect::Write(Write::End, row))
}

/// The pair was not taken: is the row ours already, somebody else's, or gone?
fn refused(row: &Record, found: Option<Record>, attempt: &Attempt<'_>) -> (State, Effect) {
    match found {
        None => (State::Ending(Outcome::NotConnected), Effect::Discard),
        // Written by this attempt and answered badly, or by another one with the same answer.
        Some(found) if found.generation > row.generation => over(Outcome::Generation(found.generation)),
        Some(_) => (State::Ending(Outcome::Busy(attempt.after(RETRY_SECONDS[0]))), Effect::Park),
    }
}

/// RingCentral refuses the refresh token. It is believed the second time, when nobody has a newer pair.
fn denied(row: &Record, found: Option<Record>, denial: Denial, attempt: &Attempt<'_>) -> (State, Effect) {
    let Some(mut found) = found else { return over(Outcome::NotConnected) };
    if found.generation > row.generation {
        return over(Outcome::Generation(found.generation));
    }
    let apart = SignedDuration::from_secs(limits::DENIALS_APART_SECONDS);
    let intent = row.upkeep.intent.clone();
    match row.upkeep.denied_at {
        Some(first) if attempt.now.duration_since(first) >= apart => {
            found.status = ConnectionStatus::Revoked;
            found.upkeep.lease = None;
            found.upkeep.due = None;
            found.upkeep.since = Some(attempt.now);
            found.upkeep.cause = Some(match denial {
                _ if intent.is_some() => Cause::LostRotation,
                Denial::Expired => Cause::Expired,
                Denial::Refused if row.refresh_until <= attempt.now => Cause::Expired,
                Denial::Refused => Cause::RevokedByUser,
            });
            (State::Ending(Outcome::NotConnected), Effect::Write(Write::Revoked, found))
        }
        first => {
            found.upkeep.denied_at = Some(first.unwrap_or(attempt.now));
            // Never earlier than the second one counts.
            let at = saturating_add(first.unwrap_or(attempt.now), apart + SignedDuration::from_secs(1));
            let at = at.max(attempt.now);
            end(found, intent, at, Outcome::Busy(at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn attempt() -> Attempt<'static> {
        Attempt { id: "a", stale: Some(1), now: at(0), deadline: at(30), patience: at(5), jitter: 0 }
    }

    fn is_over(step: &(State, Effect), until: Timestamp) -> bool {
        let busy = Outcome::Busy(until);
        *step == (State::Over(busy), Effect::Finish(busy))
    }

    #[test]
    fn an_attempt_that_is_told_nothing_useful_ends() {
        let later = attempt().after(RETRY_SECONDS[0]);
        for state in [State::Begun, State::Reading, State::Waiting] {
            assert!(is_over(&step(state, Event::StoreFailed, &attempt()), later));
        }
    }

    /// Nothing was spent: the lease goes, what was to be found out stays, and nobody asks again before there is a share.
    #[test]
    fn an_attempt_without_a_share_lets_go_and_holds_the_others_back() {
        let row = Record {
            generation: 1,
            status: ConnectionStatus::Active,
            access_until: at(0),
            refresh_until: at(1_000),
            upkeep: Upkeep {
                intent: Some(Intent { id: "older".to_owned(), since: at(-60) }),
                ..Upkeep::default()
            },
        };
        let (state, effect) = step(State::Leasing(row.clone()), Event::Written, &attempt());
        assert_eq!(effect, Effect::Count);
        let (state, effect) = step(state, Event::NotReady(at(20)), &attempt());
        let Effect::Write(Write::End, ended) = effect else { panic!("{effect:?}") };
        let kept = Upkeep { due: Some(at(20)), blocked_until: Some(at(20)), ..row.upkeep.clone() };
        assert_eq!(ended, Record { upkeep: kept, ..row });
        assert!(is_over(&step(state, Event::Written, &attempt()), at(20)));
        assert!(is_over(&step(State::Reading, Event::Found(Some(ended)), &attempt()), at(20)));
    }
}
