//! A simulation of a million idle connections in virtual time. The refresh times come from the product's own code
//! ([`half_life`], [`window_before`], [`SweepPace`]):
//!
//! ```sh
//! cargo run --release --package tests --example connections
//! ```
//!
//! It covers three weeks, with a one-hour outage of RingCentral's token endpoint in the third. Schedules fire at a random
//! time in their window, failed attempts are retried through the queue, and every minute the sweep refreshes overdue
//! connections in the order in which their tokens expire, in rounds of a third of a second. All share one budget of calls in
//! a rolling minute.
//!
//! The example `keepalive` measures the cost of one connection.

#![expect(clippy::unwrap_used, reason = "a benchmark ends on unexpected values")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below the limit")]
#![expect(clippy::print_stdout, reason = "the output is the result")]

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::time::Instant;

use jiff::Timestamp;
use shared::keepalive::{SweepPace, window_before};
use shared::limits;
use shared::model::refresh::half_life;

const CONNECTIONS: u32 = 1_000_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Lifetime of a refresh token.
const LIFE: i64 = limits::REFRESH_TOKEN_SECONDS * SECOND;
/// Calls a minute: `TokenCallsPerMinute` of a deployment of this size.
const BUDGET: usize = 400;
/// Duration of a round of the sweep.
const ROUND: i64 = SECOND / 3;
/// Pauses after attempts without a response.
const PAUSES: [i64; 6] = [10, 10, 30, 60, 120, 300];

const MEASURED: (i64, i64) = (7 * DAY, 14 * DAY);
const OUTAGE: (i64, i64) = (15 * DAY, 15 * DAY + HOUR);
const END: i64 = 21 * DAY;

fn main() {
    let began = Instant::now();
    let mut world = World::new(0x5eed);
    world.run();
    let took = began.elapsed();
    let (from, until) = MEASURED;
    let steady = &world.calls[minute(from)..minute(until)];
    let mean = steady.iter().sum::<u32>() as f64 / steady.len() as f64;
    let peak = f64::from(*steady.iter().max().unwrap());
    let recovered = world.recovered.map(|at| (at - OUTAGE.1) / MINUTE);
    println!("| what | measured |\n| --- | --- |");
    println!("| connections, virtual time | {CONNECTIONS}, {} days |", END / DAY);
    println!("| refreshes a minute, second week | {mean:.1} on average, {peak:.0} at most |");
    println!("| peak to mean | {:.2} |", peak / mean);
    println!("| budget | {BUDGET} calls in a rolling minute; {} at most |", world.most_in_a_minute);
    println!("| calls during the one-hour outage | {} |", world.during_outage);
    println!("| most connections overdue or failing | {} |", world.most_waiting);
    match recovered {
        Some(minutes) => println!("| all refreshed after the outage | {minutes} minutes |"),
        None => println!("| all refreshed after the outage | not within the time simulated |"),
    }
    println!(
        "| shortest remaining lifetime of a refresh token | {:.2} days |",
        world.shortest_lifetime as f64 / DAY as f64
    );
    println!(
        "| refreshes of one connection in 30 days | {:.1} |",
        mean * 30.0 * 1440.0 / f64::from(CONNECTIONS)
    );
    println!("| wall time | {:.1} s |", took.as_secs_f64());
    println!("| memory | {} MB |", memory_mb());
    assert!(world.most_in_a_minute <= BUDGET, "the budget is not exceeded");
    assert!(peak / mean <= 1.3, "peak to mean is at most 1.3");
    assert!(world.shortest_lifetime > 0, "no grant is lost");
}

#[derive(Debug, Clone, Copy)]
struct Connection {
    expires: i64,
    due: i64,
    failures: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A schedule fires.
    ScheduleFires {
        connection: u32,
        due: i64,
    },
    /// The queue delivers a retry.
    RetryDelivered {
        connection: u32,
        due: i64,
    },
    Sweep,
    SweepRound,
}

