//! One attempt to refresh a connection: the I/O that [`step`] asks for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::rescue::Rescue;
use super::{Counted, RefreshOrder, follow, sealed_for, seconds_until};
use crate::circuit_breaker::{self, Member, Pass};
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::{Connection, Revocation, SealedToken};
use crate::model::event::EventKind;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::refresh::{
    Answer, Attempt, Cause, Denial, Effect, Event, Outcome, Record, State, Write, half_life, jitter, step,
};
use crate::model::secret::Secret;
use crate::queue::MAX_DELAY_SECONDS;
use crate::revocation;
use crate::ringcentral::oauth::TokenOptions;
use crate::ringcentral::{self, Grant, Kind, RefreshToken, TokenSet};
use crate::store::{Pair, StoreError};
use crate::vault::{Binding, DataKey, Purpose};

/// What an attempt holds in memory, and nobody else.
struct Hand {
    access: DataKey,
    refresh: DataKey,
    token: RefreshToken,
}

/// A pair that was just received.
struct Received {
    sealed: Pair,
    refresh: RefreshToken,
}

/// One attempt, with what it has read.
pub(super) struct Worker<'a> {
    gateway: &'a Gateway,
    tenant: TenantId,
    connection: ConnectionId,
    stale: Option<u64>,
    id: String,
    deadline: Timestamp,
    patience: Timestamp,
    jitter: i64,
    found: Option<Connection>,
    member: Option<Member>,
    hand: Option<Hand>,
    pair: Option<Received>,
    counted: Counted,
}

impl<'a> Worker<'a> {
    /// An attempt on a connection, for a caller that can't use the generation `stale`.
    pub(super) fn new(
        gateway: &'a Gateway,
        tenant: TenantId,
        connection: ConnectionId,
        stale: Option<u64>,
        deadline: Timestamp,
    ) -> Self {
        Self {
            gateway,
            tenant,
            connection,
            stale,
            id: Secret::random().digest()[..24].to_owned(),
            deadline,
            patience: saturating_add(
                gateway.clock.now(),
                SignedDuration::from_secs(limits::LEASE_PATIENCE_SECONDS),
            ),
            jitter: jitter(),
            found: None,
            member: None,
            hand: None,
            pair: None,
            counted: Counted::default(),
        }
    }

    /// Makes it.
    pub(super) async fn run(mut self) -> Result<(Outcome, Counted)> {
        let (mut state, mut event) = (State::Begun, Event::Begin);
        loop {
            let (next, effect) = step(state, event, &self.attempt());
            state = next;
            event = match effect {
                Effect::Read => self.read(&state).await?,
                Effect::Wait => {
                    tokio::time::sleep(Duration::from_millis(150 + 5 * self.jitter.unsigned_abs())).await;
                    Event::Waited
                }
                Effect::Prepare => self.prepare().await?,
                Effect::Count => self.count().await,
                Effect::Write(write, record) => self.write(write, record).await,
                Effect::Call => Event::Answered(self.call().await),
                Effect::Discard => {
                    self.discard().await;
                    Event::Written
                }
                Effect::Park => self.park().await,
                Effect::Finish(outcome) => return Ok((outcome, self.counted)),
            };
        }
    }

