//! One tenant's load or trouble delays no other tenant.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use local::StackOptions;
use reqwest::Method;
use serde_json::{Value, json};
use shared::limits;
use shared::model::shard::Shard;

use crate::delivery::{app, until as eventually};
use crate::receiver::{Behaviour, WebhookEndpoint};
use crate::send::{self, SENT, TO, accept, connect, message, send, until, without_limit};
use crate::world::{HOUR, TestTenant, World, binaries, root};

/// Two tenants with a connected extension each, and the numbers that they send from.
async fn two_tenants() -> (World, [TestTenant; 2], [String; 2]) {
    let (world, busy, from) = send::connected().await;
    let neighbour = world.new_tenant("Neighbour").await;
    without_limit(&world, &neighbour).await;
    let neighbours = connect(&world, &neighbour, 1).await;
    (world, [busy, neighbour], [from, neighbours])
}

async fn schedule(world: &World, tenant: &TestTenant, from: &str, seconds: i64) -> String {
    let now: jiff::Timestamp = world.stack.clock().now();
    let at = now.saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
    let order = json!({ "to": TO, "from": from, "body": "At this moment", "sendAt": at.to_string() });
    send::id(&send(world, tenant, order).await.expect(202))
}

/// The rows of a table whose sort key begins with `prefix`.
async fn rows(world: &World, table: &str, prefix: &str) -> Vec<Value> {
    let mut rows = world.items(table).await;
    rows.retain(|row| row["item"]["S"].as_str().is_some_and(|item| item.starts_with(prefix)));
    rows
}

