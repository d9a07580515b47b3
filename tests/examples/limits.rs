//! Measures the cost of authentication and rate limits, and the effect of a noisy tenant on others:
//!
//! ```sh
//! cargo run --package tests --example limits
//! ```
//!
//! The first table compares a read with and without them, interleaved in one process, on the local stack's AWS endpoints.
//! The second sends sequential requests over HTTP through the local gateway to the real binaries, so that one instance
//! responds. The third is case T6. All figures are of debug builds: compare only figures of the same run.
//!
//! The last line is case T1: keys with a wrong checksum, 20,000 by default, or a given number: `… --example limits 1000000`.

#![expect(clippy::unwrap_used, reason = "a benchmark ends on unexpected values")]
#![expect(clippy::disallowed_methods, reason = "a benchmark does not run on Lambda")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below the limit")]
#![expect(clippy::print_stdout, reason = "the output is the result")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lambda_http::{Body, Request};
use measure::{ms, percentile};
use reqwest::Method;
use serde_json::json;
use shared::auth;
use shared::clock::SystemClock;
use shared::config::Config;
use shared::gateway::Gateway;
use shared::model::app::Scope;
use shared::model::ids::TenantId;
use world::{TestTenant, World};

mod measure;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "the tests use the other items")]
mod world;

const ROUNDS: usize = 300;

#[tokio::main]
async fn main() {
    let world = Arc::new(World::with_default_parameters().await);
    in_one_process(&world).await;
    over_http(&world).await;
    with_a_noisy_neighbour(&world).await;
    with_bad_keys(&world).await;
    println!("{}", world.hottest_keys().await);
}

async fn limited(world: &World, name: &str, requests_per_minute: u32) -> TestTenant {
    let tenant = world.new_tenant(name).await;
    let order = json!({ "limits": { "requestsPerMinute": requests_per_minute } });
    let path = format!("/v1/tenants/{}", tenant.id);
    world.call(Method::PATCH, &path, &world.operator_key(), Some(order)).await.expect(200);
    tenant
}

