//! What a connection costs by its activity: refreshes, comparisons with the message store, and DynamoDB units in a day, counted
//! at the simulator and at the AWS endpoints.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::send;
use crate::world::{HOUR, SYNC_INTERVAL, TestTenant, World};

/// The step of the clock, in seconds.
const STEP: i64 = 600;

/// The phone number of a connection.
fn number(at: usize) -> String {
    format!("+1415555{:04}", 120 + at)
}

/// Connections whose calls are counted.
struct Fleet {
    world: World,
    tenants: Vec<TestTenant>,
    users: Vec<Value>,
}

/// What one connection did.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    refreshes: usize,
    comparisons: usize,
}

impl Fleet {
    /// Connected extensions without messages, one for each tenant.
    async fn connected(count: usize) -> Self {
        let world = World::start().await;
        let users: Vec<Value> = (0..count)
            .map(|at| {
                let number = json!({ "phoneNumber": number(at) });
                json!({ "extension": (301 + at).to_string(), "numbers": [number] })
            })
            .collect();
        let account = world.sim(Method::POST, "/_sim/accounts", Some(json!({ "users": users }))).await;
        let users = account["users"].as_array().unwrap().clone();
        let mut tenants = Vec::new();
        for (at, user) in users.iter().enumerate() {
            let tenant = world.new_tenant(&format!("No. {at}")).await;
            world.connect(&tenant, user).await.expect(303);
            tenants.push(tenant);
        }
        Self { world, tenants, users }
    }

    /// Counts from here on.
    async fn count_comparisons(&self) {
        let counting = |user: &Value| {
            let matching = json!({ "path": "/message-sync", "user": user["extensionId"] });
            json!({ "match": matching, "times": null, "do": { "delayMs": 0 } })
        };
        let faults: Vec<Value> = self.users.iter().map(counting).collect();
        self.world.sim(Method::PUT, "/_sim/faults", Some(json!(faults))).await;
    }

    /// The counts of each connection; refreshes since this many.
    async fn counts(&self, refreshes_before: usize) -> Vec<Counts> {
        let refreshed = self.world.ledger("token_refreshed").await;
        let mut refreshes: BTreeMap<String, usize> = BTreeMap::new();
        for entry in &refreshed[refreshes_before..] {
            *refreshes.entry(entry["extensionId"].to_string()).or_default() += 1;
        }
        let faults = self.world.sim(Method::GET, "/_sim/faults", None).await;
        let of = |(at, user): (usize, &Value)| Counts {
            refreshes: refreshes.get(&user["extensionId"].to_string()).copied().unwrap_or_default(),
            comparisons: usize::try_from(faults[at]["fired"].as_u64().unwrap()).unwrap(),
        };
        self.users.iter().enumerate().map(of).collect()
    }
}

/// DynamoDB units of the work on connections. Without queries: nearly all are those of the schedules, whatever the number of
/// connections; a check makes a few.
async fn units(world: &World, since: u64) -> f64 {
    let calls = world.calls_since(since).await;
    let calls = calls.iter().filter(|call| call["service"] == "dynamodb" && call["operation"] != "Query");
    let of_work = calls.filter(|call| WORKERS.iter().any(|worker| call["function"] == *worker));
    of_work.map(|call| call["units"].as_f64().unwrap_or_default()).sum()
}

const WORKERS: [&str; 3] = ["sync-messages", "renew-subscriptions", "refresh-tokens"];
/// Units of the queries of a daily check: it lists the numbers that are stored.
const QUERIES: f64 = 4.0;

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_costs_two_refreshes_and_four_comparisons_a_day() {
    const CONNECTIONS: usize = 6;
    let fleet = Fleet::connected(CONNECTIONS).await;
    let world = &fleet.world;
    // The first comparisons and the first check are over, at times that are unrelated.
    for _ in 0..3 {
        world.advance(11 * HOUR).await;
    }
    fleet.count_comparisons().await;
    let (since, refreshes) = (world.calls_so_far().await, world.count("token_refreshed").await);
    for _ in 0..24 * HOUR / STEP {
        world.advance(STEP).await;
    }
    let counts = fleet.counts(refreshes).await;
    let units = units(world, since).await;
    let refreshes: usize = counts.iter().map(|one| one.refreshes).sum();
    let comparisons: usize = counts.iter().map(|one| one.comparisons).sum();
    assert!(refreshes <= 2 * CONNECTIONS, "{counts:?}");
    assert!((CONNECTIONS..=4 * CONNECTIONS).contains(&comparisons), "{counts:?}");
    assert!(counts.iter().all(|one| one.comparisons <= 4), "{counts:?}");
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let each = units / CONNECTIONS as f64 + QUERIES;
    assert!(each <= 80.0, "{each} units");
}

/// What a connection cost on a day.
#[derive(Debug)]
struct Day {
    refreshes: f64,
    comparisons: f64,
    units: f64,
}

