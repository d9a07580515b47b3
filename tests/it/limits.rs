//! Rate limits: exact under concurrency, reported in every response, and independent for each tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use futures_util::stream::{self, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use shared::http::route::Access;
use shared::model::app::ApiKey;
use shared::model::ids::TenantId;
use shared::model::secret::Secret;

use crate::receiver::{Behaviour, WebhookEndpoint};
use crate::send::{SENT, accept, until};
use crate::template::{mapping, resources, strings, template};
use crate::tenancy::{additional_key, app_of, send};
use crate::world::{Reply, TestTenant, World, root};

/// Keys with a wrong checksum that one test sends.
const BAD_KEYS: usize = 10_000;
/// The most processes of one function that the local stack runs.
const PROCESSES: usize = local::DEFAULT_INSTANCES;

/// Sends requests, at most 40 concurrently. Returns how often each status was returned.
async fn burst(world: &Arc<World>, key: &str, requests: usize) -> BTreeMap<u16, usize> {
    let gate = Arc::new(tokio::sync::Semaphore::new(40));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..requests {
        let (world, gate, key) = (Arc::clone(world), Arc::clone(&gate), key.to_owned());
        running.spawn(async move {
            let _permit = gate.acquire().await.unwrap();
            world.get("/v1/rc/status", &key).await.status.as_u16()
        });
    }
    let mut seen = BTreeMap::new();
    while let Some(status) = running.join_next().await {
        *seen.entry(status.unwrap()).or_default() += 1;
    }
    seen
}

async fn limit(world: &World, tenant: &TestTenant, limits: Value) {
    let path = format!("/v1/tenants/{}", tenant.id);
    let order = json!({ "limits": limits });
    world.call(Method::PATCH, &path, &world.operator_key(), Some(order)).await.expect(200);
}

/// A function's AWS calls since a position in the log, as `operation table`.
async fn calls(world: &World, function: &str, since: u64) -> Vec<String> {
    let calls = world.calls_since(since).await;
    let calls = calls.iter().filter(|call| call["function"] == function);
    calls
        .map(|call| {
            format!("{} {}", call["operation"].as_str().unwrap(), call["table"].as_str().unwrap_or(""))
        })
        .collect()
}

/// A key with the public part of `key`, a wrong secret, and a valid checksum.
fn with_another_secret(key: &str) -> String {
    let body = format!("{}{}", &key[..30], "a".repeat(52));
    let digest = HEXLOWER.decode(Secret::new(body.as_str()).digest().as_bytes()).unwrap();
    format!("{body}{}", BASE32_NOPAD.encode(&digest[..4]).to_ascii_lowercase())
}

#[tokio::test]
async fn exactly_the_limit_of_a_burst_is_allowed() {
    let world = Arc::new(World::start().await);
    // A log of timestamps, and slots.
    for (allowed, sent) in [(100, 170), (600, 680)] {
        let tenant = world.new_tenant("Busy").await;
        limit(&world, &tenant, json!({ "requestsPerMinute": allowed })).await;
        let seen = burst(&world, &tenant.key, sent).await;
        assert_eq!(
            seen,
            BTreeMap::from([(200, allowed), (429, sent - allowed)]),
            "{:?}",
            world.log().into_iter().filter(|line| line.contains("WARN")).take(5).collect::<Vec<_>>()
        );
        let refused = world.get("/v1/rc/status", &tenant.key).await;
        assert_eq!(refused.error(), (429, "rate_limited".to_owned()));
        assert_eq!(refused.header("ratelimit-limit"), allowed.to_string());
        assert_eq!(refused.header("ratelimit-remaining"), "0");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=62).contains(&wait), "{wait}");
        assert_eq!(refused.header("ratelimit-reset"), wait.to_string());
        // Another tenant is not affected.
        world.get("/v1/rc/status", &world.tenant().key).await.expect(200);
        // A repeated rejection causes no write.
        let since = world.calls_so_far().await;
        for _ in 0..5 {
            assert_eq!(world.get("/v1/rc/status", &tenant.key).await.status, 429);
        }
        let made = calls(&world, "get-status", since).await;
        assert!(made.iter().filter(|call| call.starts_with("UpdateItem")).count() <= 5, "{made:?}");
        assert!(made.iter().all(|call| !call.starts_with("Query")), "{made:?}");
        world.advance(62).await;
        world.get("/v1/rc/status", &tenant.key).await.expect(200);
    }
}

