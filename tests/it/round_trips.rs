//! How many AWS calls a request takes, and how many of them wait for each other: counted from the call log of the local
//! stack. The README shows what this prints:
//!
//! ```sh
//! cargo test --package tests --test it round_trips -- --nocapture
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::house;
use crate::receiver::Receiver;
use crate::world::{Reply, World};

/// The functions in the order of the README's table of endpoints, with the most calls that some may take, cold or warm,
/// apart from counting. The count of a tenant's links comes on top of the two of a link.
const FUNCTIONS: [(&str, Option<usize>); 53] = [
    ("get-health", Some(0)),
    ("check-readiness", None),
    ("show-openapi", Some(0)),
    ("show-docs", Some(0)),
    ("create-tenant", None),
    ("list-tenants", None),
    ("get-tenant", None),
    ("update-tenant", None),
    ("delete-tenant", None),
    ("register-app", None),
    ("list-apps", None),
    ("get-app", None),
    ("update-app", None),
    ("delete-app", None),
    ("rotate-key", None),
    ("rotate-webhook-secret", None),
    ("test-webhook", None),
    ("list-deliveries", None),
    ("replay-delivery", None),
    ("replay-deliveries", None),
    ("create-trigger", None),
    ("delete-trigger", None),
    ("list-events", None),
    ("create-key", None),
    ("list-keys", None),
    ("delete-key", None),
    ("list-audit-log", None),
    ("create-connect-token", Some(2)),
    ("create-invite-token", Some(2)),
    ("show-connect-page", Some(1)),
    ("start-connection", Some(2)),
    ("finish-connection", None),
    ("show-connected-page", Some(1)),
    ("get-status", Some(2)),
    ("list-extensions", Some(2)),
    ("list-numbers", Some(2)),
    ("refresh-numbers", None),
    ("disconnect-extension", None),
    ("disconnect-account", None),
    ("send-sms", None),
    ("preview-sms", None),
    ("cancel-message", None),
    ("resolve-message", None),
    ("get-message", Some(2)),
    ("list-messages", None),
    ("receive-event", Some(2)),
    ("refresh-tokens", None),
    ("deliver-sms", None),
    ("fan-out-events", None),
    ("deliver-webhook", Some(5)),
    ("sync-messages", None),
    ("renew-subscriptions", None),
    ("sweep", None),
];

/// Warm requests of each kind; the fastest one's time is shown.
const WARM: usize = 3;

/// How long each call is held up to see which of them wait for each other.
const DELAY_MS: u64 = 40;

/// Functions whose runs begin with a connection.
const CONNECTING: [&str; 6] = [
    "receive-event",
    "finish-connection",
    "show-connected-page",
    "disconnect-extension",
    "disconnect-account",
    "refresh-tokens",
];

/// Functions whose runs begin with an app that was told of a connection.
const TELLING: [&str; 4] = ["replay-delivery", "replay-deliveries", "fan-out-events", "deliver-webhook"];

