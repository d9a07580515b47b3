//! A simulation of many connections in virtual time, with all that needs access tokens and calls of RingCentral: messages, the
//! statuses of sent ones, message sync, the daily check, the keepalive, and the recovery from an outage of the token endpoint.
//!
//! The decisions are those of the product's own code: [`step`] and [`half_life`] refresh tokens, [`Tally`] and [`TokenPriority`]
//! count and divide the token calls, [`SyncIntervals`] and [`next_check`] say what is due, [`window_before`] and [`SweepPace`]
//! keep idle connections alive, and `SenderState` paces messages. What is simulated around them: one worker of each shard sweeps
//! overdue connections, in rounds of a third of a second; schedules fire at a random time in their window; a failed attempt is
//! repeated through the queue.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use shared::keepalive::{SweepPace, window_before};
use shared::limits;
use shared::model::activity::{Activity, SyncIntervals};
use shared::model::connection::{ConnectionStatus, RefreshState};
use shared::model::ids::ConnectionId;
use shared::model::rate_limit::{Allowance, Quota, Tally};
use shared::model::refresh::{
    AttemptEffect, AttemptEvent, AttemptOutcome, AttemptState, RefreshAttempt, RefreshRow, RefreshWrite,
    TokenPriority, TokenResponse, half_life, step,
};
use shared::model::shard::Shard;
use shared::setup::next_check;

use crate::fleet_report::{FleetReport, Plan, Usage, UsageReport};
use crate::sender_batch::{Batch, send_batch};
use crate::virtual_time::{DAY, HOUR, MINUTE, SECOND, SeededRandom, TimedEvents, minute, stamp, virtual_ms};

const REFRESH_TOKEN: i64 = limits::REFRESH_TOKEN_SECONDS * SECOND;
const ACCESS_TOKEN: i64 = limits::ACCESS_TOKEN_SECONDS * SECOND;
/// Duration of a refresh, and of a round of the sweep.
const ROUND: i64 = SECOND / 3;
/// How long a failed sync keeps its claim.
const CLAIM: i64 = 2 * MINUTE;
/// Calls of a daily check: listing and renewing subscriptions, numbers of the extension and the account, readiness, consents.
const CHECK_CALLS: u64 = 7;
/// Sends for each one that is reconciled.
const SENDS_PER_RECONCILIATION: u64 = 1_000;
const NEVER: i64 = i64::MAX;
/// The default parameters of a stack.
const INTERVALS: SyncIntervals =
    SyncIntervals { active_seconds: 600, recent_seconds: 7_200, idle_seconds: 43_200 };

/// How often something happened in the current minute.
#[derive(Debug, Default, Clone, Copy)]
struct MinuteCount {
    minute: u32,
    count: u32,
}

impl MinuteCount {
    /// Counts one more and returns the count of its minute.
    fn add(&mut self, now: i64) -> u32 {
        let minute = u32::try_from(now / MINUTE).unwrap();
        let before = if self.minute == minute { self.count } else { 0 };
        *self = Self { minute, count: before + 1 };
        self.count
    }
}

#[derive(Debug, Clone, Copy)]
struct Connection {
    usage: Usage,
    shard: u8,
    /// Whether an event of its schedule is in the queue of events.
    is_scheduled: bool,
    failures: u32,
    access_until: i64,
    refresh_until: i64,
    due: i64,
    blocked_until: Option<i64>,
    /// When its schedule fires.
    fires_at: i64,
    next_sync: i64,
    next_check: i64,
    last_message: Option<i64>,
    messages: u32,
    calls: MinuteCount,
    syncs: MinuteCount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    ScheduleFires(u32),
    RetryDelivered(u32),
    Check(u32),
    Sync(u32),
    Message(u32),
    /// The worker of a connection reads the statuses of sent messages, in this number of syncs.
    Statuses(u32, u32),
    Sweep,
    /// A worker of this shard begins its next round.
    SweepRound(u8),
}

