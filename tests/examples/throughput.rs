//! Measures how many messages a second the stack accepts, sends and delivers to webhooks, with 1, 2 and 4 instances of each
//! function:
//!
//! ```sh
//! CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
//!     cargo run --release --package tests --example throughput
//! ```
//!
//! Runs on the local stack: the real binaries in the profile of the example, HTTP requests through the local gateway, and
//! the simulator with its rate limits. Gateway, AWS endpoints, simulator and clients share the machine's cores with the
//! functions, so the figures stop growing when the cores are busy. The network and DynamoDB's latency are left out.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic on a failure")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below the limit")]
#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use local::StackOptions;
use receiver::WebhookEndpoint;
use reqwest::Method;
use serde_json::{Value, json};
use world::World;

#[path = "../it/prices.rs"]
#[expect(dead_code, reason = "other benchmarks use the rest of it")]
mod prices;
#[path = "../it/receiver.rs"]
#[expect(dead_code, reason = "only the tests use the rest of it")]
mod receiver;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "only the tests use the rest of it")]
mod world;

/// Instances that each function may have at once.
const INSTANCES: [usize; 3] = [1, 2, 4];
/// Senders, all of one tenant. Each sends `BURST` messages at once, which RingCentral's rate limit permits.
const SENDERS: usize = 24;
const BURST: usize = 39;
/// Inbound messages for each sender.
const INBOUND: usize = 15;
/// The functions that run here. An optimized build of all would take much longer.
const FUNCTIONS: [&str; 17] = [
    "create-connect-token",
    "create-tenant",
    "deliver-sms",
    "deliver-webhook",
    "erase-tenants",
    "fan-out-events",
    "finish-connection",
    "receive-event",
    "refresh-tokens",
    "register-app",
    "renew-subscriptions",
    "send-sms",
    "show-connect-page",
    "start-connection",
    "sweep",
    "sync-messages",
    "update-tenant",
];
/// Clients that send requests side by side.
const CLIENTS: usize = 8;

#[tokio::main]
async fn main() {
    println!(
        "| instances of each function | accepted per second | sent per second | delivered to a webhook per second |"
    );
    println!("| --- | --- | --- | --- |");
    let mut last = None;
    let binaries = binaries();
    for instances in INSTANCES {
        let run = Run::start(&binaries, instances).await;
        let accepted = run.accept().await;
        let sent = run.send().await;
        let (delivered, used) = run.receive().await;
        println!("| {instances} | {accepted:.0} | {sent:.0} | {delivered:.0} |");
        last = Some((used, run.world.hottest_keys().await));
        run.world.stack.stop().await.unwrap();
    }
    let (used, hottest) = last.unwrap();
    println!("\n{used}\n\n{hottest}");
}

/// Builds the functions in the profile of the example. A debug build has all of them, as a test run needs.
fn binaries() -> PathBuf {
    if cfg!(debug_assertions) {
        return world::binaries().to_owned();
    }
    let mut packages = vec!["--bins", "--package", "tests", "--package", "contract"];
    packages.extend(FUNCTIONS.into_iter().flat_map(|function| ["--package", function]));
    world::build(&packages)
}

/// What was done to how many messages in which time.
fn per_second(messages: usize, began: Instant) -> f64 {
    messages as f64 / began.elapsed().as_secs_f64()
}

/// A stack with connected senders and one app.
struct Run {
    world: World,
    receiver: WebhookEndpoint,
    numbers: Vec<String>,
    /// The position in the call log when the senders were connected.
    since: u64,
}

