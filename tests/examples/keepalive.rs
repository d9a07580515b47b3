//! Measures the cost of keeping one connection alive, with the real functions on the local stack:
//!
//! ```sh
//! cargo run --package tests --example keepalive
//! ```

#![expect(clippy::unwrap_used, reason = "a benchmark ends on unexpected values")]
#![expect(clippy::print_stdout, reason = "the output is the result")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below the limit")]

use prices::SCHEDULE_CALL;
use serde_json::{Value, json};
use world::World;

#[path = "../it/prices.rs"]
mod prices;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "the tests use the other items")]
mod world;

/// Number of measured refreshes of each kind.
const TRIES: u32 = 5;

#[tokio::main]
async fn main() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;

    // By the schedule, which invokes no other function.
    let since = world.calls_so_far().await;
    let mut steps = 0;
    while world.count("token_refreshed").await < TRIES as usize {
        world.advance(6 * 3_600).await;
        steps += 1;
        assert!(steps < 4 * 4 * TRIES, "the schedules do not fire");
    }
    let of_schedule = price(&world, since, "refresh-tokens", TRIES).await + SCHEDULE_CALL;

    // On demand, by a function that needs a token and waits for it.
    let since = world.calls_so_far().await;
    for _ in 0..TRIES {
        world.advance(3_700).await;
        world.post("/v1/rc/numbers/refresh", &tenant.key).await.expect(200);
    }
    let in_use = price(&world, since, "refresh-tokens", TRIES).await;

    // The daily check of subscription and numbers, which finds the access token expired.
    let check = price_of_run(&world, "renew-subscriptions", 30).await;
    // A message sync. The refresh that it needs is counted above.
    let sync = price_of_run(&world, "sync-messages", 15).await;

    println!("| connection, 30 days | refreshes | checks | syncs | US dollars |");
    println!("| --- | --- | --- | --- | --- |");
    let rows = [
        ("tokens only", 30.0 / 3.5, 0.0, 0.0, of_schedule),
        ("idle", 2.0 * 30.0, 30.0, 2.0 * 30.0, in_use),
        ("messages every day", 12.0 * 30.0, 30.0, 12.0 * 30.0, in_use),
        ("messages around the clock", 24.0 * 30.0, 30.0, 144.0 * 30.0, in_use),
    ];
    for (what, refreshes, checks, syncs, each) in rows {
        let total = (refreshes * each + checks * check + syncs * sync) / 1e6;
        println!("| {what} | {refreshes:.1} | {checks:.0} | {syncs:.0} | {total:.5} |");
    }
    println!(
        "\nUS dollars for a million: {of_schedule:.2} for refreshes by schedule, {in_use:.2} on demand, {check:.2} for checks, \
         {sync:.2} for syncs."
    );
    println!("{}", world.hottest_keys().await);
    println!("{}", idle_month().await);
}

/// A table of what the schedules of a stack without connections cost in 30 days, from ten minutes of the stack's clock.
async fn idle_month() -> String {
    const MINUTES: i64 = 10;
    let world = World::start().await;
    world.advance(61).await;
    let (since, mut runs) = (world.calls_so_far().await, 0);
    for _ in 0..MINUTES {
        let order = json!({ "advanceSeconds": 60 });
        let request = world.http.post(format!("{}/_local/clock", world.gateway())).body(order.to_string());
        let moved: Value = request.send().await.unwrap().json().await.unwrap();
        runs += moved["fired"].as_array().unwrap().len();
    }
    let used = prices::used(&world.calls_since(since).await);
    let queries: usize = used.values().filter_map(|one| one.operations.get("Query")).sum();
    let sum = |of: fn(&prices::Use) -> f64| used.values().map(of).sum::<f64>();
    let (reads, seconds) = (sum(|one| one.reads), sum(|one| one.seconds));
    let times = 30.0 * 1_440.0 / MINUTES as f64;
    let mut table = "\n| an idle stack, 30 days | number | US dollars |\n| --- | --- | --- |".to_owned();
    let mut total = 0.0;
    for (what, number, price) in [
        ("queries, of half a read unit each", queries as f64, reads * prices::READ_UNIT),
        ("invocations by EventBridge Scheduler", runs as f64, runs as f64 * SCHEDULE_CALL),
        ("invocations of functions", runs as f64, runs as f64 * prices::LAMBDA_REQUEST),
        ("seconds of functions", seconds, seconds * prices::LAMBDA_SECOND),
    ] {
        let dollars = price * times / 1e6;
        table += &format!("\n| {what} | {:.0} | {dollars:.2} |", number * times);
        total += dollars;
    }
    assert!(sum(|one| one.writes) <= 0.0, "nothing is written");
    format!("{table}\n| together | | {total:.2} |")
}

/// US dollars for a million scheduled runs of a function, each after `hours` in which its work fell due.
async fn price_of_run(world: &World, function: &str, hours: i64) -> f64 {
    let since = world.calls_so_far().await;
    for _ in 0..TRIES {
        world.advance(hours * 3_600).await;
        world.invoke(function, &json!({})).await;
        world.idle().await;
    }
    price(world, since, function, TRIES).await
}

/// US dollars for a million invocations of a function that was invoked `times` since then.
async fn price(world: &World, since: u64, function: &str, times: u32) -> f64 {
    let log = world.calls_since(since).await;
    let used = prices::used(&log);
    let of_function = used.get(function).unwrap_or_else(|| panic!("{function} has made no call"));
    println!("{function}, {times} times: {}", of_function.named());
    of_function.price() / f64::from(times)
}
