//! Delivery of events: signatures, retries, replays, and isolation between endpoints.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::receiver::{Behaviour, WebhookEndpoint};
use crate::send::without_limit;
use crate::world::{TestTenant, World};

/// An app of a tenant.
pub struct TestApp {
    pub id: String,
    pub secret: String,
}

/// Registers an app with additional fields.
pub async fn app(world: &World, tenant: &TestTenant, fields: Value) -> TestApp {
    let mut order = json!({ "name": "WebhookEndpoint", "tenantId": tenant.id });
    order.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let made =
        world.call(Method::POST, "/v1/apps/register", &tenant.key, Some(order)).await.expect(201).json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    TestApp { id: text("appId"), secret: text("webhookSecret") }
}

/// The list of an app's deliveries.
pub async fn log(world: &World, tenant: &TestTenant, app: &TestApp, query: &str) -> Value {
    world.get(&format!("/v1/apps/{}/deliveries{query}", app.id), &tenant.key).await.expect(200).json()
}

/// Waits for a condition. `what` describes it in the failure.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: not after 40 seconds");
}

/// Waits until an app has `count` deliveries, all of one status.
async fn all_are(world: &World, tenant: &TestTenant, app: &TestApp, count: usize, status: &str) {
    until(&format!("{count} deliveries are {status}"), async || {
        let log = log(world, tenant, app, "").await;
        let all = log["deliveries"].as_array().unwrap();
        all.len() == count && all.iter().all(|delivery| delivery["status"] == status)
    })
    .await;
}

/// Waits until a path has received `count` requests.
async fn arrived(receiver: &WebhookEndpoint, path: &str, count: usize) {
    until(&format!("{count} arrivals at {path}"), async || receiver.arrivals(path).len() >= count).await;
}