/// What a worker that sweeps a shard still has to refresh: the tokens that expire first come last.
#[derive(Debug, Default, Clone)]
struct SweepWorker {
    left: Vec<u32>,
    pace: SweepPace,
    ends: i64,
    refreshed: usize,
}

/// How a refresh ended, and whether the token endpoint was called for it.
#[derive(Debug, Clone, Copy)]
struct Refresh {
    outcome: AttemptOutcome,
    called: bool,
}

impl Refresh {
    fn is_done(self) -> bool {
        matches!(self.outcome, AttemptOutcome::Refreshed(_))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Available,
    Unavailable,
}

pub struct Fleet {
    plan: Plan,
    random: SeededRandom,
    now: i64,
    events: TimedEvents<Event>,
    ids: Vec<ConnectionId>,
    connections: Vec<Connection>,
    /// The shards of the index `refresh`.
    index: Vec<BTreeSet<(i64, u32)>>,
    workers: Vec<SweepWorker>,
    failing: usize,
    /// The token calls of the app.
    tally: Tally,
    calls: Vec<u32>,
    single: Batch,
    hundred: Batch,
    report: FleetReport,
}

impl Fleet {
    pub fn new(plan: Plan, seed: u64) -> Self {
        let (single, hundred) = (send_batch(1), send_batch(100));
        let shards = usize::from(limits::DEFAULT_SHARDS);
        let mut fleet = Self {
            plan,
            random: SeededRandom(seed),
            now: 0,
            events: TimedEvents::until(plan.end),
            ids: Vec::new(),
            connections: Vec::new(),
            index: vec![BTreeSet::new(); shards],
            workers: vec![SweepWorker::default(); shards],
            failing: 0,
            tally: Tally::default(),
            calls: vec![0; minute(plan.end) + 1],
            single,
            hundred,
            report: FleetReport {
                shortest_lifetime: REFRESH_TOKEN,
                most_sends: hundred.most_in_a_minute,
                ..FleetReport::default()
            },
        };
        for connection in 0..plan.connections {
            fleet.connect((plan.usage)(connection));
        }
        fleet.events.push(MINUTE, Event::Sweep);
        fleet
    }

    /// A connection whose last refresh, next check, next sync and next message are at random times of a day.
    fn connect(&mut self, usage: Usage) {
        let connection = u32::try_from(self.connections.len()).unwrap();
        self.report.usages[usage as usize].connections += 1;
        let id = format!("conn_{:016x}", self.random.below(i64::MAX));
        let refreshed = -self.random.below(DAY);
        let (next_check, next_sync) = (self.random.below(DAY), self.random.below(DAY / 2));
        self.connections.push(Connection {
            usage,
            shard: Shard::of(&id).number(),
            is_scheduled: false,
            failures: 0,
            access_until: 0,
            refresh_until: 0,
            due: NEVER,
            blocked_until: None,
            fires_at: NEVER,
            next_sync,
            next_check,
            last_message: None,
            messages: 0,
            calls: MinuteCount::default(),
            syncs: MinuteCount::default(),
        });
        self.ids.push(ConnectionId::from_record(&id).unwrap());
        let jitter = self.random.jitter();
        self.store_pair(connection, refreshed, jitter);
        self.events.push(next_check, Event::Check(connection));
        self.events.push(next_sync, Event::Sync(connection));
        if usage != Usage::Idle {
            let first = self.random.below(DAY / 2);
            self.events.push(first, Event::Message(connection));
        }
    }