struct World {
    random: Random,
    now: i64,
    events: BinaryHeap<Reverse<(i64, Event)>>,
    connections: Vec<Connection>,
    /// The index `refresh`.
    index: BTreeSet<(i64, u32)>,
    failing: usize,
    /// Calls within the last minute.
    window: VecDeque<i64>,
    /// What the running sweep still has to refresh.
    left: Vec<u32>,
    pace: SweepPace,
    sweep_ends: i64,
    calls: Vec<u32>,
    most_in_a_minute: usize,
    during_outage: u32,
    most_waiting: usize,
    shortest_lifetime: i64,
    recovered: Option<i64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            random: Random(seed),
            now: 0,
            events: BinaryHeap::new(),
            connections: Vec::with_capacity(CONNECTIONS as usize),
            index: BTreeSet::new(),
            failing: 0,
            window: VecDeque::new(),
            left: Vec::new(),
            pace: SweepPace::default(),
            sweep_ends: 0,
            calls: vec![0; minute(END) + 1],
            most_in_a_minute: 0,
            during_outage: 0,
            most_waiting: 0,
            shortest_lifetime: LIFE,
            recovered: None,
        };
        for id in 0..CONNECTIONS {
            // The last refresh is at a random time in the past, so that due times are spread.
            let jitter = world.random.jitter();
            let refreshed = -world.random.below(LIFE / 200 * (100 + jitter));
            world.connections.push(Connection { expires: refreshed + LIFE, due: 0, failures: 0 });
            world.store(id, refreshed, jitter);
        }
        world.at(MINUTE, Event::Sweep);
        world
    }

    fn run(&mut self) {
        while let Some(Reverse((at, event))) = self.events.pop() {
            if at > END {
                return;
            }
            self.now = self.now.max(at);
            match event {
                Event::ScheduleFires { connection, due } | Event::RetryDelivered { connection, due } => {
                    if self.connections[connection as usize].due == due {
                        self.attempt(connection);
                    }
                }
                Event::Sweep => self.sweep(),
                Event::SweepRound => self.round(),
            }
        }
    }

    fn at(&mut self, at: i64, event: Event) {
        self.events.push(Reverse((at, event)));
    }

    /// Stores a new pair, with the due time of production. The schedule fires at a random time in its window.
    fn store(&mut self, id: u32, now: i64, jitter: i64) {
        let due = half_life(stamp(now), stamp(now + LIFE), jitter);
        let begins = virtual_ms(window_before(due, stamp(now)).unwrap());
        let fires = begins + self.random.below(i64::from(limits::KEEPALIVE_WINDOW_MINUTES) * MINUTE);
        let due = virtual_ms(due);
        let connection = &mut self.connections[id as usize];
        self.index.remove(&(connection.due, id));
        *connection = Connection { expires: now + LIFE, due, failures: 0 };
        self.index.insert((due, id));
        self.at(fires.max(0), Event::ScheduleFires { connection: id, due });
    }

    /// True if the connection was refreshed.
    fn attempt(&mut self, id: u32) -> bool {
        while self.window.front().is_some_and(|first| *first <= self.now - MINUTE) {
            self.window.pop_front();
        }
        if self.window.len() >= BUDGET {
            return false;
        }
        self.window.push_back(self.now);
        self.most_in_a_minute = self.most_in_a_minute.max(self.window.len());
        self.calls[minute(self.now)] += 1;
        let Connection { expires, due, failures } = self.connections[id as usize];
        if (OUTAGE.0..OUTAGE.1).contains(&self.now) {
            self.during_outage += 1;
            let pause = PAUSES[usize::from(failures).min(PAUSES.len() - 1)] * SECOND;
            let again = self.now + pause * (80 + self.random.below(41)) / 100;
            self.failing += usize::from(failures == 0);
            self.index.remove(&(due, id));
            self.index.insert((again, id));
            self.connections[id as usize] =
                Connection { due: again, failures: failures.saturating_add(1), expires };
            self.at(again, Event::RetryDelivered { connection: id, due: again });
            return false;
        }
        self.failing -= usize::from(failures > 0);
        self.shortest_lifetime = self.shortest_lifetime.min(expires - self.now);
        let jitter = self.random.jitter();
        self.store(id, self.now, jitter);
        true
    }

    fn sweep(&mut self) {
        let overdue = self.index.range(..(self.now, u32::MAX)).count();
        let waiting = overdue + self.failing;
        self.most_waiting = self.most_waiting.max(waiting);
        if self.now > OUTAGE.1 && waiting == 0 && self.recovered.is_none() {
            self.recovered = Some(self.now);
        }
        self.left =
            self.index.range(..(self.now, u32::MAX)).take(limits::SWEEP_OVERDUE).map(|(_, id)| *id).collect();
        // Rounds take from the end, so the tokens that expire first come last.
        self.left.sort_by_key(|id| Reverse(self.connections[*id as usize].expires));
        self.pace = SweepPace::default();
        self.sweep_ends = self.now + limits::REFRESH_SWEEP_MS.cast_signed();
        self.round();
        self.at(self.now + MINUTE, Event::Sweep);
    }

    fn round(&mut self) {
        let take = self.pace.next_round().min(self.left.len());
        if take == 0 || self.now >= self.sweep_ends {
            return;
        }
        let round = self.left.split_off(self.left.len() - take);
        let mut refreshed = 0;
        for id in round {
            if self.connections[id as usize].due <= self.now {
                refreshed += usize::from(self.attempt(id));
            } else {
                // Refreshed by its schedule or the queue meanwhile.
                refreshed += 1;
            }
        }
        self.pace.record_round(take, refreshed);
        self.at(self.now + ROUND, Event::SweepRound);
    }
}

fn stamp(ms: i64) -> Timestamp {
    // Virtual time starts long after 1970, so that earlier times can be represented.
    Timestamp::from_millisecond(1_767_225_600_000 + ms).unwrap()
}

fn virtual_ms(at: Timestamp) -> i64 {
    at.as_millisecond() - stamp(0).as_millisecond()
}

fn minute(ms: i64) -> usize {
    usize::try_from(ms / MINUTE).unwrap()
}

/// A deterministic generator, so that all runs are equal.
struct Random(u64);

impl Random {
    /// From -20 to 20.
    fn jitter(&mut self) -> i64 {
        self.below(41) - 20
    }

    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// Peak memory of the process.
fn memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kilobytes =
        line.and_then(|line| line.split_whitespace().nth(1)).and_then(|text| text.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1_024
}
