//! Measures what an inbound message costs, how long it takes to reach the tenant's app, and how a webhook endpoint that
//! hangs affects the others:
//!
//! ```sh
//! cargo run --package tests --example receiving
//! ```
//!
//! Runs on the local stack: the simulator sends events to the real binaries, and an endpoint on the loopback interface
//! receives the webhooks. These are debug builds: compare only figures of one run.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic on a failure")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below the limit")]
#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::time::{Duration, Instant};

use measure::{ms, percentile};
use receiver::{Behaviour, WebhookEndpoint};
use reqwest::Method;
use serde_json::{Value, json};
use world::World;

mod measure;
#[path = "../it/prices.rs"]
mod prices;
#[path = "../it/receiver.rs"]
#[expect(dead_code, reason = "only the tests use the rest of it")]
mod receiver;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "only the tests use the rest of it")]
mod world;

/// Messages of the first table.
const MESSAGES: usize = 60;
/// Apps of the second table, and messages that are delivered to all of them.
const APPS: usize = 100;
const ROUNDS: usize = 3;
/// A million requests through an HTTP API: us-east-1, 2026.
const GATEWAY_REQUEST: f64 = 1.00;

#[tokio::main]
async fn main() {
    one_app().await;
    with_an_endpoint_that_hangs().await;
}

/// Sequential messages to one app.
async fn one_app() {
    let (world, receiver) = (World::with_default_parameters().await, WebhookEndpoint::start().await);
    register(&world, &receiver, "/hook").await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    text(&world, "warm").await;
    arrivals(&receiver, "/hook", 1).await;
    world.idle().await;
    let since = world.calls_so_far().await;
    let sent = world.count("webhook_sent").await;
    let mut took = Vec::new();
    for at in 0..MESSAGES {
        let began = Instant::now();
        text(&world, "hello").await;
        took.push(arrivals(&receiver, "/hook", at + 2).await - began);
    }
    world.idle().await;
    let responses: Vec<Duration> = world.ledger("webhook_sent").await[sent..]
        .iter()
        .filter(|sent| sent["event"].as_str().unwrap().contains("instant"))
        .map(|sent| Duration::from_millis(sent["ms"].as_u64().unwrap()))
        .collect();
    let log = world.calls_since(since).await;
    let storing: Vec<Duration> = log
        .iter()
        .filter(|call| call["function"] == "receive-event" && call["operation"] == "TransactWriteItems")
        .map(|call| Duration::from_secs_f64(call["ms"].as_f64().unwrap() / 1e3))
        .collect();
    println!("\n| {MESSAGES} sequential messages | p50 ms | p99 ms |\n| --- | --- | --- |");
    println!(
        "| storing a message | {:.0} | {:.0} |",
        ms(percentile(&storing, 50)),
        ms(percentile(&storing, 99))
    );
    println!(
        "| receive-event, as RingCentral sees it | {:.0} | {:.0} |",
        ms(percentile(&responses, 50)),
        ms(percentile(&responses, 99))
    );
    println!(
        "| from the inbound message to the tenant's app | {:.0} | {:.0} |",
        ms(percentile(&took, 50)),
        ms(percentile(&took, 99))
    );
    // Moving the clock stops all processes.
    world.advance(1).await;
    let sent = world.ledger("webhook_sent").await.len();
    text(&world, "cold").await;
    arrivals(&receiver, "/hook", MESSAGES + 2).await;
    world.idle().await;
    let cold = world.ledger("webhook_sent").await[sent..]
        .iter()
        .find(|sent| sent["event"].as_str().unwrap().contains("instant"))
        .map(|sent| sent["ms"].as_u64().unwrap());
    println!("| receive-event, cold, once | {} | |", cold.unwrap());
    println!(
        "\nOne instance of receive-event handles {:.0} events per second",
        1_000.0 / ms(percentile(&responses, 50)).max(1.0)
    );
    println!(
        "\n| function | AWS calls for {MESSAGES} messages | dollars per million messages |\n| --- | --- | --- |"
    );
    let mut sum = GATEWAY_REQUEST;
    println!("| API Gateway | – | {sum:.2} |");
    for (function, used) in prices::used(&log) {
        if ["receive-event", "fan-out-events", "deliver-webhook"].contains(&function.as_str()) {
            let price = used.price() / MESSAGES as f64;
            sum += price;
            println!("| {function} | {} | {price:.2} |", used.named());
        }
    }
    println!("| total | | {sum:.2} |");
    println!("{}", world.hottest_keys().await);
}

/// The same event to a hundred apps, without and with one endpoint that hangs.
async fn with_an_endpoint_that_hangs() {
    let mut rows = Vec::new();
    for hangs in [false, true] {
        let (world, receiver) = (World::with_default_parameters().await, WebhookEndpoint::start().await);
        allow_apps(&world).await;
        for at in 0..APPS {
            register(&world, &receiver, &format!("/{at}")).await;
        }
        world.connect(&world.tenant(), &world.user(0)).await.expect(303);
        text(&world, "warm").await;
        for at in 0..APPS {
            arrivals(&receiver, &format!("/{at}"), 1).await;
        }
        if hangs {
            receiver.behave("/0", Behaviour::Hang);
        }
        let mut took = Vec::new();
        for round in 0..ROUNDS {
            let began = Instant::now();
            text(&world, "hello").await;
            for at in 1..APPS {
                took.push(arrivals(&receiver, &format!("/{at}"), round + 2).await - began);
            }
        }
        rows.push((hangs, ms(percentile(&took, 50)), ms(percentile(&took, 99))));
        world.stack.stop().await.unwrap();
    }
    println!("\n| the first attempts at {} apps | p50 ms | p99 ms |\n| --- | --- | --- |", APPS - 1);
    for (hangs, p50, p99) in &rows {
        let what = if *hangs { "one endpoint hangs" } else { "all endpoints respond" };
        println!("| {what} | {p50:.0} | {p99:.0} |");
    }
    println!("\nratio of p99: {:.2}", rows[1].2 / rows[0].2);
}

/// Lets the tenant have as many apps as a tenant may have.
async fn allow_apps(world: &World) {
    let order = json!({ "limits": { "apps": 200 } });
    let path = format!("/v1/tenants/{}", world.tenant().id);
    world.call(Method::PATCH, &path, &world.operator_key(), Some(order)).await.expect(200);
}

async fn register(world: &World, receiver: &WebhookEndpoint, path: &str) {
    let order = json!({
        "name": "Receiver", "tenantId": world.tenant().id, "webhookUrl": receiver.at(path),
        "eventTypes": ["sms_inbound"],
    });
    world.call(Method::POST, "/v1/apps/register", &world.operator_key(), Some(order)).await.expect(201);
}

async fn text(world: &World, text: &str) {
    let order: Value = json!({ "from": "+16505550199", "to": "+14155550100", "text": text });
    world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
}

/// Waits for this many arrivals at a path. Returns the time of the last one, to a millisecond.
async fn arrivals(receiver: &WebhookEndpoint, path: &str, count: usize) -> Instant {
    for _ in 0..60_000 {
        if receiver.arrivals(path).len() >= count {
            return Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{count} arrivals at {path}");
}
