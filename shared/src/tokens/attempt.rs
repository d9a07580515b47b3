//! Runs one attempt to refresh a connection: the I/O for the effects of [`step`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::deferred::DeferredPair;
use super::follow_up::{RefreshCounts, after_refresh};
use super::sealing::sealed_for;
use crate::circuit_breaker::{self, Breaker, Permit};
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::keepalive::RefreshRequest;
use crate::limits;
use crate::model::connection::{
    Connection, Revocation, SealedPair, SealedToken, StatusCause, access_expiry, refresh_expiry,
};
use crate::model::event::EventKind;
use crate::model::ids::{ConnectionId, TenantId};
use crate::model::refresh::{
    AttemptEffect, AttemptEvent, AttemptOutcome, AttemptState, Denial, RefreshAttempt, RefreshRow,
    RefreshWrite, TokenPriority, TokenResponse, half_life, random_jitter_percent, step,
};
use crate::model::secret::Secret;
use crate::queue::MAX_DELAY_SECONDS;
use crate::rate_limits;
use crate::revocation;
use crate::ringcentral::oauth::TokenOptions;
use crate::ringcentral::{self, ErrorKind, Grant, RefreshToken, TokenSet};
use crate::store::{StoreError, WriteOutcome};
use crate::vault::{Binding, DataKey, Purpose};

/// What is prepared before the call: the data keys that seal the new pair, and the opened refresh token.
struct Prepared {
    access_key: DataKey,
    refresh_key: DataKey,
    refresh_token: RefreshToken,
}

/// A pair that only this process has.
struct ReceivedPair {
    sealed: SealedPair,
    refresh_token: RefreshToken,
}

pub(super) struct AttemptRunner<'a> {
    gateway: &'a Gateway,
    tenant: TenantId,
    connection: ConnectionId,
    stale_generation: Option<u64>,
    priority: TokenPriority,
    id: String,
    deadline: Timestamp,
    wait_until: Timestamp,
    jitter_percent: i64,
    found: Option<Connection>,
    breaker: Option<Breaker>,
    prepared: Option<Prepared>,
    received: Option<ReceivedPair>,
    counts: RefreshCounts,
}

impl<'a> AttemptRunner<'a> {
    /// `stale_generation` is the generation that the caller cannot use; `None` if the refresh is merely due.
    pub(super) fn new(
        gateway: &'a Gateway,
        tenant: TenantId,
        connection: ConnectionId,
        stale_generation: Option<u64>,
        priority: TokenPriority,
        deadline: Timestamp,
    ) -> Self {
        Self {
            gateway,
            tenant,
            connection,
            stale_generation,
            priority,
            id: Secret::random().digest()[..24].to_owned(),
            deadline,
            wait_until: saturating_add(
                gateway.clock.now(),
                SignedDuration::from_secs(limits::LEASE_PATIENCE_SECONDS),
            ),
            jitter_percent: random_jitter_percent(),
            found: None,
            breaker: None,
            prepared: None,
            received: None,
            counts: RefreshCounts::default(),
        }
    }

    pub(super) async fn run(mut self) -> Result<(AttemptOutcome, RefreshCounts)> {
        let (mut state, mut event) = (AttemptState::Started, AttemptEvent::Started);
        loop {
            let (next, effect) = step(state, event, &self.attempt());
            state = next;
            event = match effect {
                AttemptEffect::ReadRow => self.read_row(&state).await?,
                AttemptEffect::Wait => {
                    let ms = 150 + 5 * self.jitter_percent.unsigned_abs();
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    AttemptEvent::Waited
                }
                AttemptEffect::Prepare => self.prepare().await?,
                AttemptEffect::AcquirePermit => self.acquire_permit().await,
                AttemptEffect::Write(write, row) => self.write(write, row).await,
                AttemptEffect::CallTokenEndpoint => AttemptEvent::Responded(self.call_token_endpoint().await),
                AttemptEffect::EndSession => {
                    self.end_session().await;
                    AttemptEvent::Written
                }
                AttemptEffect::DeferPair => self.defer_pair().await,
                AttemptEffect::Finish(outcome) => return Ok((outcome, self.counts)),
            };
        }
    }

