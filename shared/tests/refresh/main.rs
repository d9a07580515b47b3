//! A model check of the refresh protocol: two workers (or three), servers that treat used refresh tokens like RingCentral or
//! more strictly, crashes, lost responses, a store whose responses are lost, and leases that expire at any time, in every
//! possible order.
//!
//! The decisions are made by the product's own [`step`] and [`permits`]; this file models the environment. The same
//! checker finds each of four deliberately broken variants of the protocol.
//!
//! Three workers take minutes: `RINGBRIDGE_CHECK_WORKERS=3 cargo test --release -p shared --test refresh`.

#![expect(clippy::unwrap_used, reason = "a test fails on unexpected values")]
#![expect(clippy::print_stdout, reason = "the number of states shows the size of the search")]
#![expect(clippy::disallowed_methods, reason = "the environment sets the number of workers")]

mod checks;

use jiff::Timestamp;
use shared::model::connection::{ConnectionStatus, RefreshState};
use shared::model::refresh::{
    AttemptEffect as Effect, AttemptEvent as Event, AttemptState as State, Denial, RefreshAttempt,
    RefreshRow, RefreshWrite, TokenResponse, permits, step,
};
use stateright::{Model, Property};

/// How the server treats a refresh token that was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Server {
    /// As RingCentral documents it: returns the same pair again until the new access token is used.
    Forgiving,
    /// Rejects it.
    Strict,
    /// Rejects it and ends the whole session.
    FamilyKill,
}

/// A deliberate mistake in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Variant {
    /// No mistake.
    Sound,
    /// The pair is written unconditionally.
    NoCompareAndSwap,
    /// The access token is used as soon as it is received.
    UseBeforeWrite,
    /// The first denial marks the connection as revoked, unconditionally.
    UnconditionalRevocation,
    /// The lease is acquired even if another attempt has written to the row since it was read.
    BlindLease,
}

/// What may happen, and how often.
#[derive(Debug, Clone)]
struct Protocol {
    server: Server,
    variant: Variant,
    workers: usize,
    attempts: u8,
    rotations: u8,
    crashes: u8,
    losses: u8,
    store_faults: u8,
    /// Rate-limited responses and denied permits.
    rate_limits: u8,
    disconnects: bool,
    /// A lease expires only after its owner has ended, as it does when clocks are correct.
    reliable_leases: bool,
}