    pub fn run(mut self) -> FleetReport {
        while let Some((at, event)) = self.events.pop() {
            if at > self.plan.end {
                break;
            }
            self.now = self.now.max(at);
            match event {
                Event::ScheduleFires(connection) => self.fire(connection),
                Event::RetryDelivered(connection) => {
                    self.refresh(connection, None, TokenPriority::Normal);
                }
                Event::Check(connection) => self.check(connection),
                Event::Sync(connection) => self.sync(connection),
                Event::Message(connection) => self.message(connection),
                Event::Statuses(connection, checks) => self.read_statuses(connection, checks),
                Event::Sweep => self.sweep(),
                Event::SweepRound(shard) => self.sweep_round(shard),
            }
        }
        let (from, until) = self.plan.measured;
        let steady = &self.calls[minute(from)..minute(until)];
        let minutes = f64::from(u32::try_from(steady.len()).unwrap());
        self.report.mean = f64::from(steady.iter().sum::<u32>()) / minutes;
        self.report.peak = *steady.iter().max().unwrap();
        self.report.most_calls = *self.calls.iter().max().unwrap();
        self.report
    }

    fn connection(&mut self, connection: u32) -> &mut Connection {
        &mut self.connections[connection as usize]
    }

    /// The report of a connection's usage, in the measured period.
    fn measured(&mut self, connection: u32) -> Option<&mut UsageReport> {
        let usage = self.connection(connection).usage;
        self.is_measured().then(|| &mut self.report.usages[usage as usize])
    }

    fn is_measured(&self) -> bool {
        (self.plan.measured.0..self.plan.measured.1).contains(&self.now)
    }

    /// Refreshes a connection, as the function `refresh-tokens` does.
    fn refresh(&mut self, connection: u32, stale: Option<u64>, priority: TokenPriority) -> Refresh {
        let now = stamp(self.now);
        let attempt = RefreshAttempt {
            id: "attempt",
            stale_generation: stale,
            now,
            deadline: now + SignedDuration::from_secs(60),
            wait_until: now,
            jitter_percent: self.random.jitter(),
        };
        let (mut state, mut event, mut called) = (AttemptState::Started, AttemptEvent::Started, false);
        loop {
            let (next, effect) = step(state, event, &attempt);
            state = next;
            event = match effect {
                AttemptEffect::ReadRow => AttemptEvent::RowRead(Some(self.row(connection))),
                AttemptEffect::Prepare => {
                    let used = self.tally.total(Allowance::per_minute(self.plan.budget).window, now);
                    match priority.wait_for_calls(used, self.plan.budget) {
                        None => AttemptEvent::Ready,
                        Some(wait) => AttemptEvent::NotReady(now + wait),
                    }
                }
                AttemptEffect::AcquirePermit => self.acquire_permit(now),
                AttemptEffect::CallTokenEndpoint => {
                    called = true;
                    AttemptEvent::Responded(self.call_token_endpoint(connection))
                }
                AttemptEffect::Write(RefreshWrite::StorePair, _) => {
                    self.store_pair(connection, self.now, attempt.jitter_percent);
                    AttemptEvent::Written
                }
                AttemptEffect::Write(RefreshWrite::ReleaseLease, row) => {
                    self.store_failure(connection, &row);
                    AttemptEvent::Written
                }
                AttemptEffect::Write(..) => AttemptEvent::Written,
                AttemptEffect::Finish(outcome) => return Refresh { outcome, called },
                effect => panic!("one attempt at a time, and nothing is lost: {effect:?}"),
            };
        }
    }

    fn row(&self, connection: u32) -> RefreshRow {
        let found = &self.connections[connection as usize];
        let status =
            if found.failures > 0 { ConnectionStatus::RefreshFailed } else { ConnectionStatus::Active };
        RefreshRow {
            generation: 1,
            status,
            access_expires_at: stamp(found.access_until),
            refresh_expires_at: stamp(found.refresh_until),
            refresh_state: RefreshState {
                failures: found.failures,
                blocked_until: found.blocked_until.map(stamp),
                due: Some(stamp(found.due)),
                ..RefreshState::default()
            },
        }
    }

