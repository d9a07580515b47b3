//! The refresh protocol: a state machine that decides every step of an attempt to refresh a connection's tokens.
//!
//! [`step`] is a pure function. Production, the model check and the property tests run it with different I/O around it.
//! [`permits`] states when a write to the connection's row is allowed; the store expresses the same conditions for
//! DynamoDB.
//!
//! The order of the steps protects the grant. Everything that needs AWS comes before the call. The call is made under a
//! lease, with a stored intent. The new pair is stored, on condition that the generation is unchanged, before it is used.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::connection::{
    Connection, ConnectionStatus, RefreshIntent, RefreshLease, RefreshState, StatusCause,
};
use super::random;
use crate::clock::saturating_add;
use crate::limits;

/// Which refreshes come first when the app's calls of the token endpoint are short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenPriority {
    #[default]
    Normal,
    /// For message sync. It waits while the others use the limit.
    Low,
}

impl TokenPriority {
    /// How long a refresh waits, if `used` of the app's calls of a minute are used up. Message sync leaves a part of them to the
    /// others: they would fail, and a sync only comes later.
    pub fn wait_for_calls(self, used: u32, limit: u32) -> Option<SignedDuration> {
        let is_short = used >= (limit / limits::SYNC_TOKEN_SHARE).max(1);
        (self == Self::Low && is_short).then_some(SignedDuration::from_mins(1))
    }
}

/// The attributes of a connection that an attempt reads and writes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RefreshRow {
    pub generation: u64,
    pub status: ConnectionStatus,
    pub access_expires_at: Timestamp,
    pub refresh_expires_at: Timestamp,
    pub refresh_state: RefreshState,
}

impl From<&Connection> for RefreshRow {
    fn from(connection: &Connection) -> Self {
        Self {
            generation: connection.generation,
            status: connection.status,
            access_expires_at: connection.access.expires_at,
            refresh_expires_at: connection.refresh.expires_at,
            refresh_state: connection.refresh_state.clone(),
        }
    }
}

impl RefreshRow {
    /// The connection with generation, status and refresh state of this row.
    #[must_use]
    pub fn applied_to(&self, connection: &Connection) -> Connection {
        Connection {
            generation: self.generation,
            status: self.status,
            refresh_state: self.refresh_state.clone(),
            ..connection.clone()
        }
    }
}

/// A conditional write of an attempt. Every write requires that the generation is the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefreshWrite {
    /// Acquires the lease and stores the intent. Requires that the connection is not revoked, that the due time is the one
    /// that was read, and that no lease is valid. Every write of an attempt changes the due time, so the lease never
    /// overwrites a penalty or a failure that another attempt stored after the read.
    AcquireLease,
    /// Stores the new pair.
    StorePair,
    /// Stores how an attempt without a new pair ended. Requires that the attempt holds the lease.
    ReleaseLease,
    /// Marks the connection as revoked. Requires that it is not revoked yet.
    MarkRevoked,
}

/// True if `attempt` may make this write to an existing row. `seen` is the row as the attempt read it. A deleted row
/// permits no write.
pub fn permits(
    write: RefreshWrite,
    row: &RefreshRow,
    seen: &RefreshRow,
    attempt: &str,
    now: Timestamp,
) -> bool {
    let lease = row.refresh_state.lease.as_ref();
    row.generation == seen.generation
        && match write {
            RefreshWrite::AcquireLease => {
                row.status.is_connected()
                    && row.refresh_state.due == seen.refresh_state.due
                    && lease.is_none_or(|lease| lease.until < now)
            }
            RefreshWrite::StorePair => true,
            RefreshWrite::ReleaseLease => lease.is_some_and(|lease| lease.owner == attempt),
            RefreshWrite::MarkRevoked => row.status.is_connected(),
        }
}

/// Inputs of a step that do not depend on its event.
#[derive(Debug, Clone)]
pub struct RefreshAttempt<'a> {
    /// Random id of the attempt.
    pub id: &'a str,
    /// The generation that the caller cannot use; `None` if the refresh is merely due.
    pub stale_generation: Option<u64>,
    pub now: Timestamp,
    /// When Lambda stops the process, at the latest.
    pub deadline: Timestamp,
    /// Until when the attempt waits for the lease of another one.
    pub wait_until: Timestamp,
    /// From -20 to 20.
    pub jitter_percent: i64,
}

