//! The circuit breaker of the token endpoint: RingCentral may count token calls for the app, and every call during a penalty
//! restarts it. Checked by the simulator's ledger.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{HOUR, Reply, TestTenant, World};

/// A stack with three tenants and two extensions each, whose tokens are refreshed only when they are used.
async fn connected() -> (World, Vec<TestTenant>) {
    let world = World::start().await;
    let account = json!({"users": [{}, {}, {}, {}, {}, {}]});
    let made = world.sim(Method::POST, "/_sim/accounts", Some(account)).await;
    let mut tenants = Vec::new();
    for pair in made["users"].as_array().unwrap().chunks(2) {
        let tenant = world.new_tenant("Dental").await;
        for user in pair {
            world.connect(&tenant, user).await.expect(303);
        }
        tenants.push(tenant);
    }
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    world.advance(HOUR).await;
    (world, tenants)
}

/// Every tenant makes a request that needs tokens of all its extensions.
async fn use_tokens(world: &World, tenants: &[TestTenant]) -> Vec<Reply> {
    join_all(tenants.iter().map(|tenant| world.post("/v1/rc/numbers/refresh", &tenant.key))).await
}

async fn users(world: &World, tenant: &TestTenant) -> Vec<Value> {
    let shown = world.get("/v1/rc/extensions", &tenant.key).await.expect(200).json();
    shown["extensions"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_penalty_of_the_app_no_tenant_calls_the_token_endpoint() {
    let (world, tenants) = connected().await;
    world.sim(Method::PUT, "/_sim/settings", Some(json!({"rateLimits": {"authPerApp": 2}}))).await;
    use_tokens(&world, &tenants).await;
    let limited = world.count("rate_limited").await;
    assert!((2..=4).contains(&limited), "{limited} calls were in flight when the limit was reached");
    assert_eq!(world.count("token_refreshed").await, 2);
    // The penalty lasts a minute. No call is made meanwhile, however many requests there are.
    for _ in 0..4 {
        use_tokens(&world, &tenants).await;
        world.advance(12).await;
    }
    assert_eq!(world.count("rate_limited").await, limited);
    assert_eq!(world.count("token_refreshed").await, 2);
    // Then one probe is made, and the call rate ramps up: no burst reaches the limit again within the first minute.
    let mut minutes = 0;
    while world.count("token_refreshed").await < 6 {
        use_tokens(&world, &tenants).await;
        world.advance(20).await;
        minutes += 1;
        assert!(minutes < 60, "the connections do not recover");
    }
    let entries = world.ledger("rate_limited").await;
    let during: Vec<_> = entries[limited..].iter().filter(|entry| entry["restarted"] == true).collect();
    assert!(during.is_empty(), "calls during a penalty: {during:?}");
    for tenant in &tenants {
        for user in users(&world, tenant).await {
            assert_eq!(user["status"], "active", "{user}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_penalty_of_one_tenant_does_not_affect_other_tenants() {
    let (world, tenants) = connected().await;
    let extensions = users(&world, &tenants[0]).await;
    let limited = extensions.iter().map(|user| {
        let act = json!({"rateLimit": {"retryAfter": 60, "penaltyRestarts": true}});
        json!({"match": {"path": "/restapi/oauth/token", "user": user["extensionId"]}, "do": act})
    });
    world.sim(Method::PUT, "/_sim/faults", Some(limited.collect())).await;
    let replies = use_tokens(&world, &tenants).await;
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(
        statuses[1..],
        [200, 200],
        "{:?}",
        replies.iter().map(|reply| &reply.text).collect::<Vec<_>>()
    );
    assert_eq!(world.count("token_refreshed").await, 4);
}

#[tokio::test]
async fn a_sign_in_during_a_penalty_of_the_app_has_to_wait() {
    let (world, tenants) = connected().await;
    world.sim(Method::PUT, "/_sim/settings", Some(json!({"rateLimits": {"authPerApp": 1}}))).await;
    use_tokens(&world, &tenants).await;
    let limited = world.count("rate_limited").await;
    let reply = world.connect(&tenants[2], &world.user(0)).await.expect(503);
    assert!(reply.header("retry-after").parse::<u64>().unwrap() > 30, "{}", reply.header("retry-after"));
    assert_eq!(world.count("rate_limited").await, limited, "its code was not used up");
}