/// One write counts a request against the limit of its key and that of its tenant.
#[tokio::test]
async fn the_keys_of_a_tenant_together_get_at_most_its_limit_while_a_neighbor_is_served() {
    let world = Arc::new(World::start().await);
    let (tenant, neighbor) = (world.new_tenant("Many keys").await, world.new_tenant("Neighbor").await);
    limit(&world, &tenant, json!({ "tenantRequestsPerMinute": 1_000 })).await;
    let mut keys = vec![tenant.key.clone()];
    while keys.len() < 5 {
        keys.push(additional_key(&world, &tenant, json!({ "scopes": ["sms:read"] })).await);
    }
    limit(&world, &tenant, json!({ "requestsPerMinute": 60, "tenantRequestsPerMinute": 150 })).await;
    // What was counted until now has left the window.
    world.advance(62).await;
    let since = world.calls_so_far().await;
    let bursts = keys.iter().map(|key| burst(&world, key, 70));
    let steady = async {
        for _ in 0..40 {
            world.get("/v1/rc/status", &neighbor.key).await.expect(200);
        }
    };
    let (seen, ()) = tokio::join!(futures_util::future::join_all(bursts), steady);
    let allowed: Vec<usize> = seen.iter().map(|seen| seen.get(&200).copied().unwrap_or_default()).collect();
    assert_eq!(allowed.iter().sum::<usize>(), 150, "{allowed:?}");
    assert!(allowed.iter().all(|allowed| *allowed <= 60), "{allowed:?}");
    assert!(
        seen.iter()
            .all(|seen| seen.values().sum::<usize>() == 70 && seen.keys().all(|s| [200, 429].contains(s)))
    );
    let made = calls(&world, "get-status", since).await;
    let counted = made.iter().filter(|call| call.starts_with("UpdateItem")).count();
    // One for each request that was allowed, two for the first rejections of each process; and the last use of six keys.
    assert!(counted <= 150 + 40 + PROCESSES * 2 * 6 + PROCESSES * 6, "{counted}");
    let refused = world.get("/v1/rc/status", &keys[0]).await;
    assert_eq!(refused.error(), (429, "rate_limited".to_owned()));
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=62).contains(&wait), "{wait}");
    world.advance(62).await;
    let reply = world.get("/v1/rc/status", &keys[1]).await.expect(200);
    assert_eq!((reply.header("ratelimit-limit"), reply.header("ratelimit-remaining")), ("60", "59"));
    limit(&world, &tenant, json!({ "tenantRequestsPerMinute": 20 })).await;
    world.advance(62).await;
    let reply = world.get("/v1/rc/status", &keys[1]).await.expect(200);
    assert_eq!((reply.header("ratelimit-limit"), reply.header("ratelimit-remaining")), ("20", "19"));
}