    fn attempt(&self) -> Attempt<'_> {
        Attempt {
            id: &self.id,
            stale: self.stale,
            now: self.gateway.clock.now(),
            deadline: self.deadline,
            patience: self.patience,
            jitter: self.jitter,
        }
    }

    fn after(&self, seconds: i64) -> Timestamp {
        saturating_add(self.gateway.clock.now(), SignedDuration::from_secs(seconds))
    }

    /// Reads the row. What an attempt has begun with stays at hand, since its keys and its generation are of that row.
    async fn read(&mut self, state: &State) -> Result<Event> {
        match self.gateway.store.connection(&self.tenant, &self.connection).await {
            Ok(row) => {
                let record = row.as_ref().map(Record::from);
                if matches!(state, State::Refused(_) | State::Denied(..)) {
                    let known = self.found.as_ref().map(|found| found.generation);
                    let has_moved = record.as_ref().is_some_and(|row| Some(row.generation) > known);
                    self.counted.adopted += u32::from(has_moved);
                }
                if *state == State::Reading {
                    self.found = row;
                }
                Ok(Event::Found(record))
            }
            // A row that can't be understood is no better in ten seconds, unless there is a pair to keep.
            Err(error @ StoreError::Damaged(_)) if self.pair.is_none() => Err(error.into()),
            Err(error) => {
                self.warn(&error.into(), "a connection can't be read");
                Ok(Event::StoreFailed)
            }
        }
    }

    /// All that AWS has to do comes before the call: the keys that will seal the pair, and the app's secret.
    async fn prepare(&mut self) -> Result<Event> {
        let found = self.found.as_ref().ok_or(Error::NotConnected)?;
        let ready = async {
            let vault = self.gateway.vault();
            let (owner, binding) = sealed_for(found, Purpose::Refresh);
            let refresh = vault.unwrap_key(owner, &found.refresh.key).await?;
            let token = refresh.open(owner, binding, &found.refresh.token);
            let access = vault.unwrap_key(sealed_for(found, Purpose::Access).0, &found.access.key).await?;
            self.gateway.ringcentral_app().await?;
            Ok::<_, Error>((access, refresh, token))
        };
        let (access, refresh, token) = match ready.await {
            Ok(ready) => ready,
            Err(error @ Error::Internal { .. }) => return Err(error),
            Err(error) => {
                self.warn(&error, "a refresh waits for AWS");
                return Ok(Event::NotReady(self.after(limits::REFRESH_OBSTACLE_SECONDS)));
            }
        };
        let token = token.ok_or(Error::Internal { what: "a refresh token does not open", source: None })?;
        self.hand = Some(Hand { access, refresh, token: RefreshToken::new(token) });
        Ok(Event::Ready)
    }

    /// Whether the call may be made now. Whoever asks for the same connection meanwhile waits for the lease, and comes
    /// back when the moment is there that is noted in the row.
    async fn count(&mut self) -> Event {
        let Some(found) = self.found.as_ref() else { return Event::StoreFailed };
        let member = self.member.insert(Member::user(&found.issuer, &self.tenant, &found.extension));
        match member.pass(self.gateway).await {
            Ok(Pass::Yes) => Event::Ready,
            Ok(Pass::After(wait)) => {
                tracing::info!(tenant.id = %self.tenant, "a refresh waits for the token endpoint");
                Event::NotReady(self.after(wait_seconds(wait) + self.jitter.abs() / 4))
            }
            Err(error) => {
                self.warn(&error, "a refresh can't learn whether it may call");
                Event::NotReady(self.after(limits::REFRESH_OBSTACLE_SECONDS))
            }
        }
    }

    /// Makes a write, with the event of a changed status. A pair is worth every attempt until the deadline, and so is a
    /// penalty: whoever does not know of it makes it longer.
    async fn write(&mut self, write: Write, mut record: Record) -> Event {
        let Some(found) = self.found.clone() else { return Event::NotWritten };
        let now = self.gateway.clock.now();
        let pair = self.pair.as_ref().filter(|_| write == Write::Pair).map(|received| &received.sealed);
        if let Some(pair) = pair {
            record.upkeep.due = Some(half_life(now, pair.refresh.expires_at, self.jitter));
        }
        let event = (record.status != found.status)
            .then(|| record.applied_to(&found).event(EventKind::ExtensionStatus, now));
        let is_blocked = record.upkeep.blocked_until.is_some_and(|until| until > now);
        let is_penalty = write == Write::End && is_blocked && self.counted.in_vain > 0;
        let is_precious = write == Write::Pair || is_penalty;
        let mut pause = Duration::from_millis(50);
        loop {
            let made =
                self.gateway.store.write_upkeep(&found, write, &record, &self.id, pair, event.as_ref());
            match made.await {
                Ok(true) => {
                    self.tell(write, &record);
                    self.ring(write, &record).await;
                    if write == Write::Pair {
                        follow(self.gateway, &found, &record).await;
                    }
                    return Event::Written;
                }
                Ok(false) => return Event::NotWritten,
                Err(error) => {
                    self.warn(&error.into(), "a write of a refresh failed");
                    let left = self.deadline.duration_since(self.gateway.clock.now()).as_millis();
                    let needed = i128::from(limits::AWS_CALL_MS) + i128::from(limits::AWS_ATTEMPT_MS);
                    if !is_precious || left < needed {
                        return Event::StoreFailed;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }

    fn tell(&mut self, write: Write, record: &Record) {
        match write {
            Write::Lease => {}
            Write::Pair => {
                self.counted.refreshed += 1;
                self.gateway.cache.tokens.remove(self.connection.as_str());
                tracing::info!(tenant.id = %self.tenant, connection.id = %self.connection, generation = record.generation, "refreshed");
            }
            Write::End => {
                tracing::info!(tenant.id = %self.tenant, connection.id = %self.connection, failures = record.upkeep.failures, "not refreshed");
            }
            Write::Revoked => {
                self.counted.lost += u32::from(record.upkeep.cause == Some(Cause::LostRotation));
                let cause = record.upkeep.cause.map_or("", |cause| cause.as_str());
                tracing::warn!(tenant.id = %self.tenant, connection.id = %self.connection, cause, "a connection needs a new authorization");
            }
        }
    }

    /// An attempt that ended without a pair is repeated when it is due, by the queue; the sweep would find it too, later.
    async fn ring(&self, write: Write, record: &Record) {
        let Some(due) = record.upkeep.due.filter(|_| write == Write::End) else { return };
        let order = RefreshOrder::of(&self.tenant, &self.connection, None);
        let work = serde_json::json!({ "refresh": order });
        let wait = seconds_until(self.gateway.clock.now(), due);
        let wait = i32::try_from(wait).unwrap_or(MAX_DELAY_SECONDS).min(MAX_DELAY_SECONDS);
        if let Err(error) =
            self.gateway.queues().put(&self.gateway.config.refresh_queue, &self.tenant, &work, wait).await
        {
            self.warn(&error.into(), "a refresh is left for the sweep to repeat");
        }
    }

    async fn call(&mut self) -> Answer {
        let Some(hand) = &self.hand else { return Answer::NotSent };
        let client = match self.gateway.ringcentral_app().await {
            Ok(client) => client.with_timeout(Duration::from_millis(limits::TOKEN_CALL_MS)),
            Err(_) => return Answer::NotSent,
        };
        let answer = match client.refresh(&hand.token, &TokenOptions::default()).await {
            Ok(tokens) => {
                self.receive(&tokens);
                Answer::Pair
            }
            Err(error) => {
                tracing::warn!(tenant.id = %self.tenant, connection.id = %self.connection, error = %error, "no new tokens");
                self.judge(&error)
            }
        };
        if answer == Answer::Misconfigured {
            self.gateway.app_is_refused().await;
        }
        self.counted.in_vain += u32::from(!matches!(answer, Answer::Pair | Answer::Denied(_)));
        if let Some(member) = &self.member {
            match answer {
                Answer::Limited(until) => member.limited(self.gateway, until).await,
                Answer::Pair | Answer::Denied(_) | Answer::Misconfigured => {
                    member.answered(self.gateway).await;
                }
                Answer::NotSent | Answer::Unclear => {}
            }
        }
        answer
    }

    /// Seals what was received to the next generation. An answer without refresh token leaves the old one good.
    fn receive(&mut self, tokens: &TokenSet) {
        let (Some(hand), Some(found)) = (&self.hand, &self.found) else { return };
        let (refresh, until) = match &tokens.refresh_token {
            Some(refresh) => (
                refresh.clone(),
                tokens.refresh_expires_at.unwrap_or_else(|| self.after(limits::REFRESH_TOKEN_SECONDS)),
            ),
            None => (hand.token.clone(), found.refresh.expires_at),
        };
        let seal = |key: &DataKey, purpose, text: &str, expires_at| {
            let (owner, binding) = sealed_for(found, purpose);
            let binding = Binding { generation: found.generation + 1, ..binding };
            let token = key.seal(owner, binding, &Secret::new(text));
            SealedToken { token, key: key.wrapped().clone(), expires_at }
        };
        let sealed = Pair {
            access: seal(&hand.access, Purpose::Access, tokens.access_token.expose(), tokens.expires_at),
            refresh: seal(&hand.refresh, Purpose::Refresh, refresh.expose(), until),
        };
        self.pair = Some(Received { sealed, refresh });
    }

    fn judge(&self, error: &ringcentral::Error) -> Answer {
        match error.kind() {
            Kind::Grant(Grant::Expired) => Answer::Denied(Denial::Expired),
            Kind::Grant(_) => Answer::Denied(Denial::Refused),
            Kind::OurConfiguration => Answer::Misconfigured,
            Kind::Connect | Kind::Refused => Answer::NotSent,
            Kind::RateLimited => Answer::Limited(self.penalty(error)),
            Kind::Unavailable if error.status() == Some(503) => Answer::Limited(self.penalty(error)),
            _ => Answer::Unclear,
        }
    }

    fn penalty(&self, error: &ringcentral::Error) -> Timestamp {
        circuit_breaker::ends(self.gateway, error.retry(), self.jitter)
    }

    /// The connection was given up while its tokens were on their way: nobody else knows of them, so they are ended.
    async fn discard(&mut self) {
        let (Some(pair), Some(found)) = (&self.pair, &self.found) else { return };
        let whose = Member::leaving(&found.issuer, &found.tenant, &found.extension);
        let Err(error) = revocation::end_session(self.gateway, whose, &pair.refresh).await else { return };
        tracing::warn!(tenant.id = %self.tenant, error = error.chain(), "a session is left for the sweep to end");
        let left = Revocation { generation: found.generation + 1, ..late_revocation(found, &pair.sealed) };
        if let Err(error) = self.gateway.store.create_revocation(&left).await {
            self.warn(&error.into(), "a session was not ended");
        }
    }

    /// The store does not take the pair: it goes into the queue, sealed, and is stored from there.
    async fn park(&mut self) -> Event {
        let (Some(pair), Some(found)) = (&self.pair, &self.found) else { return Event::NotWritten };
        let work = serde_json::json!({ "rescue": Rescue::of(found, &self.id, &pair.sealed) });
        match self.gateway.queues().put(&self.gateway.config.refresh_queue, &self.tenant, &work, 0).await {
            Ok(()) => {
                tracing::warn!(tenant.id = %self.tenant, connection.id = %self.connection, "a pair is stored through the queue");
                Event::Written
            }
            Err(error) => {
                // The intent is still in the row: the same refresh token is tried again.
                self.warn(&error.into(), "a pair was lost");
                Event::StoreFailed
            }
        }
    }

    fn warn(&self, error: &Error, what: &'static str) {
        tracing::warn!(tenant.id = %self.tenant, connection.id = %self.connection, error = error.chain(), what);
    }
}

fn wait_seconds(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX)
}

fn late_revocation(found: &Connection, pair: &Pair) -> Revocation {
    Revocation {
        access: pair.access.clone(),
        refresh: pair.refresh.clone(),
        subscription: None,
        ..Revocation::from(found)
    }
}