/// A day on which each connection receives a message every so many minutes.
async fn day_with_a_message_every(minutes: i64) -> Day {
    const CONNECTIONS: usize = 2;
    let fleet = Fleet::connected(CONNECTIONS).await;
    let world = &fleet.world;
    for _ in 0..3 {
        world.advance(11 * HOUR).await;
    }
    fleet.count_comparisons().await;
    let (since, refreshes) = (world.calls_so_far().await, world.count("token_refreshed").await);
    for step in 0..24 * 3_600 / STEP {
        if step * STEP % (minutes * 60) == 0 {
            for at in 0..CONNECTIONS {
                let order =
                    json!({ "from": "+16505550199", "to": number(at), "text": format!("No. {step}") });
                world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
            }
            world.idle().await;
        }
        world.advance(STEP).await;
    }
    let counts = fleet.counts(refreshes).await;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let each = |sum: usize| sum as f64 / CONNECTIONS as f64;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let units = units(world, since).await / CONNECTIONS as f64 + QUERIES;
    Day {
        refreshes: each(counts.iter().map(|one| one.refreshes).sum()),
        comparisons: each(counts.iter().map(|one| one.comparisons).sum()),
        units,
    }
}

/// docs/capacity.md has these figures.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_messages_costs_what_the_documentation_says() {
    let (recent, active) = tokio::join!(day_with_a_message_every(23 * 60), day_with_a_message_every(40));
    println!("{recent:?}\n{active:?}");
    assert!((10.0..=14.0).contains(&recent.refreshes), "{recent:?}");
    assert!((12.0..=26.0).contains(&recent.comparisons), "{recent:?}");
    assert!(recent.units <= 520.0, "{recent:?}");
    assert!((22.0..=26.0).contains(&active.refreshes), "{active:?}");
    // A sync that comes due just after a step waits for the next one.
    assert!((60.0..=190.0).contains(&active.comparisons), "{active:?}");
    assert!(active.units <= 2_400.0, "{active:?}");
}

/// What RingCentral knows and no event has announced.
async fn lost_text(world: &World, to: &str, text: &str) {
    let order = json!({ "from": "+16505550199", "to": to, "text": text, "deliver": false });
    world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
}

async fn has(world: &World, tenant: &TestTenant, text: &str) -> bool {
    let listed = world.get("/v1/sms/messages?direction=inbound", &tenant.key).await.expect(200).json();
    listed["messages"].as_array().unwrap().iter().any(|message| message["body"] == text)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_more_recent_its_last_message_the_sooner_a_connection_is_compared() {
    let fleet = Fleet::connected(3).await;
    let world = &fleet.world;
    world.advance(30 * HOUR).await;
    world.advance(STEP).await;
    let [sending, receiving, idle] = [0, 1, 2].map(|at| &fleet.tenants[at]);
    // One idle connection sends, one receives; the third one stays idle.
    let id = send::accept(world, sending, &number(0), "Hello").await;
    send::until(world, sending, &id, &send::SENT).await;
    let order = json!({ "from": "+16505550199", "to": number(1), "text": "Hello" });
    world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    world.idle().await;
    world.advance(61).await;
    fleet.count_comparisons().await;
    for at in 0..3 {
        lost_text(world, &number(at), "lost while active").await;
    }
    for _ in 0..14 {
        world.advance(60).await;
    }
    assert!(
        has(world, sending, "lost while active").await,
        "found within 12 minutes and the minute of the schedule"
    );
    assert!(has(world, receiving, "lost while active").await);
    assert!(!has(world, idle, "lost while active").await);
    // What was found is a message, too: an hour of ten-minute intervals, then two hours.
    for _ in 0..6 {
        world.advance(STEP).await;
    }
    let hour = fleet.counts(0).await;
    for counts in &hour[..2] {
        assert!((3..=12).contains(&counts.comparisons), "steps of ten minutes: {hour:?}");
    }
    fleet.count_comparisons().await;
    let refreshes = world.count("token_refreshed").await;
    for _ in 0..8 * HOUR / STEP {
        world.advance(STEP).await;
    }
    let recent = fleet.counts(refreshes).await;
    for counts in &recent[..2] {
        assert!((3..=6).contains(&counts.comparisons) && counts.refreshes <= 5, "{recent:?}");
    }
    for at in 0..3 {
        lost_text(world, &number(at), "lost later").await;
    }
    for _ in 0..16 {
        world.advance(STEP).await;
    }
    assert!(has(world, sending, "lost later").await, "found within 2.4 hours");
    assert!(has(world, receiving, "lost later").await);
    world.advance(12 * HOUR).await;
    world.advance(STEP).await;
    assert!(has(world, idle, "lost while active").await && has(world, idle, "lost later").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn message_sync_leaves_half_of_the_token_calls_to_the_others() {
    let (world, tenant, from) = send::connected().await;
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    world.advance(SYNC_INTERVAL).await;
    // Half of the limit is used.
    let now = crate::world::now(&world).await.as_millisecond().to_string();
    let used: Vec<Value> = (0..150).map(|_| json!({ "N": now })).collect();
    let counter = format!("token-calls#{}", world.stack.info().ringcentral());
    let log = json!({ "counter": { "S": counter }, "times": { "L": used }, "ttl": { "N": "9999999999" } });
    world.put_item("RateLimitsTable", log).await;
    let refreshed = world.count("token_refreshed").await;
    world.invoke("sync-messages", &json!({})).await;
    world.idle().await;
    assert_eq!(world.count("token_refreshed").await, refreshed, "the sync waits");
    let id = send::accept(&world, &tenant, &from, "Hello").await;
    send::until(&world, &tenant, &id, &send::SENT).await;
    assert_eq!(world.count("token_refreshed").await, refreshed + 1, "the message is sent");
    // In the next minute the sync is due again.
    world.advance(2 * HOUR).await;
    world.invoke("sync-messages", &json!({})).await;
    world.idle().await;
    assert_eq!(world.count("token_refreshed").await, refreshed + 2);
}