/// What a request took.
#[derive(Debug)]
struct Trip {
    /// Operations with how often.
    operations: String,
    calls: usize,
    /// Calls that count requests and links, and note the use of a key; they are not among the others.
    counting: usize,
    /// The longest row of calls that waited for each other.
    in_sequence: usize,
    took: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn round_trips_stay_within_their_bounds_and_as_the_readme_shows_them() {
    let world = World::start().await;
    let readme = house::read(&house::root().join("README.md"));
    let mut table = String::new();
    let mut wrong = Vec::new();
    let listed: BTreeSet<&str> = FUNCTIONS.iter().map(|(function, _)| *function).collect();
    assert!(house::function_folders().iter().map(String::as_str).eq(listed), "every function is measured");
    for (function, most) in FUNCTIONS {
        // Every process is started afresh when the clock moves; a minute later, no key is at its limit.
        world.advance(61).await;
        let cold = trip(&world, function).await;
        let mut warm = Vec::new();
        for _ in 0..WARM {
            warm.push(trip(&world, function).await);
        }
        let warm = warm.into_iter().min_by_key(|trip| trip.took).unwrap();
        // On this machine a call is over before the next one of the same moment begins; with a delay, they overlap.
        world.aws_fault(json!({ "function": function }), 0, None, json!({ "delayMs": DELAY_MS })).await;
        let in_sequence = trip(&world, function).await.in_sequence;
        world.no_faults().await;
        let more_when_cold = cold.calls.saturating_sub(warm.calls);
        let counts = format!("| {function} | {} | {more_when_cold} | {} |", warm.calls, warm.operations);
        // The time of what nobody waits for says nothing.
        let waits = ![
            "refresh-tokens",
            "deliver-sms",
            "fan-out-events",
            "deliver-webhook",
            "receive-event",
            "sync-messages",
            "renew-subscriptions",
            "sweep",
        ]
        .contains(&function);
        let took = if waits { format!("{:.1}", warm.took.as_secs_f64() * 1e3) } else { "–".to_owned() };
        table.push_str(&format!("{counts} {} | {in_sequence} | {took} |\n", warm.counting));
        if most.is_some_and(|most| warm.calls > most || cold.calls > most) {
            wrong.push(format!("{function}: {} calls, {} when cold", warm.calls, cold.calls));
        }
        if !readme.lines().any(|line| line.starts_with(&counts)) {
            wrong.push(format!("the README has another row than {counts}"));
        }
    }
    println!("\n| function | AWS calls | more when cold | which | counting | one after another | ms |");
    println!("| --- | --- | --- | --- | --- | --- | --- |\n{table}");
    world.stack.stop().await.unwrap();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// One request that runs a function, and what the function did.
async fn trip(world: &World, function: &str) -> Trip {
    let listening = if TELLING.contains(&function) { Some(listen(world).await) } else { None };
    let since = world.calls_so_far().await;
    let took = run(world, function).await;
    if let Some((app, receiver)) = listening {
        // Nobody is told of what happens in the runs of other functions.
        let nowhere = json!({ "webhookUrl": null });
        world.call(Method::PUT, &app, &world.tenant().key, Some(nowhere)).await.expect(200);
        drop(receiver);
    }
    let log = world.calls_since(since).await;
    let calls: Vec<&Value> = log
        .iter()
        .filter(|call| {
            call["function"]
                .as_str()
                .is_some_and(|name| name == function || name.ends_with(&format!("-{function}")))
        })
        .collect();
    let in_sequence = in_sequence(&calls);
    let (counting, others): (Vec<&Value>, Vec<&Value>) = calls
        .into_iter()
        .partition(|call| call["table"].as_str().is_some_and(|table| table.contains("RateLimits")));
    // A condition that does not hold is an answer, too.
    let is_answer =
        |call: &&Value| call["status"] == 200 || call["error"] == "ConditionalCheckFailedException";
    assert!(others.iter().all(is_answer), "{function}: {others:?}");
    let (counting, calls) = (counting.len(), others.len());
    Trip { operations: operations(&others), calls, counting, in_sequence, took }
}

/// Has the tenant's app told of a connection: its path, and what listens.
async fn listen(world: &World) -> (String, Receiver) {
    let (tenant, receiver) = (world.tenant(), Receiver::start().await);
    world.sim(Method::POST, "/_sim/clock", Some(json!({ "advanceSeconds": 61 }))).await;
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    world.idle().await;
    let app = own_app(world).await;
    let address = json!({ "webhookUrl": receiver.at("/hook") });
    world.call(Method::PUT, &app, &tenant.key, Some(address)).await.expect(200);
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.idle().await;
    assert_eq!(receiver.arrivals("/hook").len(), 1);
    (app, receiver)
}

/// The path of the tenant's app.
async fn own_app(world: &World) -> String {
    let apps = world.get("/v1/apps", &world.tenant().key).await.expect(200).json();
    format!("/v1/apps/{}", apps["apps"][0]["appId"].as_str().unwrap())
}

/// Runs a function in the way that it is run; gives how long its answer took.
async fn run(world: &World, function: &str) -> Duration {
    let tenant = world.tenant();
    let (key, operator) = (tenant.key.as_str(), world.operator_key());
    let user = world.user(0);
    if CONNECTING.contains(&function) {
        // A minute later for the simulator: RingCentral allows a user five calls of the token endpoint in each.
        world.sim(Method::POST, "/_sim/clock", Some(json!({ "advanceSeconds": 61 }))).await;
    }
    match function {
        "get-health" => timed(world.get("/health", "")).await,
        "check-readiness" => timed(world.get("/health/ready", "")).await,
        "show-openapi" => timed(world.get("/openapi.json", "")).await,
        "show-docs" => timed(world.get("/docs", "")).await,
        "create-tenant" => {
            timed(world.call(Method::POST, "/v1/tenants", &operator, Some(json!({ "name": "Further" }))))
                .await
        }
        "list-tenants" => timed(world.get("/v1/tenants", &operator)).await,
        "get-tenant" => timed(world.get(&format!("/v1/tenants/{}", tenant.id), &operator)).await,
        "update-tenant" => {
            let path = format!("/v1/tenants/{}", tenant.id);
            timed(world.call(Method::PATCH, &path, &operator, Some(json!({ "name": "Renamed" })))).await
        }
        "delete-tenant" => {
            let path = format!("/v1/tenants/{}", world.new_tenant("Short-lived").await.id);
            timed(world.call(Method::DELETE, &path, &operator, None)).await
        }
        "register-app" => {
            let order = json!({ "name": "Further", "tenantId": tenant.id });
            timed(world.call(Method::POST, "/v1/apps/register", &operator, Some(order))).await
        }
        "create-trigger" | "delete-trigger" => {
            let path = "/v1/triggers/sms-received/subscribe";
            let order = json!({ "callbackUrl": "https://flows.example.com/run" });
            let began = Instant::now();
            let made = world.call(Method::POST, path, key, Some(order)).await.expect(201).json();
            let creating = began.elapsed();
            let path = format!("{path}/{}", made["id"].as_str().unwrap());
            let deleting = timed(world.call(Method::DELETE, &path, key, None)).await;
            if function == "create-trigger" { creating } else { deleting }
        }
        "list-apps"
        | "get-app"
        | "update-app"
        | "delete-app"
        | "rotate-key"
        | "rotate-webhook-secret"
        | "test-webhook"
        | "list-deliveries"
        | "create-key"
        | "list-keys"
        | "delete-key" => run_on_an_app(world, function).await,
        "replay-delivery" | "replay-deliveries" => {
            let app = own_app(world).await;
            let log = world.get(&format!("{app}/deliveries?limit=1"), key).await.expect(200).json();
            let last = &log["deliveries"][0];
            let (path, body) = match function {
                "replay-delivery" => {
                    (format!("{app}/deliveries/{}/replay", last["id"].as_str().unwrap()), json!({}))
                }
                _ => (format!("{app}/replay"), json!({ "from": last["createdAt"], "status": "delivered" })),
            };
            let took = timed(world.call(Method::POST, &path, key, Some(body))).await;
            world.idle().await;
            took
        }
        "fan-out-events" | "deliver-webhook" => {
            let took = timed(world.post("/v1/rc/disconnect", key)).await;
            world.idle().await;
            took
        }
        "list-events" => timed(world.get("/v1/events", key)).await,
        "list-audit-log" => timed(world.get("/v1/audit", key)).await,
        "create-connect-token" => timed(world.post("/v1/rc/connect-token", key)).await,
        "create-invite-token" => timed(world.post("/v1/rc/invite-token", key)).await,
        "show-connect-page" => {
            let link = world.mint(&tenant).await;
            timed(world.browser().get(&link)).await
        }
        "start-connection" => {
            let link = world.mint(&tenant).await;
            timed(world.browser().press(&link)).await
        }
        "finish-connection" | "show-connected-page" => {
            world.post("/v1/rc/disconnect", key).await.expect(200);
            let link = world.mint(&tenant).await;
            let mut browser = world.browser();
            let callback = browser.sign_in(&link, &user).await;
            let finished = timed(browser.get(&callback)).await;
            if function == "finish-connection" {
                finished
            } else {
                timed(browser.get("/v1/rc/connected")).await
            }
        }
        "get-status" => timed(world.get("/v1/rc/status", key)).await,
        "list-extensions" => timed(world.get("/v1/rc/extensions", key)).await,
        "list-numbers" => timed(world.get("/v1/rc/numbers", key)).await,
        "refresh-numbers" => timed(world.post("/v1/rc/numbers/refresh", key)).await,
        "disconnect-extension" | "refresh-tokens" => {
            world.connect(&tenant, &user).await.expect(303);
            let path = format!("/v1/rc/extensions/{}", user["extensionId"].as_str().unwrap());
            timed(world.call(Method::DELETE, &path, key, None)).await
        }
        "disconnect-account" => {
            world.connect(&tenant, &user).await.expect(303);
            timed(world.post("/v1/rc/disconnect", key)).await
        }
        "send-sms" | "preview-sms" | "cancel-message" | "resolve-message" | "get-message"
        | "list-messages" | "deliver-sms" => run_on_messages(world, function).await,
        "receive-event" => {
            world.post("/v1/rc/disconnect", key).await.expect(200);
            world.connect(&tenant, &user).await.expect(303);
            let began = Instant::now();
            let text = json!({ "from": "+16505550199", "to": user["numbers"][0], "text": "hello" });
            world.sim(Method::POST, "/_sim/inbound", Some(text)).await;
            world.idle().await;
            began.elapsed()
        }
        "sync-messages" => {
            let began = Instant::now();
            world.post("/v1/rc/disconnect", key).await.expect(200);
            world.advance(61).await;
            began.elapsed()
        }
        "sweep" | "renew-subscriptions" => {
            let began = Instant::now();
            // Five minutes, and the minute within which it may fire.
            world.advance(361).await;
            began.elapsed()
        }
        other => panic!("{other} is not run"),
    }
}

/// Runs a function of messages. The extension is connected since its own functions were run.
async fn run_on_messages(world: &World, function: &str) -> Duration {
    let tenant = world.tenant();
    let key = tenant.key.as_str();
    let user = world.user(0);
    let status = world.get("/v1/rc/status", key).await.expect(200).json();
    if status["connected"] != true {
        world.connect(&tenant, &user).await.expect(303);
    }
    let mut order = json!({ "to": "+16505550111", "from": user["numbers"][0], "body": "Measured" });
    let send = |order: Value| world.call(Method::POST, "/v1/sms/send", key, Some(order));
    let (method, path, body) = match function {
        "send-sms" | "deliver-sms" => {
            // A worker that was rung a moment ago is not rung for each text.
            let clock = world.stack.clock();
            let rung: jiff::Timestamp = clock.now();
            while clock.now().duration_since(rung).as_secs() < i64::from(shared::limits::RING_SECONDS) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let took = timed(send(order)).await;
            world.stack.settle().await;
            return took;
        }
        "preview-sms" => (Method::POST, "/v1/sms/preview".to_owned(), Some(json!({ "body": "Measured" }))),
        "list-messages" => (Method::GET, "/v1/sms/messages".to_owned(), None),
        "resolve-message" => {
            world.sim_fault("/sms", Some(1), json!({ "status": 500 })).await;
            let sent = send(order).await.expect(202).json();
            world.stack.settle().await;
            world.advance(130).await;
            let path = format!("/v1/sms/{}/resolve", sent["messageId"].as_str().unwrap());
            (Method::POST, path, Some(json!({ "action": "drop" })))
        }
        other => {
            order["sendAt"] = json!("2027-11-01T00:00:00Z");
            let sent = send(order).await.expect(202).json();
            let id = sent["messageId"].as_str().unwrap();
            match other {
                "cancel-message" => (Method::POST, format!("/v1/sms/{id}/cancel"), None),
                _ => (Method::GET, format!("/v1/sms/status/{id}"), None),
            }
        }
    };
    timed(world.call(method, &path, key, body)).await
}

/// Runs a function of apps and keys on an app of its own.
async fn run_on_an_app(world: &World, function: &str) -> Duration {
    let tenant = world.new_tenant("Further").await;
    let key = tenant.key.as_str();
    if function == "list-apps" {
        return timed(world.get("/v1/apps", key)).await;
    }
    let apps = world.get("/v1/apps", key).await.expect(200).json();
    let app = format!("/v1/apps/{}", apps["apps"][0]["appId"].as_str().unwrap());
    let keys = format!("{app}/keys");
    let order = json!({ "scopes": ["sms:read"] });
    let (method, path, body) = match function {
        "get-app" => (Method::GET, app, None),
        "update-app" => (Method::PUT, app, Some(json!({ "name": "Renamed" }))),
        "delete-app" => (Method::DELETE, app, None),
        "rotate-key" => (Method::POST, format!("{app}/rotate-key"), None),
        "rotate-webhook-secret" => (Method::POST, format!("{app}/rotate-webhook-secret"), None),
        "test-webhook" => {
            let receiver = Receiver::start().await;
            let address = json!({ "webhookUrl": receiver.at("/hook") });
            world.call(Method::PUT, &app, key, Some(address)).await.expect(200);
            return timed(world.post(&format!("{app}/test-webhook"), key)).await;
        }
        "list-deliveries" => (Method::GET, format!("{app}/deliveries"), None),
        "create-key" => (Method::POST, keys, Some(order)),
        "list-keys" => (Method::GET, keys, None),
        _ => {
            let made = world.call(Method::POST, &keys, key, Some(order)).await.expect(201).json();
            (Method::DELETE, format!("{keys}/{}", made["keyId"].as_str().unwrap()), None)
        }
    };
    timed(world.call(method, &path, key, body)).await
}

async fn timed(request: impl Future<Output = Reply>) -> Duration {
    let began = Instant::now();
    let reply = request.await;
    assert!(reply.status.is_success() || reply.status == 303, "{} {}", reply.status, reply.text);
    began.elapsed()
}

/// `PutItem, 2 Query`.
fn operations(calls: &[&Value]) -> String {
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls {
        *counted.entry(call["operation"].as_str().unwrap()).or_default() += 1;
    }
    let named: Vec<String> = counted
        .into_iter()
        .map(
            |(operation, times)| {
                if times == 1 { operation.to_owned() } else { format!("{times} {operation}") }
            },
        )
        .collect();
    if named.is_empty() { "–".to_owned() } else { named.join(", ") }
}

/// The longest row of calls of which each began after the one before had ended.
fn in_sequence(calls: &[&Value]) -> usize {
    let mut spans: Vec<(f64, f64)> = calls
        .iter()
        .map(|call| {
            let began = call["startedMs"].as_f64().unwrap();
            (began, began + call["ms"].as_f64().unwrap())
        })
        .collect();
    spans.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mut free_at = f64::MIN;
    let mut count = 0;
    for (began, ended) in spans {
        if began >= free_at {
            count += 1;
            free_at = ended;
        }
    }
    count
}

#[test]
fn calls_at_the_same_time_count_once() {
    let call = |began: f64, ms: f64| json!({ "startedMs": began, "ms": ms });
    let (a, b, c) = (call(0.0, 2.0), call(0.5, 1.0), call(2.1, 1.0));
    assert_eq!(in_sequence(&[&a, &b, &c]), 2);
    assert_eq!(in_sequence(&[]), 0);
}
