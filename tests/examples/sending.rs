//! Measures what accepting and sending a message costs, how long it takes, and how late its final status is known:
//!
//! ```sh
//! cargo run --package tests --example sending
//! cargo run --package tests --example sending 60    # with RingCentral's window of 60 seconds
//! ```
//!
//! Runs on the local stack: HTTP requests to the real binaries, and the simulator with its rate limits. A bare GetItem is
//! measured in the same run, after each request. These are debug builds: compare only figures of one run.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic on a failure")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below the limit")]
#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use measure::{ms, percentile};
use reqwest::Method;
use serde_json::{Value, json};
use world::World;

mod measure;
#[path = "../it/prices.rs"]
mod prices;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "only the tests use the rest of it")]
mod world;

/// Messages that a sender may send at once; the next ones follow as these leave RingCentral's window.
const BURST: usize = 39;
/// Windows in which the use of the rate limit is measured.
const WINDOWS: i64 = 6;
/// Messages of the run, all from one sender: more than can be sent in these windows.
const MESSAGES: usize = 8 * BURST;
/// The simulator's window in seconds, unless an argument sets another one.
const WINDOW: u32 = 6;
/// From the simulator's response to a send to the message's final status: two steps of a second.
const STATUS_TAKES: SignedDuration = SignedDuration::from_secs(2);
const GOAL: f64 = 10.0;
/// A million requests through an HTTP API: us-east-1, 2026.
const GATEWAY_REQUEST: f64 = 1.00;

