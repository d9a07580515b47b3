//! The worker of a sender's lane: sends what waits, in its order, as fast as RingCentral allows.
//!
//! It holds the lane's lease for longer than it can live, so nobody else sends for the extension meanwhile. A text is
//! claimed and counted in one write, and only then read: what was taken back before that is not sent, what is claimed can't
//! be taken back. A wait is handed to the queue as a delay, so that it wakes a worker, and costs nothing until then.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{ATTEMPTS, Ring, apply, reconcile, ring};
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::failure;
use crate::model::ids::{ConnectionId, ExtensionId, MessageId, TenantId};
use crate::model::message::{Message, MessageStatus, Stage};
use crate::model::random;
use crate::model::secret::Secret;
use crate::model::sender::{self, Answer, Flight, Lane, Turn, Verdict};
use crate::ringcentral::{self, Api, Kind, RateLimit, Retry, Sent, Sms};
use crate::store::{Lease, Place, Taken};
use crate::tokens::{self, Usable};

/// What queued messages fail with when nobody can send them.
const NOT_CONNECTED: &str = "RingCentral not connected for this tenant";

/// Works on the lane of a sender, unless somebody else does.
///
/// # Errors
/// If the store does not answer; then the ring is repeated.
pub async fn run(gateway: &Gateway, ring_: &Ring) -> Result<()> {
    let unknown = || Error::Internal { what: "a ring for nobody", source: None };
    let lease = Lease {
        tenant: TenantId::from_record(&ring_.tenant_id).ok_or_else(unknown)?,
        extension: ExtensionId::parse(&ring_.extension_id).ok_or_else(unknown)?,
        owner: Secret::random().expose().to_owned(),
    };
    let Taken::Yes(mut lane) = gateway.store.take_lane(&lease).await? else { return Ok(()) };
    let mut worker = Worker { gateway, lease: &lease, started: Instant::now(), usable: None };
    let worked = worker.work(&mut lane).await;
    let now = gateway.clock.now();
    let rest = match &worked {
        Ok(rest) => *rest,
        Err(error) => {
            tracing::warn!(tenant.id = %lease.tenant, error = error.chain(), "a lane came to a stop");
            Rest::Until(saturating_add(now, SignedDuration::from_secs(limits::LANE_OBSTACLE_SECONDS)))
        }
    };
    let alarm = if let Rest::Until(at) = rest { Some(at) } else { None };
    if !gateway.store.write_lane(&lease, &lane, Some(alarm)).await? {
        return Ok(());
    }
    match rest {
        Rest::Until(at) => ring(gateway, &lease.tenant, &lease.extension, whole_seconds(now, at)).await,
        Rest::None => ring(gateway, &lease.tenant, &lease.extension, 0).await,
        Rest::Empty => {
            // What was accepted while the lease was held has rung in vain.
            let left = gateway.store.first_of_outbox(&lease.tenant, &lease.extension).await?;
            if left.is_some() {
                ring(gateway, &lease.tenant, &lease.extension, 0).await;
            }
        }
    }
    Ok(())
}

/// Rounded down: the worker sleeps what is left.
fn whole_seconds(now: Timestamp, at: Timestamp) -> i32 {
    i32::try_from(at.duration_since(now).as_secs()).unwrap_or(0).max(0)
}

/// What comes after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing waits.
    Empty,
    /// Something waits, and time is up.
    None,
    /// Something waits for this moment.
    Until(Timestamp),
}

pub(super) struct Worker<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) lease: &'a Lease,
    started: Instant,
    pub(super) usable: Option<Usable>,
}