    /// Counts a call of the token endpoint, unless the budget of the minute is used up.
    fn acquire_permit(&mut self, now: Timestamp) -> AttemptEvent {
        let quota = Quota::single(Allowance::per_minute(self.plan.budget));
        let slot = Tally::slot_at(quota.window, now);
        self.tally.remove_outdated(quota.window, now);
        self.tally.add(slot, quota.party);
        let (count, _) = self.tally.count(&quota, now);
        if count.allowed {
            return AttemptEvent::Ready;
        }
        self.tally.subtract(slot, quota.party);
        AttemptEvent::NotReady(now + SignedDuration::try_from(count.reset).unwrap())
    }

    fn call_token_endpoint(&mut self, connection: u32) -> TokenResponse {
        let now = self.now;
        self.calls[minute(now)] += 1;
        let of_one = self.connection(connection).calls.add(now);
        self.report.most_calls_of_one = self.report.most_calls_of_one.max(of_one);
        if (self.plan.outage.0..self.plan.outage.1).contains(&now) {
            self.report.during_outage += 1;
            return TokenResponse::Ambiguous;
        }
        let lifetime = self.connection(connection).refresh_until - now;
        self.report.shortest_lifetime = self.report.shortest_lifetime.min(lifetime);
        if let Some(report) = self.measured(connection) {
            report.refreshes += 1;
        }
        TokenResponse::NewPair
    }

    /// Stores a new pair, and moves the schedule.
    fn store_pair(&mut self, connection: u32, now: i64, jitter: i64) {
        let due = half_life(stamp(now), stamp(now + REFRESH_TOKEN), jitter);
        let window = i64::from(limits::KEEPALIVE_WINDOW_MINUTES) * MINUTE;
        let fires_at = virtual_ms(window_before(due, stamp(now)).unwrap()) + self.random.below(window);
        self.move_due(connection, virtual_ms(due));
        let found = self.connection(connection);
        let had_failed = found.failures > 0;
        let refreshed = Connection {
            access_until: now + ACCESS_TOKEN,
            refresh_until: now + REFRESH_TOKEN,
            blocked_until: None,
            failures: 0,
            fires_at,
            is_scheduled: true,
            ..*found
        };
        let was_scheduled = std::mem::replace(found, refreshed).is_scheduled;
        if !was_scheduled {
            self.events.push(fires_at.max(0), Event::ScheduleFires(connection));
        }
        if had_failed {
            // Message sync backfills at once.
            self.failing -= 1;
            self.sync_at(connection, self.now);
        }
    }

    /// Stores how an attempt without a pair ended. Its retry comes through the queue.
    fn store_failure(&mut self, connection: u32, row: &RefreshRow) {
        let state = &row.refresh_state;
        let due = virtual_ms(state.due.unwrap());
        self.move_due(connection, due);
        let found = self.connection(connection);
        let fails_now = usize::from(found.failures == 0 && state.failures > 0);
        (found.failures, found.blocked_until) = (state.failures, state.blocked_until.map(virtual_ms));
        self.failing += fails_now;
        self.events.push(due, Event::RetryDelivered(connection));
    }

    fn move_due(&mut self, connection: u32, due: i64) {
        let found = self.connection(connection);
        let (before, shard) = (std::mem::replace(&mut found.due, due), usize::from(found.shard));
        self.index[shard].remove(&(before, connection));
        self.index[shard].insert((due, connection));
    }

    /// A token for a call, refreshed if necessary.
    fn token(&mut self, connection: u32, priority: TokenPriority) -> Token {
        let margin = limits::ACCESS_MARGIN_SECONDS * SECOND;
        if self.now + margin < self.connection(connection).access_until {
            return Token::Available;
        }
        if self.refresh(connection, Some(1), priority).is_done() {
            Token::Available
        } else {
            Token::Unavailable
        }
    }