/// The server numbers the pairs in the order in which it issues them.
type PairNumber = u8;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct StoredRow {
    record: RefreshRow,
    pair: PairNumber,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Worker {
    attempt: u8,
    running: Option<(State, Effect)>,
    /// The pair that the worker has read.
    read_pair: PairNumber,
    /// A response in transit.
    response: Option<(TokenResponse, PairNumber)>,
    /// The pair that the worker has received.
    received: PairNumber,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    row: Option<StoredRow>,
    highest_generation: u64,
    generation_decreased: bool,
    workers: Vec<Worker>,
    /// The newest pair that the server has issued.
    latest: PairNumber,
    /// The access token of the newest pair was used.
    used: bool,
    session_ended: bool,
    /// Sealed pairs in the queue, with the generation that each replaces.
    deferred: Vec<(PairNumber, u64)>,
    /// The session that is to be ended after a disconnect.
    revocation: Option<PairNumber>,
    used_before_stored: bool,
    /// The row contains a penalty that has not ended.
    blocked: bool,
    called_while_blocked: bool,
    /// Number of writes to the row. It stands for the due time, which every write changes.
    writes: u8,
    crashes: u8,
    losses: u8,
    store_faults: u8,
    rate_limits: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Act {
    Start(usize),
    /// Runs the worker's next effect, early or late. Late is after every lease and every pause.
    Run(usize, bool),
    /// A write that is applied, or not, and whose response is lost.
    RunWithoutResponse(usize, bool),
    DeliverResponse(usize),
    LoseResponse(usize),
    /// The server's response, or the denied permit, tells the worker to wait.
    RateLimit(usize),
    Crash(usize),
    /// A caller uses the stored access token.
    UseToken,
    StoreDeferredPair,
    Disconnect,
    EndSession,
}

fn at(late: bool) -> Timestamp {
    Timestamp::from_second(if late { 1_000_000 } else { 1_000 }).unwrap()
}

/// The time at which leases and penalties end.
fn between() -> Timestamp {
    Timestamp::from_second(2_000).unwrap()
}

/// Reduces times to early and late, so that the number of states is finite. Only the due time differs after each write.
fn coarse(mut record: RefreshRow, writes: u8) -> RefreshRow {
    let refresh_state = &mut record.refresh_state;
    if let Some(lease) = &mut refresh_state.lease {
        lease.until = between();
    }
    if let Some(intent) = &mut refresh_state.intent {
        intent.since = at(false);
    }
    refresh_state.denied_at = refresh_state.denied_at.map(|_| at(false));
    refresh_state.status_since = None;
    refresh_state.due = Some(Timestamp::from_second(writes.into()).unwrap());
    refresh_state.failures = 0;
    record
}

impl Protocol {
    fn id(world: &World, worker: usize) -> String {
        format!("{worker}.{}", world.workers[worker].attempt)
    }

    fn advance(&self, world: &mut World, worker: usize, event: Event, late: bool) {
        let id = Self::id(world, worker);
        let Some((state, _)) = world.workers[worker].running.take() else { return };
        let deadline = Timestamp::from_second(1_500).unwrap();
        let attempt = RefreshAttempt {
            id: &id,
            stale_generation: None,
            now: at(late),
            // The attempt ends before its deadline, also when other workers' clocks are ahead.
            deadline: if late { Timestamp::from_second(2_000_000).unwrap() } else { deadline },
            wait_until: at(false),
            jitter_percent: 0,
        };
        let (state, effect) = step(state, event, &attempt);
        world.workers[worker].running = match effect {
            Effect::Finish(_) => None,
            // The attempt ends instead of waiting. A new start stands for the next attempt.
            Effect::Wait => None,
            effect => Some((state, effect)),
        };
        if world.workers[worker].running.is_none() {
            world.workers[worker].read_pair = 0;
            world.workers[worker].received = 0;
        }
    }

    /// True if the server would accept the refresh token of a pair.
    fn is_redeemable(&self, world: &World, pair: PairNumber) -> bool {
        !world.session_ended
            && (pair == world.latest
                || (self.server == Server::Forgiving && pair + 1 == world.latest && !world.used))
    }

    fn call(&self, world: &mut World, worker: usize) {
        world.called_while_blocked |= world.blocked;
        let pair = world.workers[worker].read_pair;
        let response = if !self.is_redeemable(world, pair) {
            if self.server == Server::FamilyKill && pair < world.latest {
                world.session_ended = true;
            }
            (TokenResponse::Denied(Denial::Invalid), 0)
        } else {
            if pair == world.latest {
                world.latest += 1;
                world.used = false;
            }
            (TokenResponse::NewPair, world.latest)
        };
        world.workers[worker].response = Some(response);
    }

    fn write(
        &self,
        world: &mut World,
        worker: usize,
        write: RefreshWrite,
        record: &RefreshRow,
        late: bool,
    ) -> bool {
        let id = Self::id(world, worker);
        let Some((State::AcquiringLease(seen) | State::StoringPair(seen), _)) =
            &world.workers[worker].running
        else {
            return self.write_end(world, &id, write, record, late);
        };
        let seen = seen.clone();
        let pair = world.workers[worker].received;
        self.apply(world, &id, &seen, write, record, pair, late)
    }

    /// Writes at the end of an attempt. Their record has the generation that the attempt has read.
    fn write_end(
        &self,
        world: &mut World,
        id: &str,
        write: RefreshWrite,
        record: &RefreshRow,
        late: bool,
    ) -> bool {
        self.apply(world, id, record, write, record, 0, late)
    }

    #[expect(clippy::too_many_arguments, reason = "these are the parts of one write")]
    fn apply(
        &self,
        world: &mut World,
        id: &str,
        seen: &RefreshRow,
        write: RefreshWrite,
        record: &RefreshRow,
        pair: PairNumber,
        late: bool,
    ) -> bool {
        let Some(row) = &mut world.row else { return false };
        let unconditional = match self.variant {
            Variant::NoCompareAndSwap => write == RefreshWrite::StorePair,
            Variant::UnconditionalRevocation => write == RefreshWrite::MarkRevoked,
            Variant::Sound | Variant::UseBeforeWrite | Variant::BlindLease => false,
        };
        let mut seen = seen.clone();
        if self.variant == Variant::BlindLease {
            seen.refresh_state.due = row.record.refresh_state.due;
        }
        if !unconditional && !permits(write, &row.record, &seen, id, at(late)) {
            return false;
        }
        if unconditional && write == RefreshWrite::MarkRevoked {
            row.record.status = ConnectionStatus::Revoked;
            return true;
        }
        world.writes += 1;
        row.record = coarse(record.clone(), world.writes);
        world.blocked |=
            write == RefreshWrite::ReleaseLease && row.record.refresh_state.blocked_until.is_some();
        if write == RefreshWrite::StorePair {
            row.pair = pair;
            world.generation_decreased |= row.record.generation <= world.highest_generation;
            world.highest_generation = world.highest_generation.max(row.record.generation);
        }
        true
    }

    fn lease_may_expire(&self, world: &World) -> bool {
        if !self.reliable_leases {
            return true;
        }
        let Some(lease) = world.row.as_ref().and_then(|row| row.record.refresh_state.lease.as_ref()) else {
            return true;
        };
        !(0..world.workers.len())
            .any(|worker| world.workers[worker].running.is_some() && Self::id(world, worker) == lease.owner)
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let record = RefreshRow {
            generation: 1,
            status: ConnectionStatus::Active,
            access_expires_at: at(false),
            refresh_expires_at: Timestamp::from_second(5_000_000).unwrap(),
            refresh_state: RefreshState::default(),
        };
        let worker = Worker { attempt: 0, running: None, read_pair: 0, response: None, received: 0 };
        vec![World {
            row: Some(StoredRow { record, pair: 1 }),
            highest_generation: 1,
            generation_decreased: false,
            workers: vec![worker; self.workers],
            latest: 1,
            used: true,
            session_ended: false,
            deferred: Vec::new(),
            revocation: None,
            used_before_stored: false,
            blocked: false,
            called_while_blocked: false,
            writes: 0,
            crashes: 0,
            losses: 0,
            store_faults: 0,
            rate_limits: 0,
        }]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        for (at, worker) in world.workers.iter().enumerate() {
            match &worker.running {
                None if worker.attempt < self.attempts && world.row.is_some() => acts.push(Act::Start(at)),
                None => {}
                Some((_, effect)) => {
                    if world.crashes < self.crashes {
                        acts.push(Act::Crash(at));
                    }
                    if worker.response.is_some() {
                        acts.push(Act::DeliverResponse(at));
                        if world.losses < self.losses {
                            acts.push(Act::LoseResponse(at));
                        }
                        continue;
                    }
                    if matches!(effect, Effect::AcquirePermit | Effect::CallTokenEndpoint)
                        && world.rate_limits < self.rate_limits
                    {
                        acts.push(Act::RateLimit(at));
                    }
                    acts.push(Act::Run(at, false));
                    let decides =
                        matches!(effect, Effect::ReadRow | Effect::Write(RefreshWrite::AcquireLease, _));
                    if decides && self.lease_may_expire(world) {
                        acts.push(Act::Run(at, true));
                    }
                    if matches!(effect, Effect::Write(..)) && world.store_faults < self.store_faults {
                        acts.push(Act::RunWithoutResponse(at, true));
                        acts.push(Act::RunWithoutResponse(at, false));
                    }
                }
            }
        }
        if !world.used && world.row.as_ref().is_some_and(|row| row.pair == world.latest) {
            acts.push(Act::UseToken);
        }
        if !world.deferred.is_empty() {
            acts.push(Act::StoreDeferredPair);
        }
        if self.disconnects && world.row.is_some() {
            acts.push(Act::Disconnect);
        }
        if world.revocation.is_some() {
            acts.push(Act::EndSession);
        }
    }

    fn next_state(&self, last: &World, act: Act) -> Option<World> {
        let mut world = last.clone();
        // Late is after every penalty.
        world.blocked &= !matches!(act, Act::Run(_, true));
        match act {
            Act::Start(at) => {
                world.workers[at].attempt += 1;
                world.workers[at].running = Some((State::Started, Effect::ReadRow));
                self.advance(&mut world, at, Event::Started, false);
            }
            Act::Run(at, late) => {
                let (state, effect) = world.workers[at].running.clone()?;
                let event = match effect {
                    Effect::ReadRow => {
                        if state == State::Reading {
                            world.workers[at].read_pair = world.row.as_ref().map_or(0, |row| row.pair);
                        }
                        match (&state, self.variant) {
                            (State::ResolvingDenial(row, denial), Variant::UnconditionalRevocation) => {
                                let mut believed = row.clone();
                                believed.refresh_state.denied_at = Some(Timestamp::from_second(0).unwrap());
                                let state = State::ResolvingDenial(believed.clone(), *denial);
                                world.workers[at].running = Some((state, Effect::ReadRow));
                                Event::RowRead(Some(believed))
                            }
                            _ => Event::RowRead(world.row.as_ref().map(|row| row.record.clone())),
                        }
                    }
                    Effect::Prepare | Effect::AcquirePermit => Event::Ready,
                    Effect::Write(write, record) => {
                        if self.write(&mut world, at, write, &record, late) {
                            Event::Written
                        } else {
                            Event::WriteConflict
                        }
                    }
                    Effect::CallTokenEndpoint => {
                        if world.latest > self.rotations {
                            return None;
                        }
                        self.call(&mut world, at);
                        return Some(world);
                    }
                    Effect::EndSession => {
                        world.session_ended = true;
                        Event::Written
                    }
                    Effect::DeferPair => {
                        let State::Finishing(_) = state else { return None };
                        let pair = world.workers[at].received;
                        // The pair replaces the one that was read. Its generation has the same number.
                        let replaced = u64::from(world.workers[at].read_pair);
                        world.deferred.push((pair, replaced));
                        Event::Written
                    }
                    Effect::Wait | Effect::Finish(_) => return None,
                };
                self.advance(&mut world, at, event, late);
            }
            Act::RunWithoutResponse(at, made) => {
                let (_, effect) = world.workers[at].running.clone()?;
                let Effect::Write(write, record) = effect else { return None };
                world.store_faults += 1;
                if made {
                    self.write(&mut world, at, write, &record, false);
                }
                self.advance(&mut world, at, Event::StoreFailed, false);
            }
            Act::DeliverResponse(at) => {
                let (answer, pair) = world.workers[at].response.take()?;
                world.workers[at].received = pair;
                if answer == TokenResponse::NewPair
                    && self.variant == Variant::UseBeforeWrite
                    && pair == world.latest
                {
                    world.used = true;
                    world.used_before_stored = true;
                }
                self.advance(&mut world, at, Event::Responded(answer), false);
            }
            Act::LoseResponse(at) => {
                world.workers[at].response.take()?;
                world.losses += 1;
                self.advance(&mut world, at, Event::Responded(TokenResponse::Ambiguous), false);
            }
            Act::RateLimit(at) => {
                let (_, effect) = world.workers[at].running.clone()?;
                world.rate_limits += 1;
                let event = if effect == Effect::CallTokenEndpoint {
                    world.called_while_blocked |= world.blocked;
                    Event::Responded(TokenResponse::RateLimited(between()))
                } else {
                    Event::NotReady(between())
                };
                self.advance(&mut world, at, event, false);
            }
            Act::Crash(at) => {
                world.crashes += 1;
                let worker = &mut world.workers[at];
                *worker = Worker {
                    attempt: worker.attempt,
                    running: None,
                    read_pair: 0,
                    response: None,
                    received: 0,
                };
            }
            Act::UseToken => world.used = true,
            Act::StoreDeferredPair => {
                let (pair, generation) = world.deferred.remove(0);
                match &world.row {
                    None => world.revocation = Some(pair),
                    Some(row) if row.record.generation == generation => {
                        let state = State::CallingTokenEndpoint(row.record.clone());
                        let now = at(false);
                        let attempt = RefreshAttempt {
                            id: "queue",
                            stale_generation: None,
                            now,
                            deadline: now,
                            wait_until: now,
                            jitter_percent: 0,
                        };
                        let seen = row.record.clone();
                        let (_, effect) = step(state, Event::Responded(TokenResponse::NewPair), &attempt);
                        if let Effect::Write(write, record) = effect {
                            self.apply(&mut world, "queue", &seen, write, &record, pair, false);
                        }
                    }
                    Some(_) => {}
                }
            }
            Act::Disconnect => {
                let row = world.row.take()?;
                world.revocation = Some(row.pair);
            }
            Act::EndSession => {
                let pair = world.revocation.take()?;
                if self.is_redeemable(&world, pair) {
                    world.session_ended = true;
                }
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("the generation only increases", |_, world: &World| !world.generation_decreased),
            Property::always(
                "the grant of a revoked connection can't be redeemed",
                |model: &Self, world: &World| {
                    world.row.as_ref().is_none_or(|row| {
                        row.record.status != ConnectionStatus::Revoked
                            || !model.is_redeemable(world, row.pair)
                    })
                },
            ),
            Property::always("no token is used before it is stored", |_, world: &World| {
                !world.used_before_stored
            }),
            Property::always("no session outlives its connection", |_, world: &World| {
                let idle = world.workers.iter().all(|worker| worker.running.is_none());
                let done =
                    idle && world.deferred.is_empty() && world.revocation.is_none() && world.row.is_none();
                // A pair that a crashed worker had received is lost. Its session expires within a week.
                !done
                    || world.session_ended
                    || world.crashes > 0
                    || world.losses > 0
                    || world.store_faults > 0
            }),
            Property::sometimes("a refresh succeeds", |_, world: &World| world.highest_generation > 1),
        ];
        if self.reliable_leases {
            properties.push(Property::always("no call while the row is blocked", |_, world: &World| {
                !world.called_while_blocked
            }));
        }
        let lossless = self.crashes == 0 && self.losses == 0 && self.store_faults == 0;
        if self.server == Server::Forgiving || lossless {
            properties.push(Property::always("the stored grant can be redeemed", |model: &Self, world: &World| {
                world.row.as_ref().is_none_or(|row| {
                    model.is_redeemable(world, row.pair)
                        // In transit to the row.
                        || world.workers.iter().any(|worker| worker.response.is_some() || worker.received == world.latest)
                        || world.deferred.iter().any(|(pair, _)| *pair == world.latest)
                })
            }));
        }
        properties
    }
}