/// A stack with another value of a parameter, instead of its default.
async fn with_parameter(name: &str, default: u32, value: u32) -> World {
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let lines = |value| format!("  {name}:\n    Type: Number\n    Default: {value}\n");
    assert!(template.contains(&lines(default)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    std::fs::write(&path, template.replace(&lines(default), &lines(value))).unwrap();
    std::fs::create_dir(folder.path().join("infra")).unwrap();
    for nested in ["infra/alarms.yaml", "infra/dashboard.yaml"] {
        std::fs::copy(root().join(nested), folder.path().join(nested)).unwrap();
    }
    World::with_template(path).await
}

#[tokio::test]
async fn sign_ins_of_one_tenant_leave_token_calls_to_the_others() {
    let world = with_parameter("TokenCallsPerMinute", 300, 10).await;
    let (busy, neighbor) = (world.new_tenant("Busy").await, world.new_tenant("Neighbor").await);
    let sign_in = async |tenant: &TestTenant, user: usize| {
        let link = world.mint(tenant).await;
        let mut browser = world.browser();
        let callback = browser.sign_in(&link, &world.user(user)).await;
        browser.get(&callback).await
    };
    // A fifth of ten for each tenant.
    for user in [0, 0] {
        sign_in(&busy, user).await.expect(303);
    }
    let rejected = sign_in(&busy, 0).await.expect(503);
    assert_eq!(rejected.page_code(), "unavailable");
    let wait: u64 = rejected.header("retry-after").parse().unwrap();
    assert!((1..=62).contains(&wait), "{wait}");
    sign_in(&neighbor, 1).await.expect(303);
    // Two thirds for all of them, of what revocations leave: these sign-ins are ended, as the extension is another tenant's.
    for name in ["Third", "Fourth", "Fifth"] {
        let tenant = world.new_tenant(name).await;
        for _ in 0..2 {
            sign_in(&tenant, 1).await;
        }
    }
    let issued = world.count("token_issued").await;
    assert!((4..=6).contains(&issued), "{issued}");
    world.advance(62).await;
    sign_in(&busy, 0).await.expect(303);
}

/// With reserved concurrency, requests that wait for a hanging host are rejected at once when there are too many.
#[tokio::test]
async fn a_tenant_with_hanging_test_webhooks_does_not_stop_the_sends_of_a_neighbor() {
    let world = with_parameter("ForeignHostConcurrency", 0, 2).await;
    let (slow, receiver) = (world.new_tenant("Slow").await, WebhookEndpoint::start().await);
    receiver.behave("/hook", Behaviour::Hang);
    let app = app_of(&world, &slow.key).await;
    let url = json!({ "webhookUrl": receiver.at("/hook") });
    send(&world, "PUT", &format!("/v1/apps/{app}"), &slow.key, url).await.expect(200);
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let path = format!("/v1/apps/{app}/test-webhook");
    let tests = futures_util::future::join_all((0..6).map(|_| world.post(&path, &slow.key)));
    let neighbor = async {
        let id = accept(&world, &world.tenant(), "+14155550100", "Not stopped").await;
        until(&world, &world.tenant(), &id, &SENT).await;
    };
    let (tests, ()) = tokio::join!(tests, neighbor);
    let throttled = tests.iter().filter(|reply| reply.status == 503).count();
    assert_eq!((throttled, tests.len() - throttled), (4, 2), "two executions are reserved");
    assert!(tests.iter().all(|reply| [200, 503].contains(&reply.status.as_u16())));
}

#[tokio::test]
async fn every_response_has_the_rate_limit_headers() {
    let world = World::start().await;
    let tenant = world.new_tenant("Counted").await;
    for (before, remaining) in [(0, "99"), (1, "98")] {
        let reply = world.get("/v1/rc/status", &tenant.key).await.expect(200);
        assert_eq!(
            (reply.header("ratelimit-limit"), reply.header("ratelimit-remaining")),
            ("100", remaining),
            "{before}"
        );
        let reset: u64 = reply.header("ratelimit-reset").parse().unwrap();
        assert!((1..=62).contains(&reset));
    }
    // Errors have the headers, too, if the key is valid; all routes share one counter.
    let reply = world.get("/v1/apps?limit=0", &tenant.key).await;
    assert_eq!((reply.status.as_u16(), reply.header("ratelimit-remaining")), (400, "97"));
    assert_eq!(world.get("/v1/rc/status", "sgw_x").await.header("ratelimit-limit"), "");
    let reply = world.get("/v1/tenants", &world.operator_key()).await.expect(200);
    assert_eq!(reply.header("ratelimit-limit"), "500");
}

#[tokio::test]
async fn a_changed_limit_applies_within_a_second() {
    let world = World::start().await;
    let tenant = world.new_tenant("Changing").await;
    for _ in 0..3 {
        world.get("/v1/rc/status", &tenant.key).await.expect(200);
    }
    limit(&world, &tenant, json!({ "requestsPerMinute": 2 })).await;
    // A process that has just read the key may count one more request against the old limit.
    world.get("/v1/rc/status", &tenant.key).await;
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.status, 429);
    limit(&world, &tenant, json!({ "requestsPerMinute": 50 })).await;
    // A process that has just rejected a request may do so for another second; then it reads the key again.
    let began = std::time::Instant::now();
    while world.get("/v1/rc/status", &tenant.key).await.status == 429 {
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }
    world.get("/v1/rc/status", &tenant.key).await.expect(200);
    limit(&world, &tenant, json!({ "connectTokensPerHour": 2 })).await;
    for expected in [200, 200, 429, 429] {
        let reply = world.post("/v1/rc/connect-token", &tenant.key).await;
        assert_eq!(reply.status.as_u16(), expected);
        if expected == 429 {
            assert_eq!(reply.header("ratelimit-limit"), "2", "the limit for links");
            assert!(reply.header("retry-after").parse::<u64>().unwrap() > 3_500);
        }
    }
}

/// The key with another last character, so that its checksum is wrong.
fn mistyped(key: &str) -> String {
    let (body, last) = key.split_at(key.len() - 1);
    format!("{body}{}", if last == "a" { 'b' } else { 'a' })
}

fn wrong_key() -> ((u16, String), &'static Value) {
    static TEXT: LazyLock<Value> = LazyLock::new(|| json!("Missing or invalid API key"));
    ((401, "unauthorized".to_owned()), &TEXT)
}

/// Cases T1 and T7; the example `limits` sends a million keys.
#[tokio::test]
async fn a_flood_of_invalid_keys_causes_no_reads_and_does_not_affect_valid_keys() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.get("/v1/rc/status", &tenant.key).await.expect(200);
    let since = world.calls_so_far().await;
    // The valid key and unknown keys, all mistyped; as many concurrently as there are processes.
    let keys = (0..BAD_KEYS).map(|at| match at % 2 {
        0 => mistyped(&tenant.key),
        _ => mistyped(ApiKey::generate(&TenantId::generate()).expose()),
    });
    let mut replies = stream::iter(keys.map(|key| {
        let world = &world;
        async move { world.get("/v1/rc/status", &key).await }
    }))
    .buffer_unordered(PROCESSES);
    while let Some(reply) = replies.next().await {
        assert_eq!((reply.error(), &reply.json()["error"]), wrong_key());
    }
    drop(replies);
    assert_eq!(calls(&world, "get-status", since).await, Vec::<String>::new());
    // A wrong secret for a cached key is rejected without a read.
    for _ in 0..1000 {
        let reply = world.get("/v1/rc/status", &with_another_secret(&tenant.key)).await;
        assert_eq!(reply.json()["error"], "Invalid API key");
    }
    // There may be several processes, each with its own cache.
    let reads = calls(&world, "get-status", since).await.len();
    assert!(reads <= PROCESSES, "{reads}");
    // An unknown key id is read once.
    let unknown = ApiKey::generate(&TenantId::generate());
    for _ in 0..50 {
        assert_eq!(
            world.get("/v1/rc/status", unknown.expose()).await.error(),
            (401, "unauthorized".to_owned())
        );
    }
    let reads = calls(&world, "get-status", since).await.len() - reads;
    assert!((1..=PROCESSES).contains(&reads), "{reads}");
    world.get("/v1/rc/status", &tenant.key).await.expect(200);
}