impl Run {
    async fn start(binaries: &Path, instances: usize) -> Self {
        let mut options = StackOptions::for_tests(&world::root());
        options.binaries = binaries.to_owned();
        options.instances = instances;
        let (world, receiver) = (World::with(options).await, WebhookEndpoint::start().await);
        let tenant = world.tenant();
        let limits = json!({ "requestsPerMinute": 1_000_000, "tenantRequestsPerMinute": 1_000_000 });
        let order = json!({ "limits": limits });
        let path = format!("/v1/tenants/{}", tenant.id);
        world.call(Method::PATCH, &path, &world.operator_key(), Some(order)).await.expect(200);
        let order = json!({ "name": "Receiver", "tenantId": tenant.id, "webhookUrl": receiver.at("/hook"),
            "eventTypes": ["sms_inbound"] });
        world.call(Method::POST, "/v1/apps/register", &world.operator_key(), Some(order)).await.expect(201);

        let numbers: Vec<String> = (0..SENDERS).map(|at| format!("+1212555{:04}", 100 + at)).collect();
        let users = numbers.iter().enumerate().map(|(at, number)| {
            json!({ "extension": (100 + at).to_string(), "username": number, "admin": true,
                "numbers": [{ "phoneNumber": number }] })
        });
        let account = json!({ "users": users.collect::<Vec<_>>() });
        let made = world.sim(Method::POST, "/_sim/accounts", Some(account)).await;
        for user in made["users"].as_array().unwrap() {
            world.connect(&tenant, user).await.expect(303);
        }
        world.idle().await;
        let since = world.calls_so_far().await;
        Self { world, receiver, numbers, since }
    }

    /// Accepts messages while RingCentral rejects every send with a penalty, so that no worker competes for the cores.
    /// Returns the messages per second.
    async fn accept(&self) -> f64 {
        self.world.sim_fault("/sms", None, json!({ "rateLimit": { "retryAfter": 600 } })).await;
        self.send_each(1).await;
        self.world.idle().await;
        let began = Instant::now();
        self.send_each(BURST - 1).await;
        per_second(SENDERS * (BURST - 1), began)
    }

    async fn send_each(&self, count: usize) {
        let key = self.world.tenant().key;
        let orders = (0..count).flat_map(|at| self.numbers.iter().map(move |from| (at, from)));
        stream::iter(orders)
            .for_each_concurrent(CLIENTS, async |(at, from)| {
                let order: Value =
                    json!({ "to": "+16505550111", "from": from, "body": format!("Text {at}") });
                self.world.call(Method::POST, "/v1/sms/send", &key, Some(order)).await.expect(202);
            })
            .await;
    }

    /// Ends the penalty, and waits until every message is sent. Returns the messages per second.
    async fn send(&self) -> f64 {
        self.world.no_faults().await;
        let before = self.world.count("sms_accepted").await;
        let began = Instant::now();
        // Its schedules wake the senders.
        self.world.advance(900).await;
        while self.world.count("sms_accepted").await - before < SENDERS * BURST {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let rate = per_second(SENDERS * BURST, began);
        self.world.idle().await;
        rate
    }

    /// Inbound messages of all senders. Returns the messages per second, until the last one has reached the app, and the
    /// units that all messages of the run took.
    async fn receive(&self) -> (f64, String) {
        let before = self.receiver.arrivals("/hook").len();
        let began = Instant::now();
        let texts = (0..INBOUND).flat_map(|at| self.numbers.iter().map(move |to| (at, to)));
        let sent = AtomicUsize::new(0);
        stream::iter(texts)
            .for_each_concurrent(CLIENTS, async |(at, to)| {
                let text: Value = json!({ "from": "+16505550199", "to": to, "text": format!("Text {at}") });
                self.world.sim(Method::POST, "/_sim/inbound", Some(text)).await;
                sent.fetch_add(1, Ordering::Relaxed);
            })
            .await;
        let expected = before + sent.into_inner();
        while self.receiver.arrivals("/hook").len() < expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let rate = per_second(SENDERS * INBOUND, began);
        self.world.idle().await;
        let used = prices::used(&self.world.calls_since(self.since).await);
        let (mut writes, mut reads, mut price) = (0.0, 0.0, 0.0);
        for used in used.values() {
            writes += used.writes;
            reads += used.reads;
            price += used.price();
        }
        let messages = (SENDERS * (BURST + INBOUND)) as f64;
        let used = format!(
            "| of {messages} messages, outbound and inbound | write units | read units | dollars per million |\n\
             | --- | --- | --- | --- |\n| each | {:.1} | {:.1} | {:.2} |",
            writes / messages,
            reads / messages,
            price / messages
        );
        (rate, used)
    }
}
