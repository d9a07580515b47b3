//! Penalties of the token endpoint: RingCentral may count its calls for the app, and every call within a penalty makes it
//! longer. Judged by the simulator's ledger.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{HOUR, Reply, Tenant, World};

/// A stack with three tenants, two extensions each, whose tokens are refreshed when they are used, and by nobody else.
async fn connected() -> (World, Vec<Tenant>) {
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

/// Every tenant asks for something that takes usable tokens of all its extensions.
async fn use_tokens(world: &World, tenants: &[Tenant]) -> Vec<Reply> {
    join_all(tenants.iter().map(|tenant| world.post("/v1/rc/numbers/refresh", &tenant.key))).await
}

async fn users(world: &World, tenant: &Tenant) -> Vec<Value> {
    let shown = world.get("/v1/rc/extensions", &tenant.key).await.expect(200).json();
    shown["extensions"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_over_the_whole_app_is_sat_out_by_all_in_silence() {
    let (world, tenants) = connected().await;
    world.sim(Method::PUT, "/_sim/settings", Some(json!({"rateLimits": {"authPerApp": 2}}))).await;
    use_tokens(&world, &tenants).await;
    let told = world.count("rate_limited").await;
    assert!((2..=4).contains(&told), "{told} calls were under way when the limit was reached");
    assert_eq!(world.count("token_refreshed").await, 2);
    // The penalty takes a minute. Nobody calls meanwhile, however often somebody asks.
    for _ in 0..4 {
        use_tokens(&world, &tenants).await;
        world.advance(12).await;
    }
    assert_eq!(world.count("rate_limited").await, told);
    assert_eq!(world.count("token_refreshed").await, 2);
    // Then one goes ahead, and the others follow slowly: no burst meets the limit again within the first minute.
    let mut minutes = 0;
    while world.count("token_refreshed").await < 6 {
        use_tokens(&world, &tenants).await;
        world.advance(20).await;
        minutes += 1;
        assert!(minutes < 60, "they do not recover");
    }
    let refused = world.ledger("rate_limited").await;
    let within: Vec<_> = refused[told..].iter().filter(|entry| entry["restarted"] == true).collect();
    assert!(within.is_empty(), "calls within a penalty: {within:?}");
    for tenant in &tenants {
        for user in users(&world, tenant).await {
            assert_eq!(user["status"], "active", "{user}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_penalty_of_one_tenant_holds_nobody_else_back() {
    let (world, tenants) = connected().await;
    let theirs = users(&world, &tenants[0]).await;
    let limited = theirs.iter().map(|user| {
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
async fn whoever_signs_in_during_a_penalty_of_all_is_asked_to_wait() {
    let (world, tenants) = connected().await;
    world.sim(Method::PUT, "/_sim/settings", Some(json!({"rateLimits": {"authPerApp": 1}}))).await;
    use_tokens(&world, &tenants).await;
    let told = world.count("rate_limited").await;
    let reply = world.connect(&tenants[2], &world.user(0)).await.expect(503);
    assert!(reply.header("retry-after").parse::<u64>().unwrap() > 30, "{}", reply.header("retry-after"));
    assert_eq!(world.count("rate_limited").await, told, "its code was not spent");
}