#[tokio::test]
async fn without_the_key_table_requests_fail_and_without_the_counters_each_process_counts_locally() {
    let world = World::start().await;
    let tenant = world.new_tenant("Small").await;
    limit(&world, &tenant, json!({ "requestsPerMinute": 5 })).await;
    let fault = json!({ "error": "InternalServerError", "status": 500 });
    let reading = json!({ "service": "dynamodb", "operation": "BatchGetItem" });
    world.aws_fault(reading, 0, None, fault.clone()).await;
    let reply = world.get("/v1/rc/status", &tenant.key).await;
    assert_eq!(
        (reply.error(), &reply.json()["error"]),
        ((503, "unavailable".into()), &json!("Temporarily unavailable"))
    );
    assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1);
    let counting = json!({ "service": "dynamodb", "operation": "UpdateItem", "function": "get-status" });
    world.aws_fault(counting, 0, None, fault).await;
    let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
    for _ in 0..PROCESSES * 5 + 10 {
        *seen.entry(world.get("/v1/rc/status", &tenant.key).await.status.as_u16()).or_default() += 1;
    }
    // Each process has allowed at most the limit.
    assert!(seen[&200] >= 5 && seen[&200] <= PROCESSES * 5 && seen[&429] >= 10, "{seen:?}");
    // Without its counter, no link is created.
    let counting =
        json!({ "service": "dynamodb", "operation": "UpdateItem", "function": "create-connect-token" });
    world.aws_fault(counting, 0, None, json!({ "error": "InternalServerError", "status": 500 })).await;
    assert_eq!(
        world.post("/v1/rc/connect-token", &world.tenant().key).await.error(),
        (503, "unavailable".to_owned())
    );
}

/// Case T6 without its latency measurement: only the tenant over its limit gets 429.
#[tokio::test]
async fn only_the_noisy_tenant_is_rejected() {
    let world = Arc::new(World::start().await);
    let (noisy, quiet) = (world.new_tenant("Noisy").await, world.new_tenant("Quiet").await);
    limit(&world, &noisy, json!({ "requestsPerMinute": 10 })).await;
    let flood = burst(&world, &noisy.key, 500);
    let steady = async {
        let mut replies: Vec<Reply> = Vec::new();
        for _ in 0..60 {
            replies.push(world.get("/v1/rc/status", &quiet.key).await);
        }
        replies
    };
    let (flooded, steady) = tokio::join!(flood, steady);
    assert_eq!(flooded, BTreeMap::from([(200, 10), (429, 490)]));
    assert!(steady.iter().all(|reply| reply.status == 200));
}

