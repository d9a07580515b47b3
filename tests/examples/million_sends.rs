//! A million sends through the worker's decisions, with lost answers and crashes:
//!
//! ```sh
//! cargo run --release --package tests --example million_sends
//! ```

#![expect(clippy::unwrap_used, reason = "a simulation that meets the unexpected ends")]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

#[path = "../it/random.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod random;
#[path = "../it/sender_simulation.rs"]
mod sender_simulation;

use sender_simulation::{BAD_DAY, simulate};

fn main() {
    println!(
        "| sends | sent | failed | unknown | lost answers | crashes | doubled or lost | 429 | simulated days |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let report = simulate(1_000_000, BAD_DAY, 42);
    let status = |name: &str| report.by_status.get(name).copied().unwrap_or_default();
    println!(
        "| 1,000,000 | {} | {} | {} | {} | {} | {} | {} | {:.1} |",
        status("sent"),
        status("failed"),
        status("unknown"),
        report.lost_answers,
        report.crashes,
        report.wrong,
        report.too_many,
        report.minutes / 1_440.0
    );
    println!(
        "\nRingCentral has {} texts; {:.1} % of what it allows was used.",
        report.records,
        report.used * 100.0
    );
}
