//! A month of hundreds of connections, used at random, with faults:
//!
//! ```sh
//! cargo run --package tests --example month             # 200 connections
//! cargo run --package tests --example month 50 7        # 50, with another seed
//! ```
//!
//! The same as the test of that name, with more of them. It takes minutes: all of it goes through the real binaries.

#![expect(clippy::unwrap_used, reason = "a simulation that meets the unexpected ends")]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

#[path = "../it/month.rs"]
mod month;
#[path = "../it/random.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod random;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod world;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().unwrap());
    let (connections, seed) = (arguments.next().unwrap_or(200), arguments.next().unwrap_or(1));
    let report = month::month(usize::try_from(connections).unwrap(), seed).await;
    println!("seed {seed}: {report:#?}");
    let whole = report.lost.is_empty() && report.refused == 0 && report.lapsed == 0;
    assert!(whole && report.most_in_a_minute <= 5, "a connection or a subscription was lost");
}
