//! Simulates a month of hundreds of connections, used at random, with failures:
//!
//! ```sh
//! cargo run --package tests --example month             # 200 connections
//! cargo run --package tests --example month 50 7        # 50, with another seed
//! ```
//!
//! The test of the same name with more connections. It takes minutes: it runs the real binaries.

#![expect(clippy::unwrap_used, reason = "a simulation may panic on a failure")]
#![expect(clippy::print_stdout, reason = "it prints its result")]

#[path = "../it/month.rs"]
mod month;
#[path = "../it/random.rs"]
#[expect(dead_code, reason = "only the tests use the rest of it")]
mod random;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "only the tests use the rest of it")]
mod world;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().unwrap());
    let (connections, seed) = (arguments.next().unwrap_or(200), arguments.next().unwrap_or(1));
    let report = month::month(usize::try_from(connections).unwrap(), seed).await;
    println!("seed {seed}: {report:#?}");
    let is_complete = report.lost.is_empty() && report.rejected == 0 && report.expired == 0;
    assert!(is_complete && report.most_in_a_minute <= 5, "a connection or a subscription was lost");
}