    fn attempt(&self) -> RefreshAttempt<'_> {
        RefreshAttempt {
            id: &self.id,
            stale_generation: self.stale_generation,
            now: self.gateway.clock.now(),
            deadline: self.deadline,
            wait_until: self.wait_until,
            jitter_percent: self.jitter_percent,
        }
    }

    fn after(&self, seconds: i64) -> Timestamp {
        saturating_add(self.gateway.clock.now(), SignedDuration::from_secs(seconds))
    }

    /// Reads the row. A later read does not replace the connection of the first one: the prepared keys belong to that.
    async fn read_row(&mut self, state: &AttemptState) -> Result<AttemptEvent> {
        match self.gateway.store.connection(&self.tenant, &self.connection).await {
            Ok(found) => {
                let row = found.as_ref().map(RefreshRow::from);
                if matches!(state, AttemptState::ResolvingConflict(_) | AttemptState::ResolvingDenial(..)) {
                    let known = self.found.as_ref().map(|found| found.generation);
                    let is_newer = row.as_ref().is_some_and(|row| Some(row.generation) > known);
                    self.counts.adopted += u32::from(is_newer);
                }
                if *state == AttemptState::Reading {
                    self.found = found;
                }
                Ok(AttemptEvent::RowRead(row))
            }
            // Retrying does not help with an unreadable row. But a received pair must not be lost.
            Err(error @ StoreError::Damaged(_)) if self.received.is_none() => Err(error.into()),
            Err(error) => {
                self.warn(&error.into(), "connection could not be read");
                Ok(AttemptEvent::StoreFailed)
            }
        }
    }

    /// Everything that needs AWS comes before the call: the keys that seal the new pair, and the app's secret.
    async fn prepare(&mut self) -> Result<AttemptEvent> {
        let found = self.found.as_ref().ok_or(Error::NotConnected)?;
        if self.priority == TokenPriority::Low
            && let Some(wait) = rate_limits::wait_for_spare_token_calls(self.gateway, &found.issuer).await?
        {
            tracing::info!(tenant.id = %self.tenant, connection.id = %self.connection, "token refresh for message sync postponed: token calls are short");
            return Ok(AttemptEvent::NotReady(self.after(wait_seconds(wait))));
        }
        let prepare = async {
            let vault = self.gateway.vault();
            let (owner, binding) = sealed_for(found, Purpose::Refresh);
            let refresh_key = vault.unwrap_key(owner, &found.refresh.key).await?;
            let token = refresh_key.open(owner, binding, &found.refresh.token);
            let access_key =
                vault.unwrap_key(sealed_for(found, Purpose::Access).0, &found.access.key).await?;
            self.gateway.ringcentral_app().await?;
            Ok::<_, Error>((access_key, refresh_key, token))
        };
        let (access_key, refresh_key, token) = match prepare.await {
            Ok(prepared) => prepared,
            Err(error @ Error::Internal { .. }) => return Err(error),
            Err(error) => {
                self.warn(&error, "token refresh postponed: AWS is unavailable");
                return Ok(AttemptEvent::NotReady(self.after(limits::REFRESH_OBSTACLE_SECONDS)));
            }
        };
        let token = token.ok_or(Error::Internal { what: "refresh token can't be opened", source: None })?;
        self.prepared = Some(Prepared { access_key, refresh_key, refresh_token: RefreshToken::new(token) });
        Ok(AttemptEvent::Ready)
    }

    async fn acquire_permit(&mut self) -> AttemptEvent {
        let Some(found) = self.found.as_ref() else { return AttemptEvent::StoreFailed };
        let breaker = self.breaker.insert(Breaker::for_user(&found.issuer, &self.tenant, &found.extension));
        match breaker.acquire_permit(self.gateway).await {
            Ok(Permit::Granted) => AttemptEvent::Ready,
            Ok(Permit::RetryAfter(wait)) => {
                tracing::info!(tenant.id = %self.tenant, connection.id = %self.connection, "token refresh postponed: token endpoint is rate limited");
                AttemptEvent::NotReady(self.after(wait_seconds(wait) + self.jitter_percent.abs() / 4))
            }
            Err(error) => {
                self.warn(&error, "token refresh postponed: rate limit could not be checked");
                AttemptEvent::NotReady(self.after(limits::REFRESH_OBSTACLE_SECONDS))
            }
        }
    }

    /// Makes a write, together with the event of a status change. The write of a pair is retried until the deadline, and so
    /// is the write of a penalty: callers that do not know of it prolong it.
    async fn write(&mut self, write: RefreshWrite, mut row: RefreshRow) -> AttemptEvent {
        let Some(found) = self.found.clone() else { return AttemptEvent::WriteConflict };
        let now = self.gateway.clock.now();
        let is_pair = write == RefreshWrite::StorePair;
        let pair = self.received.as_ref().filter(|_| is_pair).map(|received| &received.sealed);
        if let Some(pair) = pair {
            row.refresh_state.due = Some(half_life(now, pair.refresh.expires_at, self.jitter_percent));
        }
        let event = (row.status != found.status)
            .then(|| row.applied_to(&found).event(EventKind::ExtensionStatus, now));
        let is_blocked = row.refresh_state.blocked_until.is_some_and(|until| until > now);
        let is_penalty = write == RefreshWrite::ReleaseLease && is_blocked && self.counts.unanswered > 0;
        let mut pause = Duration::from_millis(50);
        loop {
            let store = &self.gateway.store;
            match store.write_refresh(&found, write, &row, &self.id, pair, event.as_ref()).await {
                Ok(WriteOutcome::Applied) => {
                    self.record_write(write, &row);
                    self.schedule_retry(write, &row).await;
                    if is_pair {
                        after_refresh(self.gateway, &found, &row).await;
                    }
                    return AttemptEvent::Written;
                }
                Ok(WriteOutcome::Conflict) => return AttemptEvent::WriteConflict,
                Err(error) => {
                    self.warn(&error.into(), "outcome of a token refresh could not be stored");
                    let left = self.deadline.duration_since(self.gateway.clock.now()).as_millis();
                    let needed = i128::from(limits::AWS_CALL_MS) + i128::from(limits::AWS_ATTEMPT_MS);
                    if !(is_pair || is_penalty) || left < needed {
                        return AttemptEvent::StoreFailed;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }

    /// Counts and logs a write that was applied.
    fn record_write(&mut self, write: RefreshWrite, row: &RefreshRow) {
        match write {
            RefreshWrite::AcquireLease => {}
            RefreshWrite::StorePair => {
                self.counts.refreshed += 1;
                self.gateway.cache.tokens.remove(self.connection.as_str());
                tracing::info!(tenant.id = %self.tenant, connection.id = %self.connection, generation = row.generation, "token refreshed");
            }
            RefreshWrite::ReleaseLease => {
                tracing::info!(tenant.id = %self.tenant, connection.id = %self.connection, failures = row.refresh_state.failures, "token not refreshed");
            }
            RefreshWrite::MarkRevoked => {
                let cause = row.refresh_state.cause;
                if cause == Some(StatusCause::LostRotation) {
                    self.counts.lost += 1;
                    tracing::error!(alarm = "tokens", tenant.id = %self.tenant, connection.id = %self.connection,
                        "new tokens could not be stored");
                }
                let cause = cause.map_or("", StatusCause::as_str);
                tracing::warn!(tenant.id = %self.tenant, connection.id = %self.connection, cause, "connection revoked: the user has to authorize again");
            }
        }
    }

    /// Puts the retry of an attempt without a pair into the queue. Without the message, the sweep retries, a little later.
    async fn schedule_retry(&self, write: RefreshWrite, row: &RefreshRow) {
        let due = row.refresh_state.due.filter(|_| write == RefreshWrite::ReleaseLease);
        let Some(due) = due else { return };
        let request = RefreshRequest::new(&self.tenant, &self.connection, None);
        let message = serde_json::json!({ "refresh": request });
        let delay = seconds_until(self.gateway.clock.now(), due);
        let delay = i32::try_from(delay).unwrap_or(MAX_DELAY_SECONDS).min(MAX_DELAY_SECONDS);
        if let Err(error) = self
            .gateway
            .queues()
            .put(&self.gateway.config.refresh_queue, self.tenant.as_str(), &message, delay)
            .await
        {
            self.warn(&error.into(), "retry of a token refresh could not be queued; the sweep retries it");
        }
    }

    async fn call_token_endpoint(&mut self) -> TokenResponse {
        let Some(prepared) = &self.prepared else { return TokenResponse::NotSent };
        let client = match self.gateway.ringcentral_app().await {
            Ok(client) => client.with_timeout(Duration::from_millis(limits::TOKEN_CALL_MS)),
            Err(_) => return TokenResponse::NotSent,
        };
        let response = match client.refresh(&prepared.refresh_token, &TokenOptions::default()).await {
            Ok(tokens) => {
                self.seal_pair(&tokens);
                TokenResponse::NewPair
            }
            Err(error) => {
                tracing::warn!(tenant.id = %self.tenant, connection.id = %self.connection, error = %error, "token refresh failed");
                self.classify(&error)
            }
        };
        if response == TokenResponse::Misconfigured {
            self.gateway.app_rejected().await;
        }
        let is_answered = matches!(response, TokenResponse::NewPair | TokenResponse::Denied(_));
        self.counts.unanswered += u32::from(!is_answered);
        if let Some(breaker) = &self.breaker {
            match response {
                TokenResponse::RateLimited(until) => breaker.record_rate_limited(self.gateway, until).await,
                TokenResponse::NewPair | TokenResponse::Denied(_) | TokenResponse::Misconfigured => {
                    breaker.record_response(self.gateway).await;
                }
                TokenResponse::NotSent | TokenResponse::Ambiguous => {}
            }
        }
        response
    }

    /// Seals the received pair to the next generation. A response without a refresh token leaves the old one valid.
    fn seal_pair(&mut self, tokens: &TokenSet) {
        let (Some(prepared), Some(found)) = (&self.prepared, &self.found) else { return };
        let now = self.gateway.clock.now();
        let (refresh_token, refresh_expires_at) = match &tokens.refresh_token {
            Some(token) => (token.clone(), refresh_expiry(tokens.refresh_expires_at, now)),
            None => (prepared.refresh_token.clone(), found.refresh.expires_at),
        };
        let seal = |key: &DataKey, purpose, text: &str, expires_at| {
            let (owner, binding) = sealed_for(found, purpose);
            let binding = Binding { generation: found.generation + 1, ..binding };
            let token = key.seal(owner, binding, &Secret::new(text));
            SealedToken { token, key: key.wrapped().clone(), expires_at }
        };
        let access_token = tokens.access_token.expose();
        let sealed = SealedPair {
            access: seal(
                &prepared.access_key,
                Purpose::Access,
                access_token,
                access_expiry(tokens.expires_at, now),
            ),
            refresh: seal(
                &prepared.refresh_key,
                Purpose::Refresh,
                refresh_token.expose(),
                refresh_expires_at,
            ),
        };
        self.received = Some(ReceivedPair { sealed, refresh_token });
    }

    fn classify(&self, error: &ringcentral::Error) -> TokenResponse {
        match error.kind() {
            ErrorKind::Grant(Grant::Expired) => TokenResponse::Denied(Denial::Expired),
            ErrorKind::Grant(_) => TokenResponse::Denied(Denial::Invalid),
            ErrorKind::AppConfiguration => TokenResponse::Misconfigured,
            ErrorKind::Connect | ErrorKind::Refused => TokenResponse::NotSent,
            ErrorKind::RateLimited => TokenResponse::RateLimited(self.penalty_end(error)),
            ErrorKind::Unavailable if error.status() == Some(503) => {
                TokenResponse::RateLimited(self.penalty_end(error))
            }
            _ => TokenResponse::Ambiguous,
        }
    }

    fn penalty_end(&self, error: &ringcentral::Error) -> Timestamp {
        circuit_breaker::penalty_end(self.gateway, error.retry(), self.jitter_percent)
    }

    /// Ends the session of the received pair: the connection was disconnected during the call, and no other process knows
    /// the pair.
    async fn end_session(&mut self) {
        let (Some(received), Some(found)) = (&self.received, &self.found) else { return };
        let breaker = Breaker::for_revocation(&found.issuer, &found.tenant, &found.extension);
        let result = revocation::end_session(self.gateway, breaker, &received.refresh_token).await;
        let Err(error) = result else { return };
        tracing::warn!(tenant.id = %self.tenant, connection.id = %self.connection, error = error.chain(), "session could not be ended; the sweep retries it");
        let revocation = Revocation {
            generation: found.generation + 1,
            access: received.sealed.access.clone(),
            refresh: received.sealed.refresh.clone(),
            subscriptions: Vec::new(),
            ..Revocation::from(found)
        };
        if let Err(error) = self.gateway.store.create_revocation(&revocation).await {
            self.warn(&error.into(), "session could not be ended, and its revocation could not be stored");
        }
    }

    /// Puts the sealed pair into the queue: the store does not accept it at the moment.
    async fn defer_pair(&mut self) -> AttemptEvent {
        let (Some(received), Some(found)) = (&self.received, &self.found) else {
            return AttemptEvent::WriteConflict;
        };
        let deferred = DeferredPair::new(found, &self.id, &received.sealed);
        let message = serde_json::json!({ "deferredPair": deferred });
        match self
            .gateway
            .queues()
            .put(&self.gateway.config.refresh_queue, self.tenant.as_str(), &message, 0)
            .await
        {
            Ok(()) => {
                tracing::warn!(tenant.id = %self.tenant, connection.id = %self.connection, "token pair could not be stored; it is deferred to the queue");
                AttemptEvent::Written
            }
            Err(error) => {
                // The intent is still stored, so a later attempt uses the same refresh token again.
                self.warn(&error.into(), "token pair lost: neither the store nor the queue accepts it");
                AttemptEvent::StoreFailed
            }
        }
    }

    fn warn(&self, error: &Error, what: &'static str) {
        tracing::warn!(alarm = "failure", tenant.id = %self.tenant, connection.id = %self.connection,
            error = error.chain(), "{what}");
    }
}

fn wait_seconds(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX)
}

pub(super) fn seconds_until(now: Timestamp, at: Timestamp) -> u64 {
    u64::try_from(at.duration_since(now).as_secs() + 1).unwrap_or(1)
}