    fn fire(&mut self, connection: u32) {
        let now = self.now;
        let found = self.connection(connection);
        if found.fires_at > now {
            // It was moved.
            let fires_at = found.fires_at;
            self.events.push(fires_at, Event::ScheduleFires(connection));
            return;
        }
        found.is_scheduled = false;
        self.refresh(connection, Some(1), TokenPriority::Normal);
    }

    /// Every minute: a worker for each shard with overdue connections.
    fn sweep(&mut self) {
        let overdue = self.index.iter().map(|shard| shard.range(..(self.now, u32::MAX)).count());
        let waiting = overdue.sum::<usize>() + self.failing;
        self.report.most_waiting = self.report.most_waiting.max(waiting);
        let ended = self.plan.outage.1;
        if self.now > ended && waiting == 0 && self.report.recovered_after.is_none() {
            self.report.recovered_after = Some(self.now - ended);
        }
        for shard in 0..limits::DEFAULT_SHARDS {
            if self.workers[usize::from(shard)].ends <= self.now {
                self.start_worker(shard);
            }
        }
        self.events.push(self.now + MINUTE, Event::Sweep);
    }

    fn start_worker(&mut self, shard: u8) {
        let at = usize::from(shard);
        let overdue = self.index[at].range(..(self.now, u32::MAX)).take(limits::SWEEP_OVERDUE);
        let mut left: Vec<u32> = overdue.map(|(_, connection)| *connection).collect();
        if left.is_empty() {
            return;
        }
        left.sort_by_key(|connection| Reverse(self.connections[*connection as usize].refresh_until));
        let ends = self.now + limits::REFRESH_SWEEP_MS.cast_signed();
        self.workers[at] = SweepWorker { left, ends, ..SweepWorker::default() };
        self.sweep_round(shard);
    }

    fn sweep_round(&mut self, shard: u8) {
        let at = usize::from(shard);
        let worker = &mut self.workers[at];
        let take = worker.pace.next_round().min(worker.left.len());
        if take == 0 || self.now >= worker.ends {
            // After a success, another worker continues.
            let continues = worker.refreshed > 0 && (self.now >= worker.ends || worker.left.is_empty());
            worker.ends = self.now;
            if continues {
                self.start_worker(shard);
            }
            return;
        }
        let round = worker.left.split_off(worker.left.len() - take);
        let results: Vec<Refresh> = round
            .into_iter()
            .map(|connection| self.refresh(connection, None, TokenPriority::Normal))
            .collect();
        let done = results.iter().filter(|result| result.is_done()).count();
        let unanswered = results.iter().filter(|result| result.called && !result.is_done()).count();
        let worker = &mut self.workers[at];
        worker.pace.record_round(unanswered, done);
        worker.refreshed += done;
        self.events.push(self.now + ROUND, Event::SweepRound(shard));
    }

    fn check(&mut self, connection: u32) {
        let next = match self.token(connection, TokenPriority::Normal) {
            Token::Available => {
                self.report.api_calls.checks += CHECK_CALLS * u64::from(self.is_measured());
                let expires = stamp(self.now + limits::SUBSCRIPTION_SECONDS * SECOND);
                virtual_ms(next_check(&self.ids[connection as usize], expires, stamp(self.now)))
            }
            Token::Unavailable => self.now + limits::CHECK_RETRY_MAX_SECONDS / 6 * SECOND,
        };
        // The schedule runs every five minutes.
        let next = next + self.random.below(5 * MINUTE);
        self.connection(connection).next_check = next;
        self.events.push(next, Event::Check(connection));
    }

    fn sync_at(&mut self, connection: u32, at: i64) {
        self.connection(connection).next_sync = at;
        self.events.push(at, Event::Sync(connection));
    }

    /// Makes a sync due at this time, unless it is due earlier.
    fn sync_by(&mut self, connection: u32, at: i64) {
        if self.connection(connection).next_sync > at {
            self.sync_at(connection, at);
        }
    }

    fn sync(&mut self, connection: u32) {
        // Otherwise it was moved.
        if self.connection(connection).next_sync == self.now {
            self.sync_now(connection, 1);
        }
    }

