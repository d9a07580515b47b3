//! A simulation of a million connections over three weeks of virtual time, with an outage of RingCentral's token endpoint of an
//! hour in the third. 95 % are idle, 4 % have a few messages a day, 1 % are busy for ten hours a day:
//!
//! ```sh
//! cargo run --release --package tests --example connections
//! ```
//!
//! `tests/it/fleet_simulation.rs` says what is simulated. The example `keepalive` measures what one connection costs.

#![expect(clippy::unwrap_used, reason = "a benchmark ends on unexpected values")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below the limit")]
#![expect(clippy::print_stdout, reason = "the output is the result")]

use std::time::Instant;

use fleet_report::{Plan, Usage, UsageReport, mixed};
use fleet_simulation::Fleet;
use virtual_time::{DAY, HOUR};

#[path = "../it/fleet_report.rs"]
mod fleet_report;
#[path = "../it/fleet_simulation.rs"]
mod fleet_simulation;
#[path = "../it/sender_batch.rs"]
mod sender_batch;
#[path = "../it/virtual_time.rs"]
mod virtual_time;

/// A million connections, or a given number: `… --example connections 10000`.
const CONNECTIONS: u32 = 1_000_000;
/// `TokenCallsPerMinute` for a million connections.
const BUDGET: u64 = 6_000;

fn main() {
    let connections = std::env::args().nth(1).map_or(CONNECTIONS, |count| count.parse().unwrap());
    let budget = u32::try_from(BUDGET * u64::from(connections) / u64::from(CONNECTIONS)).unwrap().max(20);
    let plan = Plan {
        connections,
        usage: mixed,
        budget,
        measured: (7 * DAY, 14 * DAY),
        outage: (15 * DAY, 15 * DAY + HOUR),
        end: 21 * DAY,
    };
    let began = Instant::now();
    let report = Fleet::new(plan, 0x5eed).run();
    let took = began.elapsed();
    println!("| {connections} connections | number | refreshes a day | syncs a day | sends a day |");
    println!("| --- | --- | --- | --- | --- |");
    for usage in [Usage::Idle, Usage::Few, Usage::Busy] {
        let one = report.usages[usage as usize];
        let [refreshes, syncs, sends] =
            [one.refreshes, one.syncs, one.sends].map(|count| one.a_day(count, plan));
        println!("| {usage:?} | {} | {refreshes:.2} | {syncs:.2} | {sends:.1} |", one.connections);
    }
    let sum = |of: fn(&UsageReport) -> u64| report.usages.iter().map(of).sum::<u64>();
    let recovered =
        report.recovered_after.map_or_else(|| "not".to_owned(), |ms| format!("{} minutes", ms / 60_000));
    let calls = report.api_calls;
    let [syncs, checks, sends, reconciliations] =
        [calls.syncs, calls.checks, calls.sends, calls.reconciliations]
            .map(|count| format!("{:.0}", count as f64 / (7.0 * 1_440.0)));
    println!("\n| measured | |\n| --- | --- |");
    for (what, value) in [
        (
            "token calls a minute, second week: on average, at most",
            format!("{:.0}, {}", report.mean, report.peak),
        ),
        (
            "budget of token calls a minute; most calls in a minute of the clock",
            format!("{budget}; {}", report.most_calls),
        ),
        ("most token calls of one connection in a minute, of 5", report.most_calls_of_one.to_string()),
        (
            "sends that waited for a token; syncs that waited for the others",
            format!("{}; {}", sum(|one| one.late_sends), sum(|one| one.late_syncs)),
        ),
        ("token calls in the hour of the outage", report.during_outage.to_string()),
        ("most connections overdue or failing", report.most_waiting.to_string()),
        ("until all are refreshed after the outage", recovered),
        (
            "shortest remaining lifetime of a refresh token",
            format!("{:.2} days", report.shortest_lifetime as f64 / DAY as f64),
        ),
        (
            "calls of RingCentral's API a minute: syncs, checks, sends, reconciliations",
            format!("{syncs}, {checks}, {sends}, {reconciliations}"),
        ),
        (
            "most sends of one extension in a minute, of 40; most syncs",
            format!("{}; {}", report.most_sends, report.most_syncs),
        ),
        ("duration and memory of the simulation", format!("{:.0} s, {} MB", took.as_secs_f64(), memory_mb())),
    ] {
        println!("| {what} | {value} |");
    }
    report.assert_sound(plan);
}

/// Peak memory of the process.
fn memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kilobytes =
        line.and_then(|line| line.split_whitespace().nth(1)).and_then(|text| text.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1_024
}