/// Uses a key without pauses, in as many concurrent loops as there are processes, until each loop was rejected five times.
/// Returns how many requests succeeded. Requests that are sent after `revoked` is set must not succeed.
async fn load(world: &World, key: &str, revoked: &AtomicBool) -> usize {
    let one = async || {
        let (mut passed, mut refused) = (0, 0);
        while refused < 5 {
            let was_revoked = revoked.load(Ordering::SeqCst);
            let reply = world.get("/v1/rc/status", key).await;
            if reply.status == 200 {
                assert!(!was_revoked, "a revoked key was accepted");
                passed += 1;
            } else {
                assert_eq!(reply.error(), (401, "unauthorized".to_owned()));
                refused += 1;
            }
        }
        passed
    };
    futures_util::future::join_all((0..PROCESSES).map(|_| one())).await.into_iter().sum()
}

/// Case T3.
#[tokio::test]
async fn a_revoked_key_is_rejected_as_soon_as_its_revocation_is_confirmed() {
    let world = World::start().await;
    let tenant = world.tenant();
    limit(&world, &tenant, json!({ "requestsPerMinute": 100_000, "tenantRequestsPerMinute": 100_000 })).await;
    let app = app_of(&world, &tenant.key).await;
    let further = additional_key(&world, &tenant, json!({ "scopes": ["sms:read"] })).await;
    world.get("/v1/rc/status", &further).await.expect(200);
    let listed = world.get(&format!("/v1/apps/{app}/keys"), &tenant.key).await.json();
    let id = listed["keys"].as_array().unwrap().iter().find(|key| key["isMain"] == false).unwrap();
    let path = format!("/v1/apps/{app}/keys/{}", id["keyId"].as_str().unwrap());
    let revoked = AtomicBool::new(false);
    let revoke = async {
        send(&world, "DELETE", &path, &tenant.key, Value::Null).await.expect(200);
        revoked.store(true, Ordering::SeqCst);
    };
    tokio::join!(load(&world, &further, &revoked), revoke);
    // A rotation with an overlap: under load both keys are accepted; after the overlap only the new one is.
    let rotate = format!("/v1/apps/{app}/rotate-key");
    let order = json!({ "overlapSeconds": 600 });
    let under_way = burst_of(&world, &tenant.key);
    let (new, passed) = tokio::join!(send(&world, "POST", &rotate, &tenant.key, order), under_way);
    assert!(passed, "the old key is accepted during the rotation");
    let new = new.expect(200).json()["apiKey"].as_str().unwrap().to_owned();
    assert!(burst_of(&world, &new).await && burst_of(&world, &tenant.key).await);
    world.advance(601).await;
    assert_eq!(load(&world, &tenant.key, &AtomicBool::new(true)).await, 0);
    assert!(burst_of(&world, &new).await);
}

/// Whether 30 concurrent requests all succeed.
async fn burst_of(world: &World, key: &str) -> bool {
    let replies = futures_util::future::join_all((0..30).map(|_| world.get("/v1/rc/status", key))).await;
    replies.iter().all(|reply| reply.status == 200)
}

#[test]
fn ringcentrals_webhook_browsers_and_the_api_have_throttles_of_their_own() {
    let template = template();
    let settings = &template["Resources"]["Api"]["Properties"]["RouteSettings"];
    let own: BTreeSet<String> =
        mapping(settings).into_iter().map(|(route, _)| route.as_str().unwrap().to_owned()).collect();
    for route in crate::routes::all() {
        let needs_one = match route.access {
            Access::RingCentral | Access::Browser | Access::Open => true,
            Access::Key | Access::Operator => route.key == "POST /v1/sms/send",
        };
        assert!(!needs_one || own.contains(route.key), "{} has no separate throttle", route.key);
    }
}

/// One tenant's work cannot take all executions of the account.
#[test]
fn queues_and_waits_for_foreign_hosts_have_a_concurrency_of_their_own() {
    let template = template();
    let mut reserved = BTreeSet::new();
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        for (_, event) in function["Properties"].get("Events").map(mapping).into_iter().flatten() {
            if event["Type"] == "SQS" {
                let most = &event["Properties"]["ScalingConfig"]["MaximumConcurrency"];
                assert!(most.as_u64().is_some_and(|most| most >= 2), "{id}");
            }
        }
        if let Some(concurrency) = function["Properties"].get("ReservedConcurrentExecutions") {
            let wanted = ["ReservesConcurrency", "ForeignHostConcurrency", "AWS::NoValue"];
            assert_eq!(strings(Some(concurrency)), wanted, "{id}");
            reserved.insert(id);
        }
    }
    let waiting = ["CheckRingcentral", "FinishConnection", "RefreshNumbers", "TestWebhook", "UpdateConsents"];
    assert_eq!(reserved, waiting.into());
    assert_eq!(
        template["Parameters"]["ForeignHostConcurrency"]["Default"], 0,
        "a new account may have ten in all"
    );
}