    /// Syncs a connection; `times` counts the syncs that have brought it here.
    fn sync_now(&mut self, connection: u32, times: u32) {
        let found = *self.connection(connection);
        let (now, last_message) = (stamp(self.now), found.last_message.map(stamp));
        let next = match self.token(connection, TokenPriority::Low) {
            Token::Available => {
                let at = self.now;
                let in_a_minute = self.connection(connection).syncs.add(at);
                self.report.most_syncs = self.report.most_syncs.max(in_a_minute);
                if let Some(report) = self.measured(connection) {
                    report.syncs += u64::from(times);
                    self.report.api_calls.syncs += u64::from(times);
                }
                let next_check = Some(stamp(found.next_check));
                let id = &self.ids[connection as usize];
                virtual_ms(INTERVALS.next_sync(id, last_message, next_check, now))
            }
            Token::Unavailable => {
                if let Some(report) = self.measured(connection) {
                    report.late_syncs += 1;
                }
                match Activity::at(last_message, now) {
                    Activity::Active => self.now + CLAIM,
                    Activity::Recent | Activity::Idle => {
                        virtual_ms(INTERVALS.next_while_active(&self.ids[connection as usize], now))
                    }
                }
            }
        };
        // The schedule runs every minute.
        let next = next + self.random.below(MINUTE);
        self.sync_at(connection, next);
    }

    fn message(&mut self, connection: u32) {
        let now = self.now;
        let found = self.connection(connection);
        found.messages += 1;
        let is_inbound = found.usage != Usage::Busy && found.messages.is_multiple_of(2);
        if is_inbound {
            found.last_message = Some(now);
            self.sync_by(connection, self.now + limits::SYNC_DEBOUNCE_SECONDS * SECOND);
        } else if self.send(connection) == Token::Unavailable {
            self.connection(connection).messages -= 1;
            let again = self.now + limits::SENDER_BLOCKED_RETRY_SECONDS * SECOND;
            self.events.push(again, Event::Message(connection));
            return;
        }
        let next = match self.connection(connection).usage {
            Usage::Idle => return,
            Usage::Few => self.now + MINUTE + self.random.below(DAY / 2),
            Usage::Recent => self.now + 23 * HOUR,
            Usage::Active => self.now + 40 * MINUTE,
            Usage::Busy => {
                let next = self.now + 10 * MINUTE;
                let hour = next.rem_euclid(DAY) / HOUR;
                if (8..18).contains(&hour) { next } else { next + 14 * HOUR }
            }
        };
        self.events.push(next, Event::Message(connection));
    }

    fn send(&mut self, connection: u32) -> Token {
        let token = self.token(connection, TokenPriority::Normal);
        let batch = if self.connection(connection).usage == Usage::Busy { self.hundred } else { self.single };
        let sends = u64::from(batch.sends);
        let is_reconciled = self.random.below(i64::try_from(SENDS_PER_RECONCILIATION / sends).unwrap()) == 0;
        if let Some(report) = self.measured(connection) {
            match token {
                Token::Available => {
                    report.sends += sends;
                    self.report.api_calls.sends += sends;
                    self.report.api_calls.reconciliations += u64::from(is_reconciled);
                }
                Token::Unavailable => report.late_sends += 1,
            }
        }
        if token == Token::Available {
            let by = INTERVALS.next_while_active(&self.ids[connection as usize], stamp(self.now));
            self.sync_by(connection, virtual_ms(by));
            let checks = batch.status_checks;
            self.events.push(self.now + batch.takes, Event::Statuses(connection, checks));
        }
        token
    }

    /// The last of a batch's status checks, which stands for all of them.
    fn read_statuses(&mut self, connection: u32, checks: u32) {
        self.connection(connection).last_message = Some(self.now);
        self.sync_now(connection, checks);
    }
}
