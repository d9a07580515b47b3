//! The refresh protocol, checked: two workers (or three), a server of RingCentral's kinds, crashes, lost answers, a store
//! whose answers are lost, and leases that run out at any moment, in every order that there is.
//!
//! What decides is the product's own [`step`] and [`permits`]; here is only the world around them. The check is shown to
//! bite: four ways to get it wrong are found by the same checker.
//!
//! Three workers take minutes: `RINGBRIDGE_CHECK_WORKERS=3 cargo test --release -p shared --test refresh`.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected fails")]
#![expect(clippy::print_stdout, reason = "how much was searched is worth knowing")]
#![expect(clippy::disallowed_methods, reason = "how many workers to check is asked of the environment")]

mod checks;

use jiff::Timestamp;
use shared::model::connection::ConnectionStatus;
use shared::model::refresh::{
    Answer, Attempt, Denial, Effect, Event, Record, State, Upkeep, Write, permits, step,
};
use stateright::{Model, Property};

/// How the server treats a refresh token that was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Server {
    /// As RingCentral documents it: repeated, as long as the new access token was not used.
    Forgiving,
    /// Refused.
    Strict,
    /// Refused, and the whole session is ended.
    FamilyKill,
}

/// A way to get it wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Variant {
    /// None: the product's own code.
    Sound,
    /// The pair is written whatever the row holds.
    NoCompareAndSwap,
    /// The access token is used as soon as it comes.
    UseBeforeWrite,
    /// A refusal is believed at once, and flagged whatever the row holds.
    UnconditionalFlag,
    /// The lease is taken whatever others have noted since the row was read.
    BlindLease,
}

/// What may go wrong, and how often.
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
    /// Answers, or shares of the token endpoint, that say: not before some moment.
    limits: u8,
    disconnects: bool,
    /// Leases run out only when their owner is gone, as they do where clocks can be trusted.
    honest_leases: bool,
}

