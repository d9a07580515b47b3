//! A simulated month of many connections, used at random, with occasional failures of RingCentral, AWS services and
//! processes. The simulator's ledger shows that no connection is lost, no subscription expires, and no user has more than
//! five token calls a minute.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::random::Random;
use crate::world::{TestTenant, World};

/// Half a day, in seconds.
const STEP: i64 = 12 * 3_600;
const STEPS: usize = 60;

/// The result of a month.
#[derive(Debug, Default)]
pub struct MonthReport {
    /// Steps in which a fault fired.
    pub faults: usize,
    /// Requests that need an access token.
    pub uses: usize,
    /// Those of them that failed and may be repeated later.
    pub unavailable: usize,
    pub refreshes: usize,
    pub renewals: usize,
    /// Connections that are not usable at the end, as the API returns them.
    pub lost: Vec<Value>,
    /// Refresh tokens that RingCentral rejected.
    pub rejected: usize,
    /// Subscriptions that expired.
    pub expired: usize,
    /// The largest number of token calls of one user within a minute.
    pub most_in_a_minute: usize,
}

/// Simulates a month of this many connections, each of a different tenant.
pub async fn month(connections: usize, seed: u64) -> MonthReport {
    let world = World::start().await;
    // Message sync, every ten minutes, is not part of this test.
    world.without_schedules_of(&["sync-messages"]).await;
    let tenants = connected(&world, connections).await;
    let mut random = Random(seed | 1);
    let mut report = MonthReport::default();
    for _ in 0..STEPS {
        let set = fault(&world, &mut random).await;
        for _ in 0..random.below(1 + connections / 8) {
            let tenant = &tenants[random.below(connections)];
            report.uses += 1;
            let used = world.post("/v1/rc/numbers/refresh", &tenant.key).await;
            report.unavailable += usize::from(!used.status.is_success());
        }
        for seconds in [1, STEP] {
            world.advance(seconds).await;
            if set && fired(&world).await {
                report.faults += 1;
                world.no_faults().await;
                recover(&world).await;
            }
        }
        world.no_faults().await;
    }
    // The last failures are recovered.
    for _ in 0..3 {
        world.advance(3_700).await;
    }
    evaluate(&world, &tenants, &mut report).await;
    world.stack.stop().await.unwrap();
    report
}

/// Runs the sweep, which fires once per step of the clock, within the hour in which RingCentral repeats a token pair whose
/// response was lost.
async fn recover(world: &World) {
    for seconds in [61, 300, 600] {
        world.advance(seconds).await;
    }
}

/// Tenants with one connected extension each.
async fn connected(world: &World, connections: usize) -> Vec<TestTenant> {
    let users: Vec<Value> = (0..connections)
        .map(|at| {
            let number = format!("+1{}555{:04}", 201 + at / 100, 100 + at % 100);
            json!({ "extension": (101 + at).to_string(), "numbers": [{ "phoneNumber": number }] })
        })
        .collect();
    let account = world.sim(Method::POST, "/_sim/accounts", Some(json!({ "users": users }))).await;
    let users = account["users"].as_array().unwrap();
    let connecting = users.iter().enumerate().map(|(at, user)| async move {
        let tenant = world.new_tenant(&format!("No. {at}")).await;
        world.connect(&tenant, user).await.expect(303);
        (at, tenant)
    });
    let mut tenants: Vec<_> = stream::iter(connecting).buffer_unordered(4).collect().await;
    tenants.sort_by_key(|(at, _)| *at);
    tenants.into_iter().map(|(_, tenant)| tenant).collect()
}

/// Sets a fault in two of three steps. False if it set none.
async fn fault(world: &World, random: &mut Random) -> bool {
    let (times, skip) =
        (1 + u32::try_from(random.below(5)).unwrap(), u32::try_from(random.below(12)).unwrap());
    let refreshing = |operation: &str| json!({ "function": "refresh-tokens", "operation": operation });
    match random.below(9) {
        0 => world.sim_fault("/oauth/token", Some(times), json!({ "applyThenDrop": true })).await,
        1 => world.sim_fault("/oauth/token", Some(times), json!({ "status": 503 })).await,
        2 => world.sim_fault("/oauth/token", Some(times), json!({ "truncateJson": true })).await,
        3 => {
            let lost = json!({ "applyThenDrop": true });
            world.aws_fault(refreshing("UpdateItem"), skip, Some(times), lost).await;
        }
        4 => {
            let throttled = json!({ "error": "ThrottlingException", "status": 400 });
            world.aws_fault(refreshing("UpdateItem"), skip, Some(times), throttled).await;
        }
        5 => {
            let any = json!({ "function": "refresh-tokens" });
            world.aws_fault(any, skip, Some(1), json!({ "kill": "after" })).await;
        }
        _ => return false,
    }
    true
}

async fn fired(world: &World) -> bool {
    let of = async |faults: Value| {
        let faults = faults.as_array().cloned().unwrap_or_default();
        faults.iter().any(|fault| fault["fired"].as_u64().unwrap_or_default() > 0)
    };
    of(world.sim(Method::GET, "/_sim/faults", None).await).await
        || of(world.aws(Method::GET, "/_aws/faults", None).await).await
}

async fn evaluate(world: &World, tenants: &[TestTenant], report: &mut MonthReport) {
    for tenant in tenants {
        let shown = world.get("/v1/rc/extensions", &tenant.key).await.expect(200).json();
        let extension = &shown["extensions"][0];
        if extension["status"] != "active" || extension["subscription"]["status"] != "Active" {
            report.lost.push(extension.clone());
        }
    }
    let ledger = world.sim(Method::GET, "/_sim/ledger", None).await;
    let mut calls: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for entry in ledger["entries"].as_array().unwrap() {
        let kind = entry["kind"].as_str().unwrap();
        match kind {
            "token_refreshed" => report.refreshes += 1,
            "token_refused" => report.rejected += 1,
            "subscription_renewed" => report.renewals += 1,
            "subscription_expired" => report.expired += 1,
            _ => {}
        }
        let limited = kind == "rate_limited" && entry["path"] == "/restapi/oauth/token";
        if limited || ["token_issued", "token_refreshed", "token_refused"].contains(&kind) {
            let user = entry["extensionId"].to_string();
            calls.entry(user).or_default().push(entry["at"].as_str().unwrap().parse().unwrap());
        }
    }
    for calls in calls.values() {
        for (at, first) in calls.iter().enumerate() {
            let minute = calls[at..].iter().take_while(|call| call.duration_since(*first).as_secs() < 60);
            report.most_in_a_minute = report.most_in_a_minute.max(minute.count());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_with_failures_loses_no_connection_and_no_subscription() {
    const SEED: u64 = 20_260_101;
    let report = month(12, SEED).await;
    println!("seed {SEED}: {report:?}");
    assert!(report.lost.is_empty(), "seed {SEED}: {report:?}");
    assert_eq!((report.rejected, report.expired), (0, 0), "seed {SEED}: {report:?}");
    assert!(report.most_in_a_minute <= 5, "seed {SEED}: {report:?}");
    assert!(report.faults > 10 && report.uses > 10, "seed {SEED}: {report:?}");
    assert!(report.refreshes >= 12 * 7 && report.renewals >= 12 * 20, "seed {SEED}: {report:?}");
}