#[tokio::main]
async fn main() {
    let window_seconds = std::env::args().nth(1).map_or(WINDOW, |seconds| seconds.parse().unwrap());
    let world = World::with_default_parameters().await;
    let tenant = world.tenant();
    let order = json!({ "limits": { "requestsPerMinute": 10_000 } });
    let path = format!("/v1/tenants/{}", tenant.id);
    world.call(Method::PATCH, &path, &world.operator_key(), Some(order)).await.expect(200);
    world.connect(&tenant, &world.user(0)).await.expect(303);
    // No message is sent before all are accepted, so that no worker competes for the CPU.
    world.sim_fault("/sms", Some(1), json!({ "rateLimit": { "retryAfter": 60 } })).await;
    send(&world, "The first").await;
    world.stack.wait_until_idle().await;
    let since = world.calls_so_far().await;
    let events_before = world.count("webhook_sent").await;

    let row = json!({ "TableName": world.table("TenantsTable").await, "ConsistentRead": true,
        "Key": { "tenant": { "S": tenant.id }, "item": { "S": "tenant" } } });
    let (mut accepting, mut reading) = (Vec::new(), Vec::new());
    for at in 0..MESSAGES {
        let began = Instant::now();
        send(&world, &format!("Text {at}")).await;
        accepting.push(began.elapsed());
        let began = Instant::now();
        world.dynamodb("GetItem", &row).await;
        reading.push(began.elapsed());
    }
    let total: Duration = accepting.iter().sum();
    println!(
        "| {MESSAGES} sequential requests | p50 ms | p99 ms | times GetItem |\n| --- | --- | --- | --- |"
    );
    let bare = percentile(&reading, 50);
    println!("| a bare GetItem | {:.1} | {:.1} | 1 |", ms(bare), ms(percentile(&reading, 99)));
    let p50 = percentile(&accepting, 50);
    println!(
        "| POST /v1/sms/send, warm | {:.1} | {:.1} | {:.1} |",
        ms(p50),
        ms(percentile(&accepting, 99)),
        p50.as_secs_f64() / bare.as_secs_f64()
    );
    println!("\nOne instance accepts {:.0} messages per second.", MESSAGES as f64 / total.as_secs_f64());

    // A shorter window shortens the measurement.
    let window = json!({ "rateLimits": { "windowSeconds": window_seconds } });
    world.sim(Method::PUT, "/_sim/settings", Some(window)).await;
    let refused = world.count("rate_limited").await;
    let already = world.count("sms_accepted").await;
    world.advance(61).await;
    while world.count("sms_accepted").await - already < MESSAGES {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // By RingCentral's clock, from the first message on; the outbox was never empty.
    let accepted = world.ledger("sms_accepted").await;
    let times = accepted[already..].iter().map(|entry| entry["at"].as_str().unwrap().parse().unwrap());
    let times: Vec<Timestamp> = times.collect();
    let measured = SignedDuration::from_secs(i64::from(window_seconds) * WINDOWS);
    let used = times.iter().filter(|at| at.duration_since(times[0]) < measured).count();
    println!("\n| one sender | messages | share of the rate limit | rate-limited by RingCentral |");
    println!("| --- | --- | --- | --- |");
    println!(
        "| {WINDOWS} windows of {window_seconds} s | {used} | {:.0} % | {} |",
        100.0 * used as f64 / (40 * WINDOWS) as f64,
        world.count("rate_limited").await - refused
    );

    // Until every message is delivered, the first one too. The clock is not moved: it would make the reports late.
    while delivered(&world).await <= MESSAGES {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let log = world.calls_since(since).await;
    lateness(&world, already).await;
    println!(
        "\n| function | AWS calls for {MESSAGES} messages | dollars per million messages |\n| --- | --- | --- |"
    );
    // RingCentral's events about sent messages pass through API Gateway, too.
    let events = world.count("webhook_sent").await - events_before;
    let mut sum = GATEWAY_REQUEST * (1.0 + events as f64 / MESSAGES as f64);
    println!("| API Gateway | {MESSAGES} requests, {events} events of RingCentral | {sum:.2} |");
    let used = prices::used(&log);
    // This program's own requests.
    for (function, used) in used.iter().filter(|(function, _)| *function != "list-messages") {
        let price = used.price() / MESSAGES as f64;
        sum += price;
        println!("| {function} | {} | {price:.2} |", used.named());
    }
    // A process skips sync requests while one is due: such invocations make no AWS call and are not in the log.
    let requesting = used.get("receive-event").map_or(0, |used| used.invocations);
    let price = prices::LAMBDA_REQUEST * events.saturating_sub(requesting) as f64 / MESSAGES as f64;
    sum += price;
    println!("| receive-event, without a request | | {price:.2} |");
    println!("| total (goal: {GOAL}) | | {sum:.2} |");
    print_units(&log);
    println!("{}", world.hottest_keys().await);
}

/// Prints the calls of DynamoDB and their capacity units for each message.
fn print_units(log: &[Value]) {
    let mut used: BTreeMap<(&str, &str, String), (usize, f64)> = BTreeMap::new();
    let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let calls = log.iter().filter(|call| call["service"] == "dynamodb" && call["function"].is_string());
    for call in calls {
        let tables: Vec<_> = call["tables"].as_array().unwrap().iter().map(name).collect();
        let (function, operation) = (&call["function"], &call["operation"]);
        let key = (function.as_str().unwrap(), operation.as_str().unwrap(), tables.join(", "));
        let (count, units) = used.entry(key).or_default();
        *count += 1;
        *units += call["units"].as_f64().unwrap_or_default();
    }
    println!("\n| function | operation | tables | calls | units |\n| --- | --- | --- | --- | --- |");
    for ((function, operation, tables), (count, units)) in used {
        let [count, units] = [count as f64, units].map(|number| number / MESSAGES as f64);
        println!("| {function} | {operation} | {tables} | {count:.2} | {units:.2} |");
    }
}

/// Prints how long after RingCentral the final statuses of the messages were known, after this many that were sent before.
async fn lateness(world: &World, already: usize) {
    let mut known = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/sms/messages?limit=100{cursor}");
        let list = world.get(&path, &world.tenant().key).await.expect(200).json();
        for message in list["messages"].as_array().unwrap() {
            let at: Timestamp = message["updatedAt"].as_str().unwrap().parse().unwrap();
            known.insert(message["body"].as_str().unwrap().to_owned(), at);
        }
        let Some(next) = list["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let late = |entry: &Value| {
        let accepted: Timestamp = entry["at"].as_str().unwrap().parse().unwrap();
        let reported = accepted.saturating_add(STATUS_TAKES).unwrap();
        let late = known[entry["text"].as_str().unwrap()].duration_since(reported);
        Duration::try_from(late).unwrap_or_default()
    };
    let accepted = world.ledger("sms_accepted").await;
    let late: Vec<Duration> = accepted[already..].iter().map(late).collect();
    let seconds = |percent| percentile(&late, percent).as_secs_f64();
    println!("\n| lateness of a final status | median s | p99 s | maximum s |\n| --- | --- | --- | --- |");
    println!("| {} messages | {:.0} | {:.0} | {:.0} |", late.len(), seconds(50), seconds(99), seconds(100));
}

async fn delivered(world: &World) -> usize {
    let listed =
        world.get("/v1/sms/messages?status=delivered&limit=1", &world.tenant().key).await.expect(200);
    usize::try_from(listed.json()["total"].as_u64().unwrap()).unwrap()
}

async fn send(world: &World, body: &str) {
    let order: Value = json!({ "to": "+16505550111", "from": "+14155550100", "body": body });
    world.call(Method::POST, "/v1/sms/send", &world.tenant().key, Some(order)).await.expect(202);
}