impl Worker<'_> {
    async fn work(&mut self, lane: &mut Lane) -> Result<Rest> {
        if let Some(flight) = lane.flight.clone() {
            self.take_over(lane, &flight).await?;
        }
        self.take_up_scheduled().await?;
        let settling = self.gateway.store.settling(&self.lease.tenant, &self.lease.extension).await?;
        let can_send = match self.obstacle(lane, settling.is_empty()).await? {
            Obstacle::None => true,
            Obstacle::Wait(at) => return Ok(Rest::Until(at)),
            Obstacle::NotConnected => false,
        };
        reconcile::look(self, lane, &settling).await?;
        if !can_send {
            self.fail_all(lane).await?;
            return Ok(Rest::Empty);
        }
        self.send_all(lane).await
    }

    fn now(&self) -> Timestamp {
        self.gateway.clock.now()
    }

    fn is_late(&self) -> bool {
        self.started.elapsed() >= Duration::from_millis(limits::DELIVERY_RUN_MS)
    }

    async fn message(&self, id: &MessageId) -> Result<Option<Message>> {
        Ok(self.gateway.store.message(&self.lease.tenant, id).await?)
    }

    /// What of the worker before this one was on its way.
    async fn take_over(&self, lane: &mut Lane, flight: &Flight) -> Result<()> {
        lane.heed(&Answer::Lost, 0, self.now());
        let goes_on = match self.message(&flight.message).await? {
            Some(message) => {
                if !flight.is_in(&message) {
                    lane.heed_silence(flight);
                }
                self.write_down(message, flight, &Answer::Lost).await?
            }
            None => false,
        };
        lane.land(goes_on);
        Ok(())
    }

    /// Puts what was scheduled for now into the queue.
    async fn take_up_scheduled(&self) -> Result<()> {
        let due = self.gateway.store.due_scheduled(&self.lease.tenant, &self.lease.extension).await?;
        for (at, id) in due {
            let Some(mut message) = self.message(&id).await? else { continue };
            if message.status == MessageStatus::Scheduled {
                message.end(MessageStatus::Queued, None, None, self.now());
                let (from, to) = (Some(Place::Scheduled(at)), Some(Place::Outbox));
                // Lost only to somebody who takes it back.
                self.gateway.store.move_message(&message, MessageStatus::Scheduled, from, to).await?;
            }
        }
        Ok(())
    }

    /// Whether anything can be sent: the tenant is active, and its extension connected.
    async fn obstacle(&mut self, lane: &Lane, is_settled: bool) -> Result<Obstacle> {
        let store = &self.gateway.store;
        if is_settled && self.next(lane).await?.is_none() {
            return Ok(Obstacle::None);
        }
        let now = self.now();
        if let Some(until) = lane.closed_until.filter(|until| *until > self.soon()) {
            return Ok(Obstacle::Wait(until));
        }
        let active = store.tenant(&self.lease.tenant).await?.is_some_and(|tenant| tenant.is_active());
        match self.connect().await {
            Ok(usable) => self.usable = Some(usable),
            Err(Error::NotConnected) => return Ok(Obstacle::NotConnected),
            Err(Error::Unavailable { retry_after, what, .. }) => {
                tracing::warn!(tenant.id = %self.lease.tenant, what, "no access token for a lane");
                if !active {
                    return Ok(Obstacle::NotConnected);
                }
                let least = Duration::from_secs(limits::LANE_OBSTACLE_SECONDS.unsigned_abs());
                let wait = SignedDuration::try_from(retry_after.max(least)).unwrap_or(SignedDuration::ZERO);
                return Ok(Obstacle::Wait(saturating_add(now, wait)));
            }
            Err(error) => return Err(error),
        }
        Ok(if active { Obstacle::None } else { Obstacle::NotConnected })
    }

    fn soon(&self) -> Timestamp {
        saturating_add(self.now(), SignedDuration::from_millis(limits::LANE_NAP_MS))
    }

    async fn connect(&self) -> Result<Usable> {
        let connection = self.connection().await?;
        match tokens::usable(self.gateway, &self.lease.tenant, &connection).await {
            // Whoever authorizes again meanwhile has another one: what waits goes out by that.
            Err(Error::NotConnected) => match self.connection().await? {
                again if again == connection => Err(Error::NotConnected),
                other => tokens::usable(self.gateway, &self.lease.tenant, &other).await,
            },
            usable => usable,
        }
    }

    /// Gets another access token, for RingCentral does not know this one. False if there is none.
    async fn connect_again(&mut self) -> Result<bool> {
        let Some(used) = self.usable.take() else { return Ok(false) };
        let (tenant, generation) = (&self.lease.tenant, used.connection.generation);
        match tokens::after_refusal(self.gateway, tenant, &used.connection.id, generation).await {
            Ok(usable) => self.usable = Some(usable),
            Err(Error::NotConnected | Error::Unavailable { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// The connection of the sender's extension.
    async fn connection(&self) -> Result<ConnectionId> {
        let issuer = &self.gateway.config.ringcentral_server;
        let claim = self.gateway.store.claim_of_any_tenant(issuer, &self.lease.extension).await?;
        let claim = claim.filter(|claim| claim.tenant == self.lease.tenant);
        claim.map(|claim| claim.connection).ok_or(Error::NotConnected)
    }

    /// Calls of RingCentral in the extension's name.
    fn api(&self) -> Result<Option<Api>> {
        let client = self.gateway.ringcentral()?;
        Ok(self.usable.as_ref().map(|usable| client.api(&usable.access)))
    }

    async fn send_all(&mut self, lane: &mut Lane) -> Result<Rest> {
        while let Some(id) = self.next(lane).await? {
            // Without a token, it was accepted after this run found nothing to do.
            if self.is_late() || self.usable.is_none() {
                return Ok(Rest::None);
            }
            let now = self.now();
            let opens = lane.opens_at(now);
            if opens > self.soon() {
                return Ok(Rest::Until(opens));
            }
            if opens > now {
                let wait = Duration::try_from(opens.duration_since(now)).unwrap_or_default();
                tokio::time::sleep(wait).await;
                continue;
            }
            let flight = lane.depart(&id, now);
            let claimed = self.claim(lane, &id).await.inspect_err(|_| lane.stay())?;
            if !claimed.is_active {
                lane.stay();
                self.fail_all(lane).await?;
                return Ok(Rest::Empty);
            }
            match claimed.message {
                Some(message) => self.take_turn(lane, message, &flight).await?,
                None => {
                    lane.skip();
                    self.gateway
                        .store
                        .drop_from_outbox(&self.lease.tenant, &self.lease.extension, &id)
                        .await?;
                }
            }
        }
        Ok(Rest::Empty)
    }

    /// The text whose turn it is.
    async fn next(&self, lane: &Lane) -> Result<Option<MessageId>> {
        if lane.begun.is_some() {
            return Ok(lane.begun.clone());
        }
        Ok(self.gateway.store.first_of_outbox(&self.lease.tenant, &self.lease.extension).await?)
    }

    /// Claims a text by writing down that it is on its way, and only then reads it.
    async fn claim(&self, lane: &Lane, id: &MessageId) -> Result<Claimed> {
        if !self.gateway.store.write_lane(self.lease, lane, None).await? {
            // The lease is somebody else's; so is the message, and what is on its way.
            return Err(Error::unavailable("a lane", "its lease has ended"));
        }
        let store = &self.gateway.store;
        let (message, tenant) =
            tokio::try_join!(store.message(&self.lease.tenant, id), store.tenant(&self.lease.tenant))?;
        Ok(Claimed { message, is_active: tenant.is_some_and(|tenant| tenant.is_active()) })
    }

    async fn take_turn(&mut self, lane: &mut Lane, mut message: Message, flight: &Flight) -> Result<()> {
        let was = message.status;
        match sender::turn(&mut message, flight.at) {
            Turn::Gone => {
                lane.skip();
                Ok(self.gateway.store.leave_outbox(&message).await?)
            }
            Turn::Ended => {
                lane.skip();
                self.gateway.store.move_message(&message, was, Some(Place::Outbox), None).await?;
                Ok(())
            }
            Turn::Send(part) => {
                // An error here is one of ours: RingCentral has not taken it.
                let (answer, told) = self.post(&message, part).await.inspect_err(|_| lane.flight = None)?;
                let now = self.now();
                lane.heed(&answer, jitter(), now);
                if let Some(told) = told {
                    lane.learn(told.limit, told.remaining, told.window_seconds, now);
                }
                // From here on an error leaves the flight in the lane: the next worker finds out what became of it.
                let goes_on = self.write_down(message, flight, &answer).await?;
                lane.land(goes_on);
                Ok(())
            }
        }
    }

    /// Writes down what became of a flight, with all that follows from it. True if the rest of its text is next.
    async fn write_down(&self, mut message: Message, flight: &Flight, answer: &Answer) -> Result<bool> {
        let store = &self.gateway.store;
        for _ in 0..ATTEMPTS {
            let (was, now) = (message.status, self.now());
            let verdict = sender::note(&mut message, flight, answer, now);
            let outbox = Some(Place::Outbox);
            let is_written = match verdict {
                Verdict::Taken => store.record_taken(&message).await?,
                Verdict::Ended => store.move_message(&message, was, outbox, None).await?,
                Verdict::Lost(at) => {
                    store.move_message(&message, was, outbox, Some(Place::Settling(at))).await?
                }
                Verdict::Stays => return Ok(message.is_begun()),
                Verdict::Written => return self.follow_up(&message, flight, Told::Late).await,
            };
            if is_written {
                let told = if message.status == was { Told::Before } else { Told::Now };
                return self.follow_up(&message, flight, told).await;
            }
            // Somebody else has changed it, or this very write was made, and its answer lost.
            let Some(changed) = self.message(&message.id).await? else { return Ok(false) };
            message = changed;
        }
        Err(Error::unavailable("a message", "it keeps changing"))
    }

    /// What follows from what was written down: the tie of the record, the event, the end of its place in the queue, a ring
    /// for when it is looked for. Each may be repeated. True if the rest of the text is next.
    async fn follow_up(&self, message: &Message, flight: &Flight, told: Told) -> Result<bool> {
        let mut parts = message.parts.iter().enumerate();
        let Some((at, part)) = parts.find(|(_, part)| flight.is_of(part)) else { return Ok(false) };
        let Some(rc_id) = part.rc_id.as_deref() else {
            if part.stage == Stage::Posted {
                let settled = saturating_add(flight.at, SignedDuration::from_secs(limits::SETTLE_SECONDS));
                let delay = whole_seconds(self.now(), settled) + 1;
                ring(self.gateway, &self.lease.tenant, &self.lease.extension, delay).await;
            }
            return Ok(false);
        };
        let store = &self.gateway.store;
        let goes_on = message.is_begun();
        let event = async {
            match told {
                Told::Before => Ok(()),
                Told::Now => store.append_event(&message.event()).await.map(|_| ()),
                Told::Late => store.append_late(&message.event()).await,
            }
        };
        let leave = async { if goes_on { Ok(()) } else { store.leave_outbox(message).await } };
        let (known, (), ()) = tokio::try_join!(store.tie_record(message, at, rc_id), event, leave)?;
        if let Some(known) = known.flatten() {
            apply(self.gateway, &message.tenant, &message.id, at, &known).await?;
        }
        Ok(goes_on)
    }

    /// Everything that waits fails: nobody can send it.
    async fn fail_all(&self, lane: &mut Lane) -> Result<()> {
        lane.begun = None;
        while let Some(id) = self.next(lane).await? {
            if self.is_late() {
                return Ok(());
            }
            let Some(mut message) = self.message(&id).await? else {
                self.gateway.store.drop_from_outbox(&self.lease.tenant, &self.lease.extension, &id).await?;
                continue;
            };
            let was = message.status;
            if sender::turn(&mut message, self.now()) == Turn::Gone {
                self.gateway.store.leave_outbox(&message).await?;
                continue;
            }
            if message.status != MessageStatus::Expired {
                message.end(MessageStatus::Failed, Some(NOT_CONNECTED.to_owned()), None, self.now());
            }
            self.gateway.store.move_message(&message, was, Some(Place::Outbox), None).await?;
        }
        Ok(())
    }

    /// Hands a part to RingCentral; once more with another access token, if RingCentral does not know this one.
    async fn post(&mut self, message: &Message, part: usize) -> Result<(Answer, Option<RateLimit>)> {
        let sms = Sms::new(&message.from, &message.to, message.part_text(part));
        for attempt in 0..2 {
            let Some(api) = self.api()? else { break };
            let error = match api.send_sms_and_tell(&sms).await {
                Ok((taken, told)) => return Ok((Answer::Taken(taken.id.to_string()), told)),
                Err(error) => error,
            };
            if error.kind() != Kind::AccessToken || attempt == 1 {
                tracing::warn!(tenant.id = %message.tenant, message.id = %message.id, error = %error, "not taken");
                return Ok((answer_of(&error, message), error.rate_limit().cloned()));
            }
            if !self.connect_again().await? {
                break;
            }
        }
        Ok((Answer::NotSent(Duration::ZERO), None))
    }
}

/// A text that was claimed, as it was read then.
struct Claimed {
    message: Option<Message>,
    is_active: bool,
}

/// Whether the tenant's programs are told of a message's status.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// They know it.
    Before,
    /// They are.
    Now,
    /// They may have been.
    Late,
}

enum Obstacle {
    None,
    Wait(Timestamp),
    NotConnected,
}

/// What a failure means.
fn answer_of(error: &ringcentral::Error, message: &Message) -> Answer {
    if error.is_ambiguous() {
        return Answer::Lost;
    }
    let wanted = wanted_pause(error);
    if error.kind() == Kind::RateLimited {
        return Answer::TooMany(wanted);
    }
    let final_answer = match error.kind() {
        Kind::Forbidden | Kind::NotFound | Kind::Invalid | Kind::Refused => true,
        _ => error.sent() == Sent::Yes && error.status() == Some(501),
    };
    if !final_answer {
        return Answer::NotSent(wanted);
    }
    let code = error.code().map(str::to_owned);
    let foreign = error.codes().iter().any(|known| failure::is_foreign_number(&known.code));
    let error = if foreign {
        format!("Phone number {} is not registered in this RingCentral account", message.from)
    } else {
        failure::explain_refusal(code.as_deref()).to_owned()
    };
    Answer::Refused { code, error }
}

/// How long RingCentral wants to be left alone.
pub(super) fn wanted_pause(error: &ringcentral::Error) -> Duration {
    if let Retry::After(wait) = error.retry() { wait } else { Duration::ZERO }
}

/// So that those who were silenced together don't come back together.
fn jitter() -> u64 {
    1_000 + random::below(limits::PENALTY_JITTER_MS)
}