#[tokio::test]
async fn an_event_is_delivered_to_every_app_that_wants_it_and_to_no_other() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let (tenant, other) = (world.tenant(), world.new_tenant("Other").await);
    let all = app(&world, &tenant, json!({ "webhookUrl": receiver.at("/all") })).await;
    let some = json!({ "webhookUrl": receiver.at("/some"), "eventTypes": ["rc_disconnected"] });
    let some = app(&world, &tenant, some).await;
    app(&world, &other, json!({ "webhookUrl": receiver.at("/other") })).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    all_are(&world, &tenant, &all, 1, "delivered").await;
    let [arrival] = &receiver.arrivals("/all")[..] else { panic!("once") };
    assert!(arrival.verifies(&all.secret));
    let event = arrival.json();
    assert_eq!(
        (&event["type"], &event["version"], &event["tenantId"], &event["extensionId"]),
        (&json!("rc_connected"), &json!(1), &json!(tenant.id), &world.user(0)["extensionId"])
    );
    assert_eq!(arrival.header("webhook-id"), event["id"].as_str().unwrap());
    let shown = log(&world, &tenant, &all, "").await;
    let delivery = &shown["deliveries"][0];
    assert_eq!((&delivery["eventId"], &delivery["type"]), (&event["id"], &event["type"]));
    assert_eq!((&delivery["attempts"], &delivery["lastStatusCode"]), (&json!(1), &json!(200)));
    assert_eq!((&delivery["nextAttemptAt"], &shown["endpoint"]["status"]), (&Value::Null, &json!("ok")));
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    all_are(&world, &tenant, &all, 2, "delivered").await;
    all_are(&world, &tenant, &some, 1, "delivered").await;
    assert_eq!(receiver.arrivals("/some")[0].json()["type"], "rc_disconnected");
    assert!(receiver.arrivals("/other").is_empty());
    let filtered = log(&world, &tenant, &all, "?type=rc_connected&status=delivered").await;
    assert_eq!(filtered["deliveries"].as_array().unwrap().len(), 1);
    assert!(
        log(&world, &tenant, &all, "?to=2020-01-01T00:00:00Z").await["deliveries"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let page = log(&world, &tenant, &all, "?limit=1").await;
    assert_eq!(page["deliveries"][0]["type"], "rc_disconnected", "newest first");
    let next =
        log(&world, &tenant, &all, &format!("?limit=1&cursor={}", page["nextCursor"].as_str().unwrap()))
            .await;
    assert_eq!(next["deliveries"][0]["type"], "rc_connected");
    for query in ["?status=lost", "?type=nothing", "?from=yesterday", "?limit=0", "?other=1"] {
        let refused = world.get(&format!("/v1/apps/{}/deliveries{query}", all.id), &tenant.key).await;
        assert_eq!(refused.error(), (400, "invalid_query".to_owned()), "{query}");
    }
    let foreign = world.get(&format!("/v1/apps/{}/deliveries", all.id), &other.key).await;
    assert_eq!(foreign.error(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_failing_endpoint_gets_the_same_event_until_it_accepts_it() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    receiver.behave("/hook", Behaviour::Later(503, 60));
    let one = app(&world, &tenant, json!({ "webhookUrl": receiver.at("/hook") })).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    arrived(&receiver, "/hook", 1).await;
    all_are(&world, &tenant, &one, 1, "pending").await;
    // Retry-After is longer than the planned delay, and it is respected.
    world.advance(30).await;
    assert_eq!(receiver.arrivals("/hook").len(), 1, "Retry-After is heeded");
    receiver.behave("/hook", Behaviour::Status(302));
    world.advance(40).await;
    arrived(&receiver, "/hook", 2).await;
    receiver.behave("/hook", Behaviour::Status(200));
    world.advance(60).await;
    arrived(&receiver, "/hook", 3).await;
    all_are(&world, &tenant, &one, 1, "delivered").await;
    let arrivals = receiver.arrivals("/hook");
    for arrival in &arrivals {
        assert!(arrival.verifies(&one.secret));
        assert_eq!(arrival.body, arrivals[0].body);
        assert_eq!(arrival.header("webhook-id"), arrivals[0].header("webhook-id"));
    }
    assert!(
        arrivals[2].header("webhook-timestamp") > arrivals[0].header("webhook-timestamp"),
        "signed again"
    );
    assert_eq!(log(&world, &tenant, &one, "").await["deliveries"][0]["attempts"], 3);
}

#[tokio::test]
async fn an_endpoint_that_answers_410_is_disabled_and_held_deliveries_can_be_replayed() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    receiver.behave("/gone", Behaviour::Status(410));
    let gone = app(&world, &tenant, json!({ "webhookUrl": receiver.at("/gone") })).await;
    let watcher = json!({ "webhookUrl": receiver.at("/watcher"), "eventTypes": ["webhook_disabled"] });
    let watcher = app(&world, &tenant, watcher).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    all_are(&world, &tenant, &watcher, 1, "delivered").await;
    let notice = receiver.arrivals("/watcher")[0].json();
    assert_eq!(
        (&notice["appId"], &notice["stage"], &notice["lastStatusCode"]),
        (&json!(gone.id), &json!("gone"), &json!(410))
    );
    assert_eq!(log(&world, &tenant, &gone, "").await["endpoint"]["status"], "disabled");
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    // Three now: the connection, the notice about the endpoint, the disconnection.
    all_are(&world, &tenant, &gone, 3, "held").await;
    assert_eq!(receiver.arrivals("/gone").len(), 1, "nothing is sent to a disabled endpoint");
    receiver.behave("/gone", Behaviour::Status(200));
    let address = json!({ "webhookUrl": receiver.at("/gone") });
    let path = format!("/v1/apps/{}", gone.id);
    let changed = world.call(Method::PUT, &path, &tenant.key, Some(address)).await.expect(200).json();
    let offer = changed["replay"].clone();
    assert_eq!(offer["status"], "held");
    let replay = format!("{path}/replay");
    let replayed = world.call(Method::POST, &replay, &tenant.key, Some(offer)).await.expect(202).json();
    assert_eq!(replayed, json!({ "replayed": 3 }));
    all_are(&world, &tenant, &gone, 3, "delivered").await;
    let ids: Vec<_> =
        receiver.arrivals("/gone").iter().map(|arrival| arrival.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.iter().filter(|id| **id == ids[0]).count(), 2, "a replay has the same event id");
    // One of them again, by its id.
    let id = log(&world, &tenant, &gone, "").await["deliveries"][0]["id"].as_str().unwrap().to_owned();
    let once = format!("{path}/deliveries/{id}/replay");
    assert_eq!(world.post(&once, &tenant.key).await.expect(202).json()["id"], id);
    arrived(&receiver, "/gone", 5).await;
    let other = world.new_tenant("Other").await;
    assert_eq!(world.post(&once, &other.key).await.error(), (404, "not_found".to_owned()));
    for (order, code) in [
        (json!({}), "missing_field"),
        (json!({ "from": "yesterday" }), "invalid_field"),
        (json!({ "from": "2026-01-01T00:00:00Z", "status": "pending" }), "invalid_field"),
        (json!({ "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z" }), "invalid_field"),
    ] {
        assert_eq!(
            world.call(Method::POST, &replay, &tenant.key, Some(order)).await.error(),
            (400, code.to_owned())
        );
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_for_days_is_retried_warned_about_and_disabled() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    receiver.behave("/dead", Behaviour::Status(500));
    let dead = app(
        &world,
        &tenant,
        json!({ "webhookUrl": receiver.at("/dead"), "eventTypes": ["rc_connected", "rc_disconnected"] }),
    )
    .await;
    let watcher = json!({ "webhookUrl": receiver.at("/watcher"), "eventTypes": ["webhook_disabled"] });
    app(&world, &tenant, watcher).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    arrived(&receiver, "/dead", 1).await;
    let mut waited = 0;
    // Each step is longer than the retry delay and the pause of the endpoint.
    for seconds in [10, 50, 200, 900, 2_500, 9_000, 22_000, 44_000, 61_000, 87_000, 104_000] {
        waited += seconds;
        world.advance(seconds).await;
        // The sweep enqueues deliveries with delays longer than a queue supports; it runs every minute.
        world.advance(61).await;
    }
    assert!(waited >= 72 * 3_600);
    all_are(&world, &tenant, &dead, 1, "failed").await;
    let tried = receiver.arrivals("/dead").len();
    assert!(tried >= 10, "{tried} attempts");
    world.advance(2 * 24 * 3_600).await;
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    until("it is switched off", async || {
        log(&world, &tenant, &dead, "").await["endpoint"]["status"] == "disabled"
    })
    .await;
    arrived(&receiver, "/watcher", 3).await;
    let stages: Vec<_> =
        receiver.arrivals("/watcher").iter().map(|arrival| arrival.json()["stage"].clone()).collect();
    assert_eq!(stages, ["warning", "warning", "disabled"]);
    assert_eq!(log(&world, &tenant, &dead, "?status=held").await["deliveries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_response_of_a_replaced_endpoint_does_not_count_for_the_new_one() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    receiver.behave("/old", Behaviour::Hang);
    let moving = app(&world, &tenant, json!({ "webhookUrl": receiver.at("/old") })).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    arrived(&receiver, "/old", 1).await;
    // The attempt is in progress and ends in five seconds.
    let order = json!({ "webhookUrl": receiver.at("/new") });
    let path = format!("/v1/apps/{}", moving.id);
    world.call(Method::PUT, &path, &tenant.key, Some(order)).await.expect(200);
    until("the attempt has ended", async || {
        log(&world, &tenant, &moving, "").await["deliveries"][0]["lastError"] == "timeout"
    })
    .await;
    let shown = log(&world, &tenant, &moving, "").await;
    assert_eq!(shown["deliveries"][0]["status"], "pending");
    assert_eq!(shown["endpoint"], json!({ "status": "ok", "failingSince": null, "disabledAt": null }));
    world.advance(10).await;
    all_are(&world, &tenant, &moving, 1, "delivered").await;
    assert_eq!((receiver.arrivals("/old").len(), receiver.arrivals("/new").len()), (1, 1));
}

#[tokio::test]
async fn an_endpoint_that_hangs_delays_no_other() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    receiver.behave("/hang", Behaviour::Hang);
    let hanging = app(&world, &tenant, json!({ "webhookUrl": receiver.at("/hang") })).await;
    let mut others = Vec::new();
    for at in 0..10 {
        others.push(app(&world, &tenant, json!({ "webhookUrl": receiver.at(&format!("/{at}")) })).await);
    }
    world.connect(&tenant, &world.user(0)).await.expect(303);
    for other in &others {
        all_are(&world, &tenant, other, 1, "delivered").await;
        assert_eq!(log(&world, &tenant, other, "").await["deliveries"][0]["attempts"], 1);
    }
    until("the attempt has ended", async || {
        log(&world, &tenant, &hanging, "").await["deliveries"][0]["lastError"] == "timeout"
    })
    .await;
    assert_eq!(log(&world, &tenant, &hanging, "").await["deliveries"][0]["status"], "pending");
}

#[tokio::test]
async fn many_deliveries_to_one_slow_endpoint_delay_no_other_and_are_not_lost() {
    const FLOOD: usize = 60;
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    without_limit(&world, &tenant).await;
    receiver.behave("/flooded", Behaviour::Hang);
    let wanted = |path: &str, number: &str| json!({ "webhookUrl": receiver.at(path), "eventTypes": ["sms_inbound"], "numbers": [number] });
    let flooded = app(&world, &tenant, wanted("/flooded", "+14155550100")).await;
    let mut others = Vec::new();
    for at in 1..100 {
        others.push(app(&world, &tenant, wanted(&format!("/{at}"), "+14155550101")).await);
    }
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let text = async |to: &str, text: String| {
        let order = json!({ "from": "+16505550199", "to": to, "text": text });
        world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    };
    for at in 0..FLOOD {
        text("+14155550100", format!("flood {at}")).await;
    }
    text("+14155550101", "to the others".to_owned()).await;
    for at in 1..100 {
        arrived(&receiver, &format!("/{at}"), 1).await;
    }
    for other in &others {
        let log = log(&world, &tenant, other, "").await;
        let [delivery] = &log["deliveries"].as_array().unwrap()[..] else { panic!("one: {log}") };
        assert!(delivery["attempts"].as_u64() <= Some(1), "tried again for another one's flood: {delivery}");
    }
    let answered = async |status: &str| {
        let log = log(&world, &tenant, &flooded, &format!("?limit=100&status={status}")).await;
        log["deliveries"].as_array().unwrap().len()
    };
    assert_eq!(answered("delivered").await, 0, "the others did not wait for the flood's end");
    until("the flood has arrived", async || answered("pending").await == FLOOD).await;

    receiver.behave("/flooded", Behaviour::Status(200));
    // Each step is longer than the pause of an endpoint and the delays between the first attempts.
    for _ in 0..20 {
        if answered("delivered").await == FLOOD {
            break;
        }
        world.advance(600).await;
        world.idle().await;
    }
    assert_eq!(answered("delivered").await, FLOOD);
    let texts: std::collections::BTreeSet<_> =
        receiver.arrivals("/flooded").iter().map(|arrival| arrival.json()["body"].to_string()).collect();
    assert_eq!(texts.len(), FLOOD);
    let most = receiver.most_at_once("/flooded");
    assert!((1..=shared::limits::DELIVERIES_AT_ONCE).contains(&most), "{most} at once");
}

#[tokio::test]
async fn a_polling_client_gets_each_event_once_and_misses_none() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let ask = async |cursor: &str| {
        let path = format!("/v1/events?limit=1&cursor={cursor}");
        let shown = world.get(&path, &tenant.key).await.expect(200).json();
        let kinds: Vec<_> = shown["events"].as_array().unwrap().iter().map(|e| e["type"].clone()).collect();
        (kinds, shown["nextCursor"].as_str().unwrap_or_default().to_owned())
    };
    // A new event is not listed yet, because earlier ones may still be written.
    assert_eq!(ask("").await, (vec![], String::new()));
    world.advance(20).await;
    let (first, cursor) = ask("").await;
    assert_eq!(first, ["rc_connected"]);
    let (none, same) = ask(&cursor).await;
    assert_eq!(none, Vec::<Value>::new());
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    world.advance(20).await;
    assert_eq!(ask(&same).await.0, ["rc_disconnected"]);
    let other = world.new_tenant("Other").await;
    let foreign = world.get(&format!("/v1/events?cursor={cursor}"), &other.key).await;
    assert_eq!(foreign.error(), (400, "invalid_query".to_owned()));
}

/// H10.
#[tokio::test]
async fn retry_after_is_read_as_a_date_and_up_to_its_cap() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
    let tenant = world.tenant();
    let hour = ("/hour", Behaviour::LaterAt(503, 3_600), 3_500..3_700);
    let huge = ("/huge", Behaviour::LaterAs(503, "999999999999999999999"), 14_300..14_500);
    let decades = ("/decades", Behaviour::LaterAt(429, 1_000_000_000), 14_300..14_500);
    let past = ("/past", Behaviour::LaterAt(503, -60), 0..60);
    let unclear = ("/unclear", Behaviour::LaterAs(503, "in a while"), 0..60);
    let mut apps = Vec::new();
    for (path, behaviour, wait) in [hour, huge, decades, past, unclear] {
        receiver.behave(path, behaviour);
        let fields = json!({ "webhookUrl": receiver.at(path), "eventTypes": ["rc_connected"] });
        apps.push((app(&world, &tenant, fields).await, path, wait));
    }
    world.connect(&tenant, &world.user(0)).await.expect(303);
    for (app, path, wait) in apps {
        arrived(&receiver, path, 1).await;
        until("the attempt is recorded", async || {
            let log = log(&world, &tenant, &app, "").await;
            log["deliveries"][0]["lastStatusCode"].is_number()
        })
        .await;
        let log = log(&world, &tenant, &app, "").await;
        let next: jiff::Timestamp = log["deliveries"][0]["nextAttemptAt"].as_str().unwrap().parse().unwrap();
        let seconds = next.duration_since(crate::world::now(&world).await).as_secs();
        assert!(wait.contains(&seconds), "{path}: {seconds}");
    }
}