/// Pairs are numbered as the server gives them out.
type PairNumber = u8;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Row {
    record: Record,
    pair: PairNumber,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Worker {
    attempt: u8,
    running: Option<(State, Effect)>,
    /// The pair that it has read.
    hand: PairNumber,
    /// What the server has answered, on its way.
    reply: Option<(Answer, PairNumber)>,
    /// The pair that it has received.
    received: PairNumber,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    row: Option<Row>,
    highest_generation: u64,
    went_back: bool,
    workers: Vec<Worker>,
    /// The newest pair that the server has given out, whether its access token was used, whether the session is over.
    latest: PairNumber,
    used: bool,
    over: bool,
    /// Sealed pairs in the queue, with the generation that they replace.
    parked: Vec<(PairNumber, u64)>,
    /// The session that is to be ended after a disconnect.
    outbox: Option<PairNumber>,
    unsafe_use: bool,
    /// The row has told of a penalty, and the moment at which it ends has not come.
    blocked: bool,
    called_blocked: bool,
    /// How many writes the row has seen: they stand for its due moment, which is another one after each.
    writes: u8,
    crashes: u8,
    losses: u8,
    store_faults: u8,
    limits: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Act {
    Start(usize),
    /// The worker's next effect, early or late: late is after every lease and every pause.
    Do(usize, bool),
    /// A write that is made, or not, and not answered.
    DoUnanswered(usize, bool),
    Deliver(usize),
    Lose(usize),
    /// The worker is told to wait, by the server or where it asks for its share.
    Limit(usize),
    Crash(usize),
    /// Whoever needs a token uses the one that is stored.
    Use,
    Rescue,
    Disconnect,
    EndSession,
}

fn at(late: bool) -> Timestamp {
    Timestamp::from_second(if late { 1_000_000 } else { 1_000 }).unwrap()
}

/// When leases and penalties end.
fn between() -> Timestamp {
    Timestamp::from_second(2_000).unwrap()
}

/// Moments are told apart only as early and late, so that there are finitely many worlds. Only when it is due is told
/// apart by each write.
fn coarse(mut record: Record, writes: u8) -> Record {
    let upkeep = &mut record.upkeep;
    if let Some(lease) = &mut upkeep.lease {
        lease.until = between();
    }
    if let Some(intent) = &mut upkeep.intent {
        intent.since = at(false);
    }
    upkeep.denied_at = upkeep.denied_at.map(|_| at(false));
    upkeep.since = None;
    upkeep.due = Some(Timestamp::from_second(writes.into()).unwrap());
    upkeep.failures = 0;
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
        let attempt = Attempt {
            id: &id,
            stale: None,
            now: at(late),
            // It ends before its deadline, whatever the clock says of the others.
            deadline: if late { Timestamp::from_second(2_000_000).unwrap() } else { deadline },
            patience: at(false),
            jitter: 0,
        };
        let (state, effect) = step(state, event, &attempt);
        world.workers[worker].running = match effect {
            Effect::Finish(_) => None,
            // It gives up instead of waiting; another attempt is another start.
            Effect::Wait => None,
            effect => Some((state, effect)),
        };
        if world.workers[worker].running.is_none() {
            world.workers[worker].hand = 0;
            world.workers[worker].received = 0;
        }
    }

    /// True if the server would take a refresh token.
    fn redeemable(&self, world: &World, pair: PairNumber) -> bool {
        !world.over
            && (pair == world.latest
                || (self.server == Server::Forgiving && pair + 1 == world.latest && !world.used))
    }

    fn call(&self, world: &mut World, worker: usize) {
        world.called_blocked |= world.blocked;
        let pair = world.workers[worker].hand;
        let reply = if !self.redeemable(world, pair) {
            if self.server == Server::FamilyKill && pair < world.latest {
                world.over = true;
            }
            (Answer::Denied(Denial::Refused), 0)
        } else {
            if pair == world.latest {
                world.latest += 1;
                world.used = false;
            }
            (Answer::Pair, world.latest)
        };
        world.workers[worker].reply = Some(reply);
    }

    fn write(&self, world: &mut World, worker: usize, write: Write, record: &Record, late: bool) -> bool {
        let id = Self::id(world, worker);
        let Some((State::Leasing(seen) | State::Storing(seen), _)) = &world.workers[worker].running else {
            return self.end(world, &id, write, record, late);
        };
        let seen = seen.clone();
        let pair = world.workers[worker].received;
        self.apply(world, &id, &seen, write, record, pair, late)
    }

    /// Ends of an attempt state the generation that they have seen themselves.
    fn end(&self, world: &mut World, id: &str, write: Write, record: &Record, late: bool) -> bool {
        self.apply(world, id, record, write, record, 0, late)
    }

    #[expect(clippy::too_many_arguments, reason = "it is one write with all that it states")]
    fn apply(
        &self,
        world: &mut World,
        id: &str,
        seen: &Record,
        write: Write,
        record: &Record,
        pair: PairNumber,
        late: bool,
    ) -> bool {
        let Some(row) = &mut world.row else { return false };
        let unconditional = match self.variant {
            Variant::NoCompareAndSwap => write == Write::Pair,
            Variant::UnconditionalFlag => write == Write::Revoked,
            Variant::Sound | Variant::UseBeforeWrite | Variant::BlindLease => false,
        };
        let mut seen = seen.clone();
        if self.variant == Variant::BlindLease {
            seen.upkeep.due = row.record.upkeep.due;
        }
        if !unconditional && !permits(write, &row.record, &seen, id, at(late)) {
            return false;
        }
        if unconditional && write == Write::Revoked {
            row.record.status = ConnectionStatus::Revoked;
            return true;
        }
        world.writes += 1;
        row.record = coarse(record.clone(), world.writes);
        world.blocked |= write == Write::End && row.record.upkeep.blocked_until.is_some();
        if write == Write::Pair {
            row.pair = pair;
            world.went_back |= row.record.generation <= world.highest_generation;
            world.highest_generation = world.highest_generation.max(row.record.generation);
        }
        true
    }

    fn lease_may_run_out(&self, world: &World) -> bool {
        if !self.honest_leases {
            return true;
        }
        let Some(lease) = world.row.as_ref().and_then(|row| row.record.upkeep.lease.as_ref()) else {
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
        let record = Record {
            generation: 1,
            status: ConnectionStatus::Active,
            access_until: at(false),
            refresh_until: Timestamp::from_second(5_000_000).unwrap(),
            upkeep: Upkeep::default(),
        };
        let worker = Worker { attempt: 0, running: None, hand: 0, reply: None, received: 0 };
        vec![World {
            row: Some(Row { record, pair: 1 }),
            highest_generation: 1,
            went_back: false,
            workers: vec![worker; self.workers],
            latest: 1,
            used: true,
            over: false,
            parked: Vec::new(),
            outbox: None,
            unsafe_use: false,
            blocked: false,
            called_blocked: false,
            writes: 0,
            crashes: 0,
            losses: 0,
            store_faults: 0,
            limits: 0,
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
                    if worker.reply.is_some() {
                        acts.push(Act::Deliver(at));
                        if world.losses < self.losses {
                            acts.push(Act::Lose(at));
                        }
                        continue;
                    }
                    if matches!(effect, Effect::Count | Effect::Call) && world.limits < self.limits {
                        acts.push(Act::Limit(at));
                    }
                    acts.push(Act::Do(at, false));
                    let decides = matches!(effect, Effect::Read | Effect::Write(Write::Lease, _));
                    if decides && self.lease_may_run_out(world) {
                        acts.push(Act::Do(at, true));
                    }
                    if matches!(effect, Effect::Write(..)) && world.store_faults < self.store_faults {
                        acts.push(Act::DoUnanswered(at, true));
                        acts.push(Act::DoUnanswered(at, false));
                    }
                }
            }
        }
        if !world.used && world.row.as_ref().is_some_and(|row| row.pair == world.latest) {
            acts.push(Act::Use);
        }
        if !world.parked.is_empty() {
            acts.push(Act::Rescue);
        }
        if self.disconnects && world.row.is_some() {
            acts.push(Act::Disconnect);
        }
        if world.outbox.is_some() {
            acts.push(Act::EndSession);
        }
    }

    fn next_state(&self, last: &World, act: Act) -> Option<World> {
        let mut world = last.clone();
        // Late is after every penalty.
        world.blocked &= !matches!(act, Act::Do(_, true));
        match act {
            Act::Start(at) => {
                world.workers[at].attempt += 1;
                world.workers[at].running = Some((State::Begun, Effect::Read));
                self.advance(&mut world, at, Event::Begin, false);
            }
            Act::Do(at, late) => {
                let (state, effect) = world.workers[at].running.clone()?;
                let event = match effect {
                    Effect::Read => {
                        if state == State::Reading {
                            world.workers[at].hand = world.row.as_ref().map_or(0, |row| row.pair);
                        }
                        match (&state, self.variant) {
                            (State::Denied(row, denial), Variant::UnconditionalFlag) => {
                                let mut believed = row.clone();
                                believed.upkeep.denied_at = Some(Timestamp::from_second(0).unwrap());
                                let state = State::Denied(believed.clone(), *denial);
                                world.workers[at].running = Some((state, Effect::Read));
                                Event::Found(Some(believed))
                            }
                            _ => Event::Found(world.row.as_ref().map(|row| row.record.clone())),
                        }
                    }
                    Effect::Prepare | Effect::Count => Event::Ready,
                    Effect::Write(write, record) => {
                        if self.write(&mut world, at, write, &record, late) {
                            Event::Written
                        } else {
                            Event::NotWritten
                        }
                    }
                    Effect::Call => {
                        if world.latest > self.rotations {
                            return None;
                        }
                        self.call(&mut world, at);
                        return Some(world);
                    }
                    Effect::Discard => {
                        world.over = true;
                        Event::Written
                    }
                    Effect::Park => {
                        let State::Ending(_) = state else { return None };
                        let generation = world.workers[at].received;
                        // The pair replaces the one that was in hand; generations and pairs are counted alike there.
                        let replaced = u64::from(world.workers[at].hand);
                        world.parked.push((generation, replaced));
                        Event::Written
                    }
                    Effect::Wait | Effect::Finish(_) => return None,
                };
                self.advance(&mut world, at, event, late);
            }
            Act::DoUnanswered(at, made) => {
                let (_, effect) = world.workers[at].running.clone()?;
                let Effect::Write(write, record) = effect else { return None };
                world.store_faults += 1;
                if made {
                    self.write(&mut world, at, write, &record, false);
                }
                self.advance(&mut world, at, Event::StoreFailed, false);
            }
            Act::Deliver(at) => {
                let (answer, pair) = world.workers[at].reply.take()?;
                world.workers[at].received = pair;
                if answer == Answer::Pair && self.variant == Variant::UseBeforeWrite && pair == world.latest {
                    world.used = true;
                    world.unsafe_use = true;
                }
                self.advance(&mut world, at, Event::Answered(answer), false);
            }
            Act::Lose(at) => {
                world.workers[at].reply.take()?;
                world.losses += 1;
                self.advance(&mut world, at, Event::Answered(Answer::Unclear), false);
            }
            Act::Limit(at) => {
                let (_, effect) = world.workers[at].running.clone()?;
                world.limits += 1;
                let event = if effect == Effect::Call {
                    world.called_blocked |= world.blocked;
                    Event::Answered(Answer::Limited(between()))
                } else {
                    Event::NotReady(between())
                };
                self.advance(&mut world, at, event, false);
            }
            Act::Crash(at) => {
                world.crashes += 1;
                let worker = &mut world.workers[at];
                *worker =
                    Worker { attempt: worker.attempt, running: None, hand: 0, reply: None, received: 0 };
            }
            Act::Use => world.used = true,
            Act::Rescue => {
                let (pair, generation) = world.parked.remove(0);
                match &world.row {
                    None => world.outbox = Some(pair),
                    Some(row) if row.record.generation == generation => {
                        let state = State::Calling(row.record.clone());
                        let now = at(false);
                        let attempt = Attempt {
                            id: "queue",
                            stale: None,
                            now,
                            deadline: now,
                            patience: now,
                            jitter: 0,
                        };
                        let seen = row.record.clone();
                        let (_, effect) = step(state, Event::Answered(Answer::Pair), &attempt);
                        if let Effect::Write(write, record) = effect {
                            self.apply(&mut world, "queue", &seen, write, &record, pair, false);
                        }
                    }
                    Some(_) => {}
                }
            }
            Act::Disconnect => {
                let row = world.row.take()?;
                world.outbox = Some(row.pair);
            }
            Act::EndSession => {
                let pair = world.outbox.take()?;
                if self.redeemable(&world, pair) {
                    world.over = true;
                }
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("the generation only grows", |_, world: &World| !world.went_back),
            Property::always("a flagged connection can't be redeemed", |model: &Self, world: &World| {
                world.row.as_ref().is_none_or(|row| {
                    row.record.status != ConnectionStatus::Revoked || !model.redeemable(world, row.pair)
                })
            }),
            Property::always("no token is used before it is stored", |_, world: &World| !world.unsafe_use),
            Property::always("no session outlives its connection", |_, world: &World| {
                let idle = world.workers.iter().all(|worker| worker.running.is_none());
                let done = idle && world.parked.is_empty() && world.outbox.is_none() && world.row.is_none();
                // A worker that crashed with a pair in its hands has taken it along: it ends by itself within a week.
                !done || world.over || world.crashes > 0 || world.losses > 0 || world.store_faults > 0
            }),
            Property::sometimes("a refresh succeeds", |_, world: &World| world.highest_generation > 1),
        ];
        if self.honest_leases {
            properties.push(Property::always("no call while the row is blocked", |_, world: &World| {
                !world.called_blocked
            }));
        }
        let lossless = self.crashes == 0 && self.losses == 0 && self.store_faults == 0;
        if self.server == Server::Forgiving || lossless {
            properties.push(Property::always("the stored grant can be redeemed", |model: &Self, world: &World| {
                world.row.as_ref().is_none_or(|row| {
                    model.redeemable(world, row.pair)
                        // On its way into the row.
                        || world.workers.iter().any(|worker| worker.reply.is_some() || worker.received == world.latest)
                        || world.parked.iter().any(|(pair, _)| *pair == world.latest)
                })
            }));
        }
        properties
    }
}