impl RefreshAttempt<'_> {
    fn after(&self, seconds: i64) -> Timestamp {
        saturating_add(self.now, SignedDuration::from_millis(seconds * 10 * (100 + self.jitter_percent)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AttemptState {
    Started,
    /// Reading the row.
    Reading,
    /// Waiting for another attempt.
    Waiting,
    /// Preparing the data keys and the app's secret.
    Preparing(RefreshRow),
    AcquiringLease(RefreshRow),
    /// Checking the circuit breaker and the rate limit of the token endpoint.
    AcquiringPermit(RefreshRow),
    CallingTokenEndpoint(RefreshRow),
    StoringPair(RefreshRow),
    /// The write of the pair failed its condition. Reading the row to find out why.
    ResolvingConflict(RefreshRow),
    /// RingCentral rejected the refresh token. Reading the row to find out whether it is still the current one.
    ResolvingDenial(RefreshRow, Denial),
    /// Releasing the lease or handing over the pair; finishes with this outcome.
    Finishing(AttemptOutcome),
    Finished(AttemptOutcome),
}

/// Why RingCentral rejects a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    Expired,
    /// Any other reason.
    Invalid,
}

/// The outcome of a call of the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenResponse {
    NewPair,
    /// No usable response. The call may have taken effect.
    Ambiguous,
    /// The request was not sent, or certainly had no effect.
    NotSent,
    Denied(Denial),
    /// RingCentral rejects the app's client id or secret. This says nothing about the connection.
    Misconfigured,
    /// Too many calls; no further call before this time.
    RateLimited(Timestamp),
}

/// What happened since the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub enum AttemptEvent {
    Started,
    /// The row was read; `None` if it does not exist.
    RowRead(Option<RefreshRow>),
    Waited,
    /// The preparations are complete, or the permit is granted.
    Ready,
    /// The preparations failed, or the permit is denied. Try again at this time. Nothing was used up.
    NotReady(Timestamp),
    Written,
    /// The condition of the write was not met.
    WriteConflict,
    Responded(TokenResponse),
    /// The store did not respond. A write may have been applied.
    StoreFailed,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub enum AttemptEffect {
    /// Read the row with strong consistency.
    ReadRow,
    /// Sleep for a short time.
    Wait,
    /// Prepare the data keys and the app's secret.
    Prepare,
    /// Ask the circuit breaker and the rate limit for permission to call.
    AcquirePermit,
    Write(RefreshWrite, RefreshRow),
    /// Call the token endpoint with the refresh token of the row that was read.
    CallTokenEndpoint,
    /// End the session of the new pair: the connection was disconnected.
    EndSession,
    /// Put the sealed pair into the queue, from which it is stored later: the store does not accept it now.
    DeferPair,
    Finish(AttemptOutcome),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// A pair of this generation is stored, newer than the caller's.
    Refreshed(u64),
    /// The connection was disconnected or is revoked.
    NotConnected,
    RetryAt(Timestamp),
    /// RingCentral rejects the app's client id or secret.
    Misconfigured,
}

/// The next state of an attempt after an event, and what to do for it.
pub fn step(
    state: AttemptState,
    event: AttemptEvent,
    attempt: &RefreshAttempt<'_>,
) -> (AttemptState, AttemptEffect) {
    use AttemptEvent as Event;
    use AttemptState as State;
    let retry_soon = AttemptOutcome::RetryAt(attempt.after(RETRY_SECONDS[0]));
    match (state, event) {
        (State::Started, Event::Started) | (State::Waiting, Event::Waited) => {
            (State::Reading, AttemptEffect::ReadRow)
        }
        (State::Reading, Event::RowRead(row)) => evaluate(row, attempt),
        (State::Preparing(row), Event::Ready) => acquire_lease(row, attempt),
        (State::Preparing(_), Event::NotReady(at)) => finish(AttemptOutcome::RetryAt(at)),
        // Only the holder of the lease asks for a permit. Attempts that wait for the lease would use up the permit of the
        // call that they wait for, and a penalty may begin between their permit and their call.
        (State::AcquiringLease(row), Event::Written) => {
            (State::AcquiringPermit(row), AttemptEffect::AcquirePermit)
        }
        (State::AcquiringPermit(row), Event::Ready) => call_token_endpoint(row, attempt),
        (State::AcquiringPermit(mut row), Event::NotReady(at)) => {
            row.refresh_state.blocked_until = Some(at);
            let intent = row.refresh_state.intent.clone();
            release_lease(row, intent, at, AttemptOutcome::RetryAt(at))
        }
        // Another attempt holds the lease, or has changed the row.
        (State::AcquiringLease(_), Event::WriteConflict) => (State::Waiting, AttemptEffect::Wait),
        (State::CallingTokenEndpoint(row), Event::Responded(response)) => {
            handle_response(row, response, attempt)
        }
        (State::StoringPair(row), Event::Written) => finish(AttemptOutcome::Refreshed(row.generation + 1)),
        (State::StoringPair(row), Event::WriteConflict) => {
            (State::ResolvingConflict(row), AttemptEffect::ReadRow)
        }
        (State::StoringPair(_) | State::ResolvingConflict(_), Event::StoreFailed) => {
            (State::Finishing(retry_soon), AttemptEffect::DeferPair)
        }
        (State::ResolvingConflict(row), Event::RowRead(found)) => resolve_conflict(&row, found, attempt),
        (State::ResolvingDenial(row, denial), Event::RowRead(found)) => {
            resolve_denial(&row, found, denial, attempt)
        }
        (State::Finishing(outcome), _) => finish(outcome),
        (State::Finished(outcome), _) => finish(outcome),
        // The store failed before the token endpoint was called, or after a denial. The lease expires.
        (_, _) => finish(retry_soon),
    }
}

/// Pauses after consecutive attempts without a usable response.
const RETRY_SECONDS: [i64; 6] = [10, 10, 30, 60, 120, 300];

fn finish(outcome: AttemptOutcome) -> (AttemptState, AttemptEffect) {
    (AttemptState::Finished(outcome), AttemptEffect::Finish(outcome))
}

/// Decides whether a row needs a refresh, and whether it may begin now.
fn evaluate(row: Option<RefreshRow>, attempt: &RefreshAttempt<'_>) -> (AttemptState, AttemptEffect) {
    let now = attempt.now;
    let Some(row) = row.filter(|row| row.status.is_connected()) else {
        return finish(AttemptOutcome::NotConnected);
    };
    let state = &row.refresh_state;
    let is_newer = attempt.stale_generation.is_some_and(|stale| stale < row.generation);
    if attempt.stale_generation.is_none() && state.due.is_some_and(|due| due > now) {
        // Another attempt has refreshed the connection since this one was requested.
        return finish(AttemptOutcome::Refreshed(row.generation));
    }
    let is_fresh =
        saturating_add(now, SignedDuration::from_secs(limits::ACCESS_MARGIN_SECONDS)) < row.access_expires_at;
    if is_newer && is_fresh {
        return finish(AttemptOutcome::Refreshed(row.generation));
    }
    if let Some(until) = state.blocked_until.filter(|until| *until > now) {
        return finish(AttemptOutcome::RetryAt(until));
    }
    // After a failure the pause applies to every caller. Otherwise a busy tenant would call far too often.
    let is_backing_off = state.failures > 0 || state.denied_at.is_some();
    if let Some(due) = state.due.filter(|due| is_backing_off && *due > now) {
        return finish(AttemptOutcome::RetryAt(due));
    }
    if let Some(lease) = state.lease.as_ref().filter(|lease| lease.until >= now) {
        if attempt.wait_until <= now {
            return finish(AttemptOutcome::RetryAt(lease.until));
        }
        return (AttemptState::Waiting, AttemptEffect::Wait);
    }
    (AttemptState::Preparing(row), AttemptEffect::Prepare)
}

fn acquire_lease(mut row: RefreshRow, attempt: &RefreshAttempt<'_>) -> (AttemptState, AttemptEffect) {
    let older_intent = row.refresh_state.intent.clone();
    let before = row.clone();
    let until = saturating_add(attempt.deadline, SignedDuration::from_secs(limits::LEASE_MARGIN_SECONDS));
    row.refresh_state.lease = Some(RefreshLease { owner: attempt.id.to_owned(), until });
    // If this process dies, the sweep finds the intent as soon as the lease has expired.
    row.refresh_state.due = Some(until);
    row.refresh_state.intent = Some(RefreshIntent {
        id: attempt.id.to_owned(),
        since: older_intent.map_or(attempt.now, |older| older.since),
    });
    (AttemptState::AcquiringLease(before), AttemptEffect::Write(RefreshWrite::AcquireLease, row))
}

/// Calls the token endpoint, if there is enough time left. `row` is the row before the lease.
fn call_token_endpoint(row: RefreshRow, attempt: &RefreshAttempt<'_>) -> (AttemptState, AttemptEffect) {
    let needed = SignedDuration::from_millis(limits::TOKEN_CALL_NEEDS_MS);
    if saturating_add(attempt.now, needed) >= attempt.deadline {
        let at = attempt.after(RETRY_SECONDS[0]);
        let intent = row.refresh_state.intent.clone();
        return release_lease(row, intent, at, AttemptOutcome::RetryAt(at));
    }
    (AttemptState::CallingTokenEndpoint(row), AttemptEffect::CallTokenEndpoint)
}

fn handle_response(
    mut row: RefreshRow,
    response: TokenResponse,
    attempt: &RefreshAttempt<'_>,
) -> (AttemptState, AttemptEffect) {
    let intent = row.refresh_state.intent.clone();
    match response {
        TokenResponse::NewPair => {
            let mut next = row.clone();
            next.generation += 1;
            next.status = ConnectionStatus::Active;
            next.refresh_state =
                RefreshState { writer: Some(attempt.id.to_owned()), ..RefreshState::default() };
            next.refresh_state.status_since = if row.status == ConnectionStatus::Active {
                row.refresh_state.status_since
            } else {
                Some(attempt.now)
            };
            (AttemptState::StoringPair(row), AttemptEffect::Write(RefreshWrite::StorePair, next))
        }
        TokenResponse::Ambiguous => {
            let at = record_failure(&mut row, attempt);
            // The call may have taken effect. The intent stays until a later attempt finds out.
            let since = intent.map_or(attempt.now, |older| older.since);
            let intent = RefreshIntent { id: attempt.id.to_owned(), since };
            release_lease(row, Some(intent), at, AttemptOutcome::RetryAt(at))
        }
        TokenResponse::NotSent => {
            let at = record_failure(&mut row, attempt);
            release_lease(row, intent, at, AttemptOutcome::RetryAt(at))
        }
        TokenResponse::Denied(denial) => (AttemptState::ResolvingDenial(row, denial), AttemptEffect::ReadRow),
        TokenResponse::Misconfigured => {
            let at = attempt.after(limits::MISCONFIGURED_RETRY_SECONDS);
            release_lease(row, intent, at, AttemptOutcome::Misconfigured)
        }
        TokenResponse::RateLimited(until) => {
            row.refresh_state.blocked_until = Some(until);
            if row.access_expires_at <= attempt.now {
                mark_refresh_failed(&mut row, attempt);
            }
            release_lease(row, intent, until, AttemptOutcome::RetryAt(until))
        }
    }
}

/// Counts an attempt without a usable response. Returns when the next attempt is due; the pauses grow.
fn record_failure(row: &mut RefreshRow, attempt: &RefreshAttempt<'_>) -> Timestamp {
    let failures = usize::try_from(row.refresh_state.failures).unwrap_or(usize::MAX);
    row.refresh_state.failures += 1;
    mark_refresh_failed(row, attempt);
    attempt.after(RETRY_SECONDS[failures.min(RETRY_SECONDS.len() - 1)])
}

fn mark_refresh_failed(row: &mut RefreshRow, attempt: &RefreshAttempt<'_>) {
    if row.status == ConnectionStatus::Active {
        row.status = ConnectionStatus::RefreshFailed;
        row.refresh_state.status_since = Some(attempt.now);
    }
    row.refresh_state.cause = Some(StatusCause::RingCentralUnavailable);
}

/// When a pair is refreshed if no caller needs a new one earlier: after half of the refresh token's lifetime, plus or
/// minus the jitter.
pub fn half_life(now: Timestamp, refresh_expires_at: Timestamp, jitter_percent: i64) -> Timestamp {
    let life = refresh_expires_at.duration_since(now).as_millis().clamp(0, i128::from(i64::MAX / 200));
    let life = i64::try_from(life).unwrap_or(0);
    saturating_add(now, SignedDuration::from_millis(life / 200 * (100 + jitter_percent)))
}

/// A random percentage from -20 to 20. It keeps connections that were made together from being refreshed together.
pub fn random_jitter_percent() -> i64 {
    random::below(41).cast_signed() - 20
}

/// Releases the lease. `intent` is the intent that remains unresolved.
fn release_lease(
    mut row: RefreshRow,
    intent: Option<RefreshIntent>,
    due: Timestamp,
    outcome: AttemptOutcome,
) -> (AttemptState, AttemptEffect) {
    row.refresh_state.lease = None;
    row.refresh_state.intent = intent;
    row.refresh_state.due = Some(due);
    (AttemptState::Finishing(outcome), AttemptEffect::Write(RefreshWrite::ReleaseLease, row))
}

/// Decides what to do with a pair whose write failed its condition.
fn resolve_conflict(
    row: &RefreshRow,
    found: Option<RefreshRow>,
    attempt: &RefreshAttempt<'_>,
) -> (AttemptState, AttemptEffect) {
    match found {
        None => (AttemptState::Finishing(AttemptOutcome::NotConnected), AttemptEffect::EndSession),
        // Either this attempt's write was applied and its response lost, or another attempt stored the same pair.
        Some(found) if found.generation > row.generation => {
            finish(AttemptOutcome::Refreshed(found.generation))
        }
        Some(_) => {
            let outcome = AttemptOutcome::RetryAt(attempt.after(RETRY_SECONDS[0]));
            (AttemptState::Finishing(outcome), AttemptEffect::DeferPair)
        }
    }
}

/// Handles a rejected refresh token. The connection is marked as revoked at the second denial, unless a newer pair is
/// stored.
fn resolve_denial(
    row: &RefreshRow,
    found: Option<RefreshRow>,
    denial: Denial,
    attempt: &RefreshAttempt<'_>,
) -> (AttemptState, AttemptEffect) {
    let Some(mut found) = found else { return finish(AttemptOutcome::NotConnected) };
    if found.generation > row.generation {
        return finish(AttemptOutcome::Refreshed(found.generation));
    }
    let apart = SignedDuration::from_secs(limits::DENIALS_APART_SECONDS);
    let intent = row.refresh_state.intent.clone();
    match row.refresh_state.denied_at {
        Some(first) if attempt.now.duration_since(first) >= apart => {
            found.status = ConnectionStatus::Revoked;
            found.refresh_state.lease = None;
            found.refresh_state.due = None;
            found.refresh_state.status_since = Some(attempt.now);
            found.refresh_state.cause = Some(match denial {
                _ if intent.is_some() => StatusCause::LostRotation,
                Denial::Expired => StatusCause::Expired,
                Denial::Invalid if row.refresh_expires_at <= attempt.now => StatusCause::Expired,
                Denial::Invalid => StatusCause::RevokedByUser,
            });
            let state = AttemptState::Finishing(AttemptOutcome::NotConnected);
            (state, AttemptEffect::Write(RefreshWrite::MarkRevoked, found))
        }
        first => {
            found.refresh_state.denied_at = Some(first.unwrap_or(attempt.now));
            // Not before a second denial counts.
            let at = saturating_add(first.unwrap_or(attempt.now), apart + SignedDuration::from_secs(1));
            let at = at.max(attempt.now);
            release_lease(found, intent, at, AttemptOutcome::RetryAt(at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn attempt() -> RefreshAttempt<'static> {
        RefreshAttempt {
            id: "a",
            stale_generation: Some(1),
            now: at(0),
            deadline: at(30),
            wait_until: at(5),
            jitter_percent: 0,
        }
    }

    fn retries_at(step: &(AttemptState, AttemptEffect), at: Timestamp) -> bool {
        let outcome = AttemptOutcome::RetryAt(at);
        *step == (AttemptState::Finished(outcome), AttemptEffect::Finish(outcome))
    }

    #[test]
    fn an_attempt_ends_when_the_store_fails() {
        let later = attempt().after(RETRY_SECONDS[0]);
        for state in [AttemptState::Started, AttemptState::Reading, AttemptState::Waiting] {
            assert!(retries_at(&step(state, AttemptEvent::StoreFailed, &attempt()), later));
        }
    }

    /// Nothing was used up: the lease is released, the older intent stays, and no attempt calls before the permit's time.
    #[test]
    fn an_attempt_without_a_permit_releases_the_lease_and_blocks_other_attempts() {
        let row = RefreshRow {
            generation: 1,
            status: ConnectionStatus::Active,
            access_expires_at: at(0),
            refresh_expires_at: at(1_000),
            refresh_state: RefreshState {
                intent: Some(RefreshIntent { id: "older".to_owned(), since: at(-60) }),
                ..RefreshState::default()
            },
        };
        let state = AttemptState::AcquiringLease(row.clone());
        let (state, effect) = step(state, AttemptEvent::Written, &attempt());
        assert_eq!(effect, AttemptEffect::AcquirePermit);
        let (state, effect) = step(state, AttemptEvent::NotReady(at(20)), &attempt());
        let AttemptEffect::Write(RefreshWrite::ReleaseLease, written) = effect else { panic!("{effect:?}") };
        let expected =
            RefreshState { due: Some(at(20)), blocked_until: Some(at(20)), ..row.refresh_state.clone() };
        assert_eq!(written, RefreshRow { refresh_state: expected, ..row });
        assert!(retries_at(&step(state, AttemptEvent::Written, &attempt()), at(20)));
        let event = AttemptEvent::RowRead(Some(written));
        assert!(retries_at(&step(AttemptState::Reading, event, &attempt()), at(20)));
    }
}
