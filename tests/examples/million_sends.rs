//! Simulates a million sends through the worker's decisions, with lost responses and crashes:
//!
//! ```sh
//! cargo run --release --package tests --example million_sends
//! ```

#![expect(clippy::unwrap_used, reason = "a simulation may panic on a failure")]
#![expect(clippy::print_stdout, reason = "it prints its result")]

#[path = "../it/random.rs"]
#[expect(dead_code, reason = "only the tests use the rest of it")]
mod random;
#[path = "../it/sender_simulation.rs"]
mod sender_simulation;

use sender_simulation::{BAD_DAY, simulate};

fn main() {
    println!(
        "| sends | sent | failed | unknown | lost responses | crashes | sent twice or lost | 429 | simulated days |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let report = simulate(1_000_000, BAD_DAY, 42);
    let status = |name: &str| report.by_status.get(name).copied().unwrap_or_default();
    println!(
        "| 1,000,000 | {} | {} | {} | {} | {} | {} | {} | {:.1} |",
        status("sent"),
        status("failed"),
        status("unknown"),
        report.lost_responses,
        report.crashes,
        report.wrong,
        report.rate_limited,
        report.minutes / 1_440.0
    );
    println!(
        "\nRingCentral has sent {} messages; {:.1} % of its rate limit was used.",
        report.records,
        report.used * 100.0
    );
}
