//! What keeping one connection costs, measured with the real functions on the local stack:
//!
//! ```sh
//! cargo run --package tests --example keepalive
//! ```

#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected ends")]
#![expect(clippy::print_stdout, reason = "the tables are what it is for")]

use prices::SCHEDULE_CALL;
use serde_json::json;
use world::World;

#[path = "../it/prices.rs"]
mod prices;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod world;

/// Refreshes that are measured of each kind.
const TRIES: u32 = 5;

#[tokio::main]
async fn main() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;

    // By its schedule: nothing else is invoked.
    let since = world.calls_so_far().await;
    let mut steps = 0;
    while world.count("token_refreshed").await < TRIES as usize {
        world.advance(6 * 3_600).await;
        steps += 1;
        assert!(steps < 4 * 4 * TRIES, "the schedules do not fire");
    }
    let of_schedule = price(&world, since, "refresh-tokens", TRIES).await + SCHEDULE_CALL;

    // By a function that needs a token, and waits for it.
    let since = world.calls_so_far().await;
    for _ in 0..TRIES {
        world.advance(3_700).await;
        world.post("/v1/rc/numbers/refresh", &tenant.key).await.expect(200);
    }
    let in_use = price(&world, since, "refresh-tokens", TRIES).await;

    // The daily look at subscription and numbers, which finds the access token too old.
    let since = world.calls_so_far().await;
    for _ in 0..TRIES {
        world.advance(30 * 3_600).await;
        world.invoke("renew-subscriptions", &json!({})).await;
    }
    let look = price(&world, since, "renew-subscriptions", TRIES).await;

    println!("| connection, 30 days | refreshes | looks | US dollars |");
    println!("| --- | --- | --- | --- |");
    let rows = [
        ("only its tokens", 30.0 / 3.5, 0.0, of_schedule),
        ("idle: a look a day, which refreshes", 30.0, 30.0, in_use),
        ("in use around the clock", 24.0 * 30.0, 30.0, in_use),
    ];
    for (what, refreshes, looks, each) in rows {
        let total = (refreshes * each + looks * look) / 1e6;
        println!("| {what} | {refreshes:.1} | {looks:.0} | {total:.5} |");
    }
    println!(
        "\nDollars a million: {of_schedule:.2} refreshes by schedule, {in_use:.2} on demand, {look:.2} looks."
    );
}

/// Dollars for a million of what a function has done so many times since then.
async fn price(world: &World, since: u64, function: &str, times: u32) -> f64 {
    let log = world.calls_since(since).await;
    let used = prices::used(&log);
    let of_function = used.get(function).unwrap_or_else(|| panic!("{function} has made no call"));
    println!("{function}, {times} times: {}", of_function.named());
    of_function.price() / f64::from(times)
}