/// A gateway in this process.
async fn gateway(world: &World) -> Gateway {
    let mut environment: HashMap<String, String> = HashMap::new();
    for (name, logical) in [
        ("TENANTS_TABLE", "TenantsTable"),
        ("CONNECT_TOKENS_TABLE", "ConnectTokensTable"),
        ("CONNECTIONS_TABLE", "ConnectionsTable"),
        ("EXTENSIONS_TABLE", "ExtensionsTable"),
        ("RATE_LIMITS_TABLE", "RateLimitsTable"),
        ("AUDIT_TABLE", "AuditTable"),
        ("EVENTS_TABLE", "EventsTable"),
        ("MESSAGES_TABLE", "MessagesTable"),
        ("CONSENTS_TABLE", "ConsentsTable"),
        ("QUARANTINE_TABLE", "QuarantineTable"),
    ] {
        environment.insert(name.to_owned(), world.table(logical).await);
    }
    for (name, value) in [
        ("STAGE", "local"),
        ("PUBLIC_URL", world.gateway()),
        ("RINGCENTRAL_SERVER", world.stack.info().ringcentral()),
        ("RINGCENTRAL_CLIENT_ID", "none"),
        ("RINGCENTRAL_SECRET", "none"),
        ("OPERATOR_SECRET", "none"),
        ("VAULT_KEY", "none"),
        ("DELIVER_SMS_QUEUE", "none"),
        ("REFRESH_FUNCTION", "none"),
        ("REFRESH_QUEUE", "none"),
        ("DELIVERIES_QUEUE", "none"),
        ("RETRIES_QUEUE", "none"),
        ("DELIVERIES_TABLE", "none"),
        ("TOKEN_CALLS_PER_MINUTE", "300"),
        ("SHARDS", "8"),
        ("SYNC_MINUTES_ACTIVE", "10"),
        ("SYNC_MINUTES_RECENT", "120"),
        ("SYNC_MINUTES_IDLE", "720"),
        ("SCHEDULE_GROUP", "none"),
        ("SCHEDULE_ROLE", "none"),
        ("SCHEDULE_DEAD_LETTERS", "none"),
        ("METRICS_NAMESPACE", "none"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "operator"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
        ("AWS_ENDPOINT_URL", world.stack.info().aws()),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    Gateway::new(Config::read(&environment).unwrap(), Arc::new(SystemClock::default()))
}

async fn in_one_process(world: &World) {
    let gateway = gateway(world).await;
    println!("| one read of a tenant's connections | AWS calls | p50 ms | p95 ms |");
    println!("| --- | --- | --- | --- |");
    for (name, limit) in [
        ("limit 500 (log)", 500),
        ("limit 10,000 (slots)", 10_000),
        ("limit 1,000,000 (34 counters)", 1_000_000),
    ] {
        let tenant = limited(world, "Measured", limit).await;
        let id = TenantId::from_record(&tenant.id).unwrap();
        let request = || {
            let mut request = Request::new(Body::Empty);
            let bearer = format!("Bearer {}", tenant.key).parse().unwrap();
            request.headers_mut().insert("authorization", bearer);
            request
        };
        auth::caller(&gateway, &request(), &[Scope::SmsRead]).await.unwrap();
        let (mut without, mut with) = (Vec::new(), Vec::new());
        let mut calls = [0, 0];
        for _ in 0..ROUNDS {
            let since = world.calls_so_far().await;
            let began = Instant::now();
            gateway.store.connections(&id).await.unwrap();
            without.push(began.elapsed());
            let between = world.calls_so_far().await;
            let began = Instant::now();
            auth::caller(&gateway, &request(), &[Scope::SmsRead]).await.unwrap();
            gateway.store.connections(&id).await.unwrap();
            with.push(began.elapsed());
            calls[0] += between - since;
            calls[1] += world.calls_so_far().await - between;
        }
        if limit == 500 {
            row("without key and limit", calls[0], &without);
        }
        row(&format!("with both, {name}"), calls[1], &with);
    }
    println!();
}

fn row(name: &str, calls: u64, times: &[Duration]) {
    let calls = calls as f64 / ROUNDS as f64;
    println!("| {name} | {calls:.2} | {:.1} | {:.1} |", ms(percentile(times, 50)), ms(percentile(times, 95)));
}

async fn over_http(world: &World) {
    println!(
        "| over HTTP, one instance, one request after another | requests per second | p50 ms | p95 ms |"
    );
    println!("| --- | --- | --- | --- |");
    let tenant = limited(world, "Fast", 1_000_000).await;
    for (path, key) in [("/health", ""), ("/v1/rc/status", tenant.key.as_str())] {
        world.get(path, key).await.expect(200);
        let (began, mut times) = (Instant::now(), Vec::new());
        for _ in 0..ROUNDS {
            let began = Instant::now();
            world.get(path, key).await.expect(200);
            times.push(began.elapsed());
        }
        let rate = ROUNDS as f64 / began.elapsed().as_secs_f64();
        println!(
            "| GET {path} | {rate:.0} | {:.1} | {:.1} |",
            ms(percentile(&times, 50)),
            ms(percentile(&times, 95))
        );
    }
    println!();
}

/// Case T6: tenant A sends fifty times its limit of 100 a minute, and tenant B a steady load. Quiet and noisy seconds
/// alternate.
async fn with_a_noisy_neighbour(world: &Arc<World>) {
    const TURNS: usize = 10;
    const REQUESTS: usize = 50;
    let (noisy, quiet) = (limited(world, "A", 100).await, limited(world, "B", 10_000).await);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let (mut served, mut refused) = (0, 0);
    steady(world, &quiet, 20).await;
    for _ in 0..TURNS {
        alone.extend(steady(world, &quiet, REQUESTS).await);
        let flood = tokio::spawn(flood(Arc::clone(world), noisy.key.clone()));
        beside.extend(steady(world, &quiet, REQUESTS).await);
        flood.abort();
        let (ok, limited) = burst_counts(world, &noisy).await;
        served += ok;
        refused += limited;
    }
    let (p95_alone, p95_beside) = (percentile(&alone, 95), percentile(&beside, 95));
    println!("| B, while A | p50 ms | p95 ms |\n| --- | --- | --- |");
    println!("| is quiet | {:.1} | {:.1} |", ms(percentile(&alone, 50)), ms(p95_alone));
    println!(
        "| sends 83 requests a second, 50 times its limit | {:.1} | {:.1} |",
        ms(percentile(&beside, 50)),
        ms(p95_beside)
    );
    println!(
        "\nB's p95 is {:.2} times what it was; probes of A: {served} served, {refused} rejected.",
        p95_beside.as_secs_f64() / p95_alone.as_secs_f64()
    );
}

/// One request every 20 ms.
async fn steady(world: &World, tenant: &TestTenant, requests: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut turns = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..requests {
        turns.tick().await;
        let began = Instant::now();
        world.get("/v1/rc/status", &tenant.key).await.expect(200);
        times.push(began.elapsed());
    }
    times
}

/// 5,000 requests a minute, until the task is aborted.
async fn flood(world: Arc<World>, key: String) {
    let mut turns = tokio::time::interval(Duration::from_millis(12));
    loop {
        turns.tick().await;
        let (world, key) = (Arc::clone(&world), key.clone());
        tokio::spawn(async move { world.get("/v1/rc/status", &key).await });
    }
}

async fn burst_counts(world: &World, tenant: &TestTenant) -> (usize, usize) {
    let mut seen = (0, 0);
    for _ in 0..10 {
        match world.get("/v1/rc/status", &tenant.key).await.status.as_u16() {
            200 => seen.0 += 1,
            429 => seen.1 += 1,
            other => panic!("{other}"),
        }
    }
    seen
}

/// Case T1: the cost of a flood of keys with a wrong checksum.
async fn with_bad_keys(world: &Arc<World>) {
    const AT_A_TIME: usize = 10;
    let keys: usize = std::env::args().nth(1).map_or(20_000, |count| count.parse().unwrap());
    let tenant = limited(world, "Attacked", 100).await;
    world.get("/v1/rc/status", &tenant.key).await.expect(200);
    let (body, last) = tenant.key.split_at(tenant.key.len() - 1);
    let mistyped = format!("{body}{}", if last == "a" { 'b' } else { 'a' });
    let (since, began) = (world.calls_so_far().await, Instant::now());
    let mut sending = tokio::task::JoinSet::new();
    for part in 0..AT_A_TIME {
        let (world, key) = (Arc::clone(world), mistyped.clone());
        let share = keys / AT_A_TIME + usize::from(part < keys % AT_A_TIME);
        sending.spawn(async move {
            for _ in 0..share {
                world.get("/v1/rc/status", &key).await.expect(401);
            }
        });
    }
    sending.join_all().await;
    let seconds = began.elapsed().as_secs_f64();
    // Schedules run meanwhile, so only the calls of this function count.
    let calls = world.calls_since(since).await;
    let calls = calls.iter().filter(|call| call["function"] == "get-status").count();
    println!(
        "\n{keys} keys with a wrong checksum: all rejected, {calls} AWS calls, {:.0} a second.",
        keys as f64 / seconds
    );
}