/// Puts copies of a row whose id, the last part of the sort key, has another end.
async fn multiply(world: &World, table: &str, row: &Value, count: usize) {
    let item = row["item"]["S"].as_str().unwrap();
    let copies = (0..count).map(|at| {
        let mut copy = row.clone();
        let name = format!("{}{at:06}", &item[..item.len() - 6]);
        if row.get("work_kind").is_some() {
            let id = name.rsplit('#').next().unwrap();
            copy["work_kind"]["S"] = json!(Shard::of(id).partition("delivery"));
        }
        copy["item"]["S"] = json!(name);
        copy
    });
    world.put_items(table, &copies.collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_messages_for_one_moment_delay_no_neighbour() {
    let (world, [busy, neighbour], [from, neighbours]) = two_tenants().await;
    schedule(&world, &busy, &from, 2 * HOUR).await;
    let entry = rows(&world, "MessagesTable", "pending#").await.remove(0);
    multiply(&world, "MessagesTable", &entry, 3_000).await;
    let mut waiting = Vec::new();
    for seconds in [2 * HOUR, 2 * HOUR + 30] {
        waiting.push(schedule(&world, &neighbour, &neighbours, seconds).await);
    }
    // The index has one entry for each sender.
    let indexed = async || {
        let rows = world.items("MessagesTable").await;
        rows.iter().filter(|row| row.get("work_kind").is_some()).count()
    };
    assert_eq!(indexed().await, 2);
    // After a while without due messages, the entries wait for the moment too.
    world.advance(HOUR).await;
    let entries = rows(&world, "MessagesTable", "active#").await;
    let due = entries.iter().map(|row| row["due_at"]["N"].as_str().unwrap().parse::<i64>().unwrap());
    let now = world.stack.clock().now().as_millisecond();
    assert!(due.clone().all(|due| due > now), "{:?} {now}", due.collect::<Vec<_>>());
    assert_eq!(indexed().await, 2);
    world.advance(HOUR - 60).await;
    assert_eq!(message(&world, &neighbour, &waiting[0]).await["status"], "scheduled");
    world.advance(121).await;
    for id in &waiting {
        until(&world, &neighbour, id, &SENT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_overdue_deliveries_of_one_app_delay_no_neighbour() {
    let (world, [busy, neighbour], [from, neighbours]) = two_tenants().await;
    let (failing, receiver) = (WebhookEndpoint::start().await, WebhookEndpoint::start().await);
    for endpoint in [&failing, &receiver] {
        endpoint.behave("/hook", Behaviour::Later(503, 2 * 3_600));
    }
    let mut sent = Vec::new();
    for (tenant, from, endpoint) in [(&busy, &from, &failing), (&neighbour, &neighbours, &receiver)] {
        app(&world, tenant, json!({ "webhookUrl": endpoint.at("/hook"), "eventTypes": ["sms_status"] }))
            .await;
        sent.push(accept(&world, tenant, from, "Sent").await);
    }
    until(&world, &busy, &sent[0], &SENT).await;
    until(&world, &neighbour, &sent[1], &SENT).await;
    world.idle().await;
    let of = |tenant: &TestTenant, row: &Value| {
        row["tenant"]["S"] == tenant.id && row["status"]["S"] == "pending" && row["due_at"]["N"].is_string()
    };
    let pending = rows(&world, "DeliveriesTable", "app_").await;
    let mut first = pending.iter().find(|row| of(&busy, row)).expect("it is retried later").clone();
    first["due_at"]["N"] = json!("1");
    multiply(&world, "DeliveriesTable", &first, 3_000).await;
    // The backlog does not get done: a run takes some deliveries of an app, and their endpoint is paused.
    receiver.behave("/hook", Behaviour::Status(200));
    let before = receiver.arrivals("/hook").len();
    world.advance(2 * HOUR + 1_900).await;
    world.advance(61).await;
    eventually("the neighbour's delivery is retried", async || receiver.arrivals("/hook").len() > before)
        .await;
    let backlog = rows(&world, "DeliveriesTable", "app_").await;
    let backlog = backlog.iter().filter(|row| of(&busy, row)).count();
    assert!(backlog > 1_000, "the backlog still stands: {backlog}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_cannot_be_read_delays_no_other() {
    let (world, [busy, neighbour], [from, neighbours]) = two_tenants().await;
    let waking = json!({ "service": "sqs", "operation": "SendMessage", "function": "send-sms" });
    world.aws_fault(waking, 0, None, json!({ "error": "ServiceUnavailable", "status": 503 })).await;
    let ids = [
        accept(&world, &busy, &from, "Found by the sweep").await,
        accept(&world, &neighbour, &neighbours, "Found by the sweep").await,
    ];
    // One query fails, whichever it is. The run goes on.
    let query = json!({ "operation": "Query", "function": "sweep" });
    world.aws_fault(query, 5, Some(1), json!({ "error": "AccessDeniedException", "status": 400 })).await;
    let response = world.invoke("sweep", &json!({})).await;
    assert_eq!(response["failed"], 1, "{response}");
    world.no_faults().await;
    world.advance(60).await;
    for (tenant, id) in [(&busy, &ids[0]), (&neighbour, &ids[1])] {
        until(&world, tenant, id, &SENT).await;
    }
}

/// A tenant with 198 apps, all of which get each inbound message.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_events_for_198_apps_of_a_tenant_delay_no_neighbour() {
    const APPS: usize = 198;
    const EVENTS: usize = 20;
    let mut options = StackOptions::for_tests(&root());
    options.binaries = binaries().to_owned();
    // The stream and the queues invoke the same function, and each has its own concurrency on Lambda.
    options.instances = 16;
    let world = World::with(options).await;
    let (busy, neighbour) = (world.tenant(), world.new_tenant("Neighbour").await);
    let (receiver, mut numbers) = (WebhookEndpoint::start().await, Vec::new());
    for (tenant, user) in [(&busy, 0), (&neighbour, 1)] {
        without_limit(&world, tenant).await;
        numbers.push(connect(&world, tenant, user).await);
    }
    let wanted = |path: &str| json!({ "webhookUrl": receiver.at(path), "eventTypes": ["sms_inbound"] });
    app(&world, &neighbour, wanted("/neighbour")).await;
    let apps = (0..APPS).map(|_| app(&world, &busy, wanted("/busy")));
    stream::iter(apps).buffer_unordered(4).collect::<Vec<_>>().await;
    world.idle().await;

    let since = world.calls_so_far().await;
    let text = async |to: &str| {
        let order = json!({ "from": "+16505550199", "to": to, "text": "To all apps" });
        world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    };
    for _ in 0..EVENTS {
        text(&numbers[0]).await;
    }
    text(&numbers[1]).await;
    eventually("the neighbour's delivery arrives", async || !receiver.arrivals("/neighbour").is_empty())
        .await;
    let calls = world.calls_since(since).await;
    let made = |function: &str, operation: &str| {
        calls.iter().filter(|call| call["function"] == function && call["operation"] == operation).count()
    };
    // Each of the tenant's deliveries is a row and a queue message, and is leased when it is attempted.
    let (rows, leases) = (made("fan-out-events", "PutItem"), made("deliver-webhook", "UpdateItem"));
    println!("{rows} rows of deliveries, {leases} updates, {} arrivals", receiver.arrivals("/busy").len());
    assert!(rows < EVENTS * APPS, "{rows} rows: the tenant's events still stand");
    assert!(receiver.arrivals("/busy").len() < EVENTS * APPS / 2, "{leases} updates of deliveries");
    let events = world.items("EventsTable").await;
    let of_neighbour =
        |event: &&Value| event["tenant"]["S"] == neighbour.id && event["kind"]["S"] == "sms_inbound";
    assert_eq!(events.iter().filter(of_neighbour).count(), 1);
}

/// Strangers can call some routes as often as they like. API Gateway throttles those by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_on_a_route_for_strangers_delays_no_tenant() {
    let (world, tenant, from) = send::connected().await;
    let settings = format!("{}/_local/settings", world.gateway());
    let enforce = world.http.put(settings).body(json!({ "enforceThrottles": true }).to_string());
    assert_eq!(enforce.send().await.unwrap().status(), 200);
    let calls = (0..60).map(|_| world.get("/no/such/route", ""));
    let replies: Vec<_> = stream::iter(calls).buffer_unordered(8).collect().await;
    let throttled: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!(throttled.len() >= 10, "{} of 60 are throttled", throttled.len());
    assert!(throttled.iter().all(|reply| reply.text == r#"{"message":"Too Many Requests"}"#));
    let id = accept(&world, &tenant, &from, "Not throttled").await;
    until(&world, &tenant, &id, &SENT).await;
}

/// What an idle stack costs: docs/capacity.md has the price of a month.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_minute_makes_one_query_per_kind_and_shard_and_sends_nothing() {
    let world = World::with_default_parameters().await;
    world.advance(61).await;
    world.idle().await;
    let since = world.calls_so_far().await;
    for function in ["sweep", "sync-messages", "renew-subscriptions"] {
        let response = world.invoke(function, &json!({})).await;
        assert_eq!(response, json!({ "handedOut": 0, "failed": 0 }), "{function}");
    }
    let (mut counts, mut units): (BTreeMap<(String, String), u8>, _) = (BTreeMap::new(), 0.0);
    for call in world.calls_since(since).await {
        let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
        if call["operation"] != "Invoke" {
            *counts.entry((text("function"), text("operation"))).or_default() += 1;
            units += call["units"].as_f64().unwrap_or_default();
        }
    }
    let queries =
        |function: &str, kinds| ((function.to_owned(), "Query".to_owned()), kinds * limits::DEFAULT_SHARDS);
    let expected = [queries("sweep", 7), queries("sync-messages", 1), queries("renew-subscriptions", 1)];
    assert_eq!(counts, expected.into_iter().collect());
    // A query that finds nothing takes half a read unit.
    assert!(units <= f64::from(9 * limits::DEFAULT_SHARDS) / 2.0, "{units} units");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deletion_of_a_large_tenant_goes_on_where_it_stopped_and_delays_no_neighbour() {
    let (world, [large, neighbour], [_, neighbours]) = two_tenants().await;
    let row = json!({ "tenant": { "S": large.id }, "item": { "S": "message#msg_000000000000000000000000" } });
    multiply(&world, "MessagesTable", &row, 2_500).await;
    let left = async || {
        let rows = world.items("MessagesTable").await;
        rows.iter().filter(|row| row["tenant"]["S"] == large.id).count()
    };
    let path = format!("/v1/tenants/{}", large.id);
    world.call(Method::DELETE, &path, &world.operator_key(), None).await.expect(202);
    let deleting =
        json!({ "operation": "BatchWriteItem", "table": "MessagesTable", "function": "erase-tenants" });
    world.aws_fault(deleting, 60, Some(1), json!({ "kill": "after" })).await;
    world.advance(61).await;
    let rest = left().await;
    assert!((1..2_000).contains(&rest), "the run was killed: {rest} are left");
    let shown = world.get(&path, &world.operator_key()).await.expect(200).json();
    assert!(shown["deletion"]["left"]["message"].as_u64().unwrap() <= 1_000, "{shown}");
    let id = accept(&world, &neighbour, &neighbours, "Meanwhile").await;
    until(&world, &neighbour, &id, &SENT).await;
    world.no_faults().await;
    world.advance(limits::DELETION_LEASE_SECONDS + 61).await;
    assert_eq!(left().await, 0);
    assert_eq!(world.get(&path, &world.operator_key()).await.error(), (404, "not_found".to_owned()));
}

/// The ceilings of a tenant's partitions: docs/limits.md. A transaction counts for each of its tables, so these are upper bounds.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_its_events_and_deliveries_writes_few_units_to_its_tenants_partitions() {
    const MESSAGES: u32 = 5;
    let (world, tenant, from) = send::connected().await;
    let receiver = WebhookEndpoint::start().await;
    app(&world, &tenant, json!({ "webhookUrl": receiver.at("/hook"), "eventTypes": ["sms_status"] })).await;
    // The first message creates what all share.
    let first = accept(&world, &tenant, &from, "First").await;
    until(&world, &tenant, &first, &SENT).await;
    world.advance(61).await;
    world.idle().await;
    let (since, before) = (world.calls_so_far().await, receiver.arrivals("/hook").len());
    for at in 0..MESSAGES {
        let id = accept(&world, &tenant, &from, &format!("Measured {at}")).await;
        until(&world, &tenant, &id, &SENT).await;
    }
    world.advance(61).await;
    world.idle().await;
    let mut units: BTreeMap<String, f64> = BTreeMap::new();
    for call in world.calls_since(since).await {
        let operation = call["operation"].as_str().unwrap_or_default();
        if ["Get", "Query", "Scan"].iter().any(|read| operation.contains(read)) {
            continue;
        }
        for table in call["tables"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            *units.entry(table.to_owned()).or_default() += call["units"].as_f64().unwrap_or_default();
        }
    }
    let deliveries = receiver.arrivals("/hook").len() - before;
    println!("{units:?} for {MESSAGES} messages and {deliveries} deliveries");
    let of = |table: &str| {
        let units =
            units.iter().filter(|(name, _)| name.to_lowercase().contains(table)).map(|(_, units)| units);
        units.sum::<f64>()
    };
    let (message, delivery) = (
        of("messages") / f64::from(MESSAGES),
        of("deliveries") / f64::from(u32::try_from(deliveries).unwrap()),
    );
    assert!(message <= 40.0, "{message} units of the table messages for a message");
    assert!(delivery <= 9.0, "{delivery} units of the table deliveries for a delivery");
}
