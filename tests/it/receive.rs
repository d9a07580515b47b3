//! Inbound messages: each is delivered to the tenant's app as one event, even if RingCentral's events are lost, repeated or
//! reordered.

use reqwest::Method;
use serde_json::{Value, json};
use shared::model::secret::Secret;

use crate::delivery::{TestApp, app, log, until};
use crate::random::Random;
use crate::receiver::{ReceivedRequest, WebhookEndpoint};
use crate::world::{SYNC_INTERVAL, TestTenant, World};

const US: &str = "+14155550100";
const THEM: &str = "+16505550199";

/// A stack with one connected extension and an app that receives `sms_inbound` events.
struct Fixture {
    world: World,
    receiver: WebhookEndpoint,
    tenant: TestTenant,
    app: TestApp,
}

impl Fixture {
    async fn start() -> Self {
        let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
        let tenant = world.tenant();
        let fields =
            json!({ "webhookUrl": receiver.at("/hook"), "eventTypes": ["sms_inbound"], "numbers": [US] });
        let app = app(&world, &tenant, fields).await;
        world.connect(&tenant, &world.user(0)).await.expect(303);
        Self { world, receiver, tenant, app }
    }

    /// Sends a message to the extension; without `deliver`, RingCentral sends no event.
    async fn text(&self, text: &str, deliver: bool) {
        let order = json!({ "from": THEM, "to": US, "text": text, "deliver": deliver });
        self.world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    }

    async fn hooks(&self, hooks: Value) {
        self.world.sim(Method::PUT, "/_sim/settings", Some(json!({ "hooks": hooks }))).await;
    }

    /// Waits until this many events have arrived at the app. Returns all that have arrived by then.
    async fn arrived(&self, count: usize) -> Vec<ReceivedRequest> {
        until(&format!("{count} events"), async || self.receiver.arrivals("/hook").len() >= count).await;
        self.world.idle().await;
        self.receiver.arrivals("/hook")
    }

    /// The statuses of the responses to RingCentral's message events.
    async fn responses(&self) -> Vec<u64> {
        self.world.idle().await;
        let sent = self.world.ledger("webhook_sent").await;
        let instant = sent.iter().filter(|sent| sent["event"].as_str().unwrap().contains("instant"));
        instant.map(|sent| sent["status"].as_u64().unwrap_or_default()).collect()
    }

    /// Lets the next regular sync run.
    async fn sync(&self) {
        self.world.advance(SYNC_INTERVAL).await;
    }

    async fn post(&self, query: &str, headers: &[(&str, &str)], body: String) -> u16 {
        let url = format!("{}/v1/webhooks/ringcentral{query}", self.world.gateway());
        let mut request = self.world.http.post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// The query of the webhook URL, which names the connection.
    async fn route(&self) -> String {
        let rows = self.world.items("ConnectionsTable").await;
        let row =
            rows.iter().find(|row| row["item"]["S"].as_str().unwrap().starts_with("connection#")).unwrap();
        route_to(&self.world, row).await
    }
}

fn texts(arrivals: &[ReceivedRequest]) -> Vec<String> {
    let mut texts: Vec<_> =
        arrivals.iter().map(|arrival| arrival.json()["body"].as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn an_inbound_message_is_delivered_with_the_documented_fields_and_stored() {
    let fixture = Fixture::start().await;
    fixture.text("hello there", true).await;
    let arrivals = fixture.arrived(1).await;
    let [arrival] = &arrivals[..] else { panic!("{} arrivals", arrivals.len()) };
    assert!(arrival.verifies(&fixture.app.secret));
    let event = arrival.json();
    for (name, value) in [
        ("type", json!("sms_inbound")),
        ("from", json!(THEM)),
        ("to", json!(US)),
        ("body", json!("hello there")),
        ("tenantId", json!(fixture.tenant.id)),
        ("attachments", json!([])),
        ("late", json!(false)),
    ] {
        assert_eq!(event[name], value, "{name}: {event}");
    }
    assert!(event["messageId"].as_str().unwrap().starts_with("msg_"));
    assert!(event["rcMessageId"].as_str().unwrap().parse::<u64>().is_ok());
    assert!(event["timestamp"].as_str().unwrap().ends_with('Z'));
    let stored = fixture.world.items("MessagesTable").await;
    let stored: Vec<_> =
        stored.iter().filter(|row| row["item"]["S"].as_str().unwrap().starts_with("message#")).collect();
    assert_eq!((stored.len(), &stored[0]["status"]["S"]), (1, &json!("received")));
    // A message to a number that the app does not list is not delivered to it.
    let order = json!({ "from": THEM, "to": "+14155550101", "text": "other number" });
    fixture.world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    assert_eq!(fixture.responses().await.len(), 2);
    assert_eq!(fixture.receiver.arrivals("/hook").len(), 1);
}

#[tokio::test]
async fn media_are_listed_and_not_downloaded() {
    let fixture = Fixture::start().await;
    let order = json!({ "from": THEM, "to": US, "text": "look", "media": [{ "contentType": "image/gif" }] });
    fixture.world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    let event = fixture.arrived(1).await[0].json();
    assert_eq!(
        (event["attachments"].as_array().unwrap().len(), &event["attachments"][0]["contentType"]),
        (1, &json!("image/gif"))
    );
}

#[tokio::test]
async fn repeated_and_reordered_events_deliver_each_message_once() {
    let fixture = Fixture::start().await;
    fixture.hooks(json!({ "duplicate": 2, "reorder": true })).await;
    let sent: Vec<String> = (0..6).map(|at| format!("text {at}")).collect();
    for text in &sent {
        fixture.text(text, true).await;
    }
    assert_eq!(fixture.responses().await, [200; 18], "a repeated event gets the same response");
    let arrivals = fixture.arrived(6).await;
    assert_eq!(texts(&arrivals), sent);
    fixture.sync().await;
    fixture.world.advance(24 * 3_600).await;
    let arrivals = fixture.arrived(6).await;
    assert_eq!(texts(&arrivals), sent, "message sync delivers no message again, not even a day later");
    let ids: std::collections::BTreeSet<_> =
        arrivals.iter().map(|arrival| arrival.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 6, "each message is one event");
}

#[tokio::test]
async fn message_sync_finds_messages_without_an_event() {
    let fixture = Fixture::start().await;
    fixture.hooks(json!({ "drop": 0.2 })).await;
    let mut sent: Vec<String> = (10..30).map(|at| format!("text {at}")).collect();
    for text in &sent {
        fixture.text(text, true).await;
    }
    fixture.text("lost", false).await;
    sent.insert(0, "lost".to_owned());
    fixture.sync().await;
    fixture.sync().await;
    let arrivals = fixture.arrived(21).await;
    assert_eq!(texts(&arrivals), sent);
    let lost = arrivals.iter().find(|arrival| arrival.json()["body"] == "lost").unwrap().json();
    assert_eq!(lost["late"], true);
}

#[tokio::test]
async fn unauthenticated_events_are_rejected_and_nothing_is_delivered() {
    let fixture = Fixture::start().await;
    let route = fixture.route().await;
    let event = |subscription: &str, owner: &str| {
        json!({
            "uuid": "1", "event": "/restapi/v1.0/account/1/extension/2/message-store/instant?type=SMS",
            "subscriptionId": subscription, "ownerId": owner, "timestamp": "2026-02-03T10:05:09.034Z",
            "body": { "id": "7", "from": { "phoneNumber": THEM }, "to": [{ "phoneNumber": US, "target": true }],
                "type": "SMS", "direction": "Inbound", "subject": "forged", "messageStatus": "Received" },
        })
        .to_string()
    };
    let good = event("a", fixture.world.user(0)["extensionId"].as_str().unwrap());
    let token = ("verification-token", "a-guess");
    assert_eq!(fixture.post(&route, &[], good.clone()).await, 401, "no token");
    assert_eq!(fixture.post(&route, &[token], good.clone()).await, 401, "a wrong one");
    assert_eq!(fixture.post("", &[token], good.clone()).await, 401, "no connection");
    assert_eq!(fixture.post("?c=nonsense", &[token], good.clone()).await, 401);
    assert_eq!(
        fixture
            .post(
                &fixture.world.event_query("tenant_0123456789abcdef", "conn_0123456789abcdef").await,
                &[token],
                good
            )
            .await,
        401,
        "an unknown connection"
    );
    assert_eq!(fixture.post(&route, &[token], event("a", "1")).await, 401, "a foreign owner");
    assert_eq!(
        fixture.post(&route, &[token], format!("{{\"a\":{}", "[".repeat(100_000))).await,
        401,
        "deeply nested"
    );
    assert_eq!(fixture.post(&route, &[token], "a".repeat(4_000_000)).await, 401, "4 MB");
    assert_eq!(
        fixture.post(&route, &[token, ("validation-token", "x")], "{}".into()).await,
        401,
        "no handshake"
    );
    for bad in ["with space", &"a".repeat(300), "\u{e9}"] {
        assert_eq!(fixture.post(&route, &[("validation-token", bad)], String::new()).await, 400, "{bad}");
    }
    // RingCentral's own events with a wrong token are rejected, too; message sync finds their messages.
    fixture.hooks(json!({ "wrongToken": true })).await;
    fixture.text("real", true).await;
    assert_eq!(fixture.responses().await, [401]);
    assert!(fixture.receiver.arrivals("/hook").is_empty());
    fixture.sync().await;
    assert_eq!(texts(&fixture.arrived(1).await), ["real"]);
}

#[tokio::test]
async fn an_event_needs_the_token_of_its_connection_and_is_stored_for_its_owner_only() {
    let fixture = Fixture::start().await;
    let other = fixture.world.new_tenant("Other").await;
    fixture.world.connect(&other, &fixture.world.user(1)).await.expect(303);
    let (mut ours, theirs) = (
        with_known_token(&fixture, &fixture.tenant, "ours").await,
        with_known_token(&fixture, &other, "theirs").await,
    );
    let route = route_to(&fixture.world, &ours).await;
    let subscription = ours["subscription"]["S"].as_str().unwrap().to_owned();
    let owner = ours["extension"]["S"].as_str().unwrap().to_owned();
    let event = |subscription: &str, owner: &str, id: &str| {
        json!({
            "uuid": id, "event": "/restapi/v1.0/account/1/extension/2/message-store/instant?type=SMS",
            "subscriptionId": subscription, "ownerId": owner, "timestamp": "2026-02-03T10:05:09.034Z",
            "body": { "id": id, "from": { "phoneNumber": THEM }, "to": [{ "phoneNumber": US, "target": true }],
                "type": "SMS", "direction": "Inbound", "subject": format!("No. {id}"), "messageStatus": "Received" },
        })
        .to_string()
    };
    let post =
        async |token: &str, body: String| fixture.post(&route, &[("verification-token", token)], body).await;
    let foreign = theirs["extension"]["S"].as_str().unwrap();
    let other_subscription = theirs["subscription"]["S"].as_str().unwrap();
    for (token, body, why) in [
        ("theirs", event(&subscription, &owner, "1"), "another connection's token"),
        ("theirs", event(other_subscription, foreign, "4"), "the values of another connection, at this URL"),
        ("oursx", event(&subscription, &owner, "5"), "more than the token"),
    ] {
        assert_eq!(post(token, body).await, 401, "{why}");
    }
    // An authentic event about another extension is accepted, and nothing of it is stored.
    assert_eq!(post("ours", event(&subscription, foreign, "3")).await, 200);
    assert_eq!(post("ours", event(&subscription, &owner, "6")).await, 200);
    // For a while after a renewal, events may come with the token and the subscription that were replaced.
    let now: jiff::Timestamp = fixture.world.stack.clock().now();
    let until = now.saturating_add(jiff::SignedDuration::from_secs(60)).unwrap();
    ours["previous_token_digest"] = json!({ "S": Secret::new("before").digest() });
    ours["previous_token_until"] = json!({ "N": until.as_millisecond().to_string() });
    fixture.world.put_item("ConnectionsTable", ours).await;
    assert_eq!(post("before", event("the one before", &owner, "7")).await, 200);
    assert_eq!(post("before", event("the one before", foreign, "8")).await, 200);
    assert_eq!(texts(&fixture.arrived(2).await), ["No. 6", "No. 7"]);
    fixture.world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    fixture.world.advance(61).await;
    assert_eq!(post("before", event("the one before", &owner, "9")).await, 401);
    // An event repeated a day later is accepted and not delivered again.
    fixture.world.advance(24 * 3_600).await;
    assert_eq!(post("ours", event(&subscription, &owner, "6")).await, 200);
    fixture.world.idle().await;
    assert_eq!(texts(&fixture.arrived(2).await), ["No. 6", "No. 7"]);
}

/// Gives a tenant's connection a verification token that the test knows; only digests of tokens are stored. Returns the row.
async fn with_known_token(fixture: &Fixture, tenant: &TestTenant, token: &str) -> Value {
    let mut rows = fixture.world.items("ConnectionsTable").await;
    rows.retain(|row| row["tenant"]["S"] == tenant.id.as_str() && row["subscription"]["S"].is_string());
    let mut row = rows.remove(0);
    row["subscription_token_digest"] = json!({ "S": Secret::new(token).digest() });
    fixture.world.put_item("ConnectionsTable", row.clone()).await;
    row
}

/// The query of a connection's webhook URL.
async fn route_to(world: &World, row: &Value) -> String {
    let [tenant, connection] = ["tenant", "connection"].map(|name| row[name]["S"].as_str().unwrap());
    world.event_query(tenant, connection).await
}

#[tokio::test]
async fn an_event_of_a_changed_extension_updates_its_numbers_within_minutes() {
    let fixture = Fixture::start().await;
    let row = with_known_token(&fixture, &fixture.tenant, "ours").await;
    let numbers = async || {
        fixture.world.get("/v1/rc/numbers", &fixture.tenant.key).await.json()["numbers"]
            .as_array()
            .unwrap()
            .len()
    };
    let before = numbers().await;
    assert!(before > 0);
    let none = json!({ "records": [], "paging": { "page": 1, "totalPages": 1 }, "navigation": {} });
    fixture.world.sim_fault("/phone-number", None, json!({ "status": 200, "body": none })).await;
    fixture.world.advance(361).await;
    assert_eq!(numbers().await, before, "not checked yet");
    let event = |owner: &str| {
        json!({
            "uuid": "1", "event": "/restapi/v1.0/account/1/extension/2", "ownerId": owner,
            "subscriptionId": row["subscription"]["S"], "timestamp": "2026-02-03T10:05:09.034Z",
            "body": { "extensionId": owner, "eventType": "Update", "hints": ["PhoneNumbers"] },
        })
        .to_string()
    };
    let post = async |token: &str, body: String| {
        fixture.post(&route_to(&fixture.world, &row).await, &[("verification-token", token)], body).await
    };
    let owner = row["extension"]["S"].as_str().unwrap();
    assert_eq!(post("another", event(owner)).await, 401);
    fixture.world.advance(361).await;
    assert_eq!(numbers().await, before, "an unauthenticated event changes nothing");
    assert_eq!(post("ours", event(owner)).await, 200);
    fixture.world.advance(361).await;
    assert_eq!(numbers().await, 0);
}

#[tokio::test]
async fn a_failing_store_causes_a_fast_503_and_loses_no_message() {
    let fixture = Fixture::start().await;
    fixture.sync().await;
    let matching = json!({ "operation": "TransactWriteItems", "function": "receive-event" });
    let act = json!({ "error": "InternalServerError", "status": 500 });
    fixture.world.aws_fault(matching, 0, None, act).await;
    fixture.text("during the failure", true).await;
    assert_eq!(fixture.responses().await, [503]);
    fixture.world.no_faults().await;
    let sent = fixture.world.ledger("webhook_sent").await;
    let is_fast =
        sent.iter().filter(|sent| sent["status"] == 503).all(|sent| sent["ms"].as_u64().unwrap() < 3_000);
    assert!(is_fast, "within the time that RingCentral waits");
    // A sync was requested: it finds the message long before the regular one.
    fixture.world.advance(61).await;
    let arrivals = fixture.arrived(1).await;
    assert_eq!(
        (texts(&arrivals), &arrivals[0].json()["late"]),
        (vec!["during the failure".to_owned()], &json!(true))
    );
}

#[tokio::test]
async fn six_hours_without_events_lose_no_message() {
    let fixture = Fixture::start().await;
    fixture.text("before", true).await;
    fixture.arrived(1).await;
    let subscription =
        fixture.world.ledger("subscription_created").await.last().unwrap()["subscriptionId"].clone();
    let path = format!("/_sim/subscriptions/{}/blacklist", subscription.as_str().unwrap());
    fixture.world.sim(Method::POST, &path, None).await;
    for at in 0..6 {
        fixture.text(&format!("during {at}"), true).await;
        fixture.world.advance(3_600).await;
    }
    fixture.sync().await;
    let arrivals = fixture.arrived(7).await;
    let expected: Vec<_> =
        std::iter::once("before".to_owned()).chain((0..6).map(|at| format!("during {at}"))).collect();
    assert_eq!(texts(&arrivals), expected);
    // The new subscription delivers events.
    let mut subscribed = fixture.world.ledger("subscription_created").await;
    subscribed.retain(|one| one["eventFilters"].to_string().contains("message-store"));
    assert_eq!(subscribed.len(), 2, "it was created again");
    let shown = fixture.world.get("/v1/rc/extensions", &fixture.tenant.key).await.expect(200).json();
    assert_eq!(shown["extensions"][0]["subscription"]["status"], "Active");
    fixture.text("after", true).await;
    let late =
        fixture.arrived(8).await.iter().find(|one| one.json()["body"] == "after").unwrap().json()["late"]
            .clone();
    assert_eq!(late, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_one_event_in_any_order_of_events_repetitions_and_syncs() {
    let fixture = Fixture::start().await;
    let mut sent = Vec::new();
    for seed in 1..=6_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let drop = [0.0, 0.3, 1.0][random.below(3)];
        let hooks = json!({ "duplicate": random.below(3), "reorder": random.below(2) == 0, "drop": drop });
        fixture.hooks(hooks.clone()).await;
        for at in 0..2 + random.below(3) {
            let text = format!("seed {seed}, text {at}");
            fixture.text(&text, random.below(4) > 0).await;
            sent.push(text);
            if random.below(3) == 0 {
                // A sync while events are still being sent.
                fixture.world.invoke("sync-messages", &json!({})).await;
                fixture.sync().await;
            }
        }
        fixture.hooks(json!({})).await;
        fixture.sync().await;
        fixture.sync().await;
        let arrivals = fixture.arrived(sent.len()).await;
        assert_eq!(texts(&arrivals), sent, "seed {seed}, {hooks}");
    }
    let key = &fixture.tenant.key;
    let listed =
        fixture.world.get("/v1/sms/messages?direction=inbound&limit=100", key).await.expect(200).json();
    let mut stored: Vec<_> = listed["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["body"].as_str().unwrap().to_owned())
        .collect();
    stored.sort();
    assert_eq!(stored, sent, "each message is stored once");
    // The webhook received exactly the logged events, with the same ids.
    let events = fixture.world.get("/v1/events?limit=100", key).await.expect(200).json();
    let of_texts = events["events"].as_array().unwrap().iter().filter(|event| event["type"] == "sms_inbound");
    let mut logged: Vec<_> = of_texts.map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    let mut received: Vec<_> =
        fixture.receiver.arrivals("/hook").iter().map(|one| one.header("webhook-id").to_owned()).collect();
    logged.sort();
    received.sort();
    received.dedup();
    assert_eq!(received, logged);
    assert_eq!(logged.len(), sent.len());
}

#[tokio::test]
async fn a_handshake_token_that_would_inject_a_header_is_not_echoed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let fixture = Fixture::start().await;
    let host = fixture.world.gateway().trim_start_matches("http://").to_owned();
    for token in [
        "3f9c1f0e-7d1b-4c55-9c9e-aa52c7d5ff10",
        "a\rset-cookie: x=1",
        "a\nset-cookie: x=1",
        "a\0b",
        "\u{7f}",
        "a, b",
        "",
    ] {
        let mut stream = tokio::net::TcpStream::connect(&host).await.unwrap();
        let request = format!(
            "POST /v1/webhooks/ringcentral{} HTTP/1.1\r\nhost: {host}\r\nvalidation-token: {token}\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n",
            fixture.route().await
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        let response = String::from_utf8_lossy(&response).to_lowercase();
        assert!(!response.contains("set-cookie"), "{token:?}: {response}");
        // Many servers end a header at a lone line feed: then the text before it is the token, and only that is echoed.
        let echoed = response.contains("validation-token: a\r\n") && token.contains('\n')
            || response.contains(&format!("validation-token: {token}\r\n")) && token.len() > 30;
        assert!(response.len() <= 600, "{} bytes, and RingCentral accepts 1,024", response.len());
        assert!(response.starts_with("http/1.1 4") || echoed, "{token:?}: {response}");
    }
}

#[tokio::test]
async fn an_expired_sync_token_causes_a_full_sync_and_loses_no_message() {
    let fixture = Fixture::start().await;
    fixture.sync().await;
    fixture.text("one", false).await;
    let stale = json!({ "status": 400, "body": { "errorCode": "InvalidParameter", "errors": [{ "errorCode": "MSG-333" }] } });
    fixture.world.sim_fault("/message-sync", Some(1), stale).await;
    fixture.sync().await;
    assert_eq!(texts(&fixture.arrived(1).await), ["one"]);
    assert_eq!(
        log(&fixture.world, &fixture.tenant, &fixture.app, "").await["deliveries"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn an_unknown_event_is_quarantined_and_blocks_no_other() {
    let fixture = Fixture::start().await;
    let row = with_known_token(&fixture, &fixture.tenant, "ours").await;
    let owner = row["extension"]["S"].as_str().unwrap();
    let event = json!({
        "uuid": "strange", "event": "/restapi/v1.0/account/1/extension/2/message-store/instant?type=SMS",
        "subscriptionId": row["subscription"]["S"], "ownerId": owner, "timestamp": "2026-02-03T10:05:09.034Z",
        "body": { "novelty": ["of", "a", "later", "version"] },
    })
    .to_string();
    for _ in 0..2 {
        let status = fixture
            .post(&route_to(&fixture.world, &row).await, &[("verification-token", "ours")], event.clone())
            .await;
        assert_eq!(status, 200, "RingCentral need not repeat it");
    }
    let operator = fixture.world.operator_key();
    let list = fixture.world.get("/v1/quarantine", &operator).await.expect(200).json();
    let kept = list["records"].as_array().unwrap();
    assert_eq!(kept.len(), 1);
    let path = format!("/v1/quarantine/{}", kept[0]["id"].as_str().unwrap());
    assert_eq!(
        fixture.world.get(&path, &operator).await.expect(200).json()["raw"],
        event.as_str(),
        "unchanged"
    );
    // The log mentions it, without its content.
    let logged: Vec<_> =
        fixture.world.log().into_iter().filter(|entry| entry.contains("record quarantined")).collect();
    assert!(!logged.is_empty());
    assert!(logged.iter().all(|entry| !entry.contains("novelty")), "{logged:?}");
    // Message sync continues. RingCentral's own events have another token than the test's.
    fixture.text("continues", false).await;
    fixture.sync().await;
    assert_eq!(texts(&fixture.arrived(1).await), ["continues"]);
}

#[tokio::test]
async fn a_failing_queue_delays_an_inbound_message_and_loses_none() {
    let fixture = Fixture::start().await;
    let matching = json!({ "operation": "SendMessage", "function": "fan-out-events" });
    let act = json!({ "error": "InternalError", "status": 500 });
    fixture.world.aws_fault(matching, 0, None, act).await;
    fixture.text("during the failure", true).await;
    assert_eq!(fixture.responses().await, [200], "it is stored; RingCentral waits for no more");
    assert!(fixture.receiver.arrivals("/hook").is_empty());
    fixture.world.no_faults().await;
    // The stream redelivers the event, and the sweep finds deliveries that are not in the queue.
    fixture.world.advance(61).await;
    fixture.world.advance(61).await;
    assert_eq!(texts(&fixture.arrived(1).await), ["during the failure"]);
    let log = log(&fixture.world, &fixture.tenant, &fixture.app, "").await;
    assert_eq!(log["deliveries"].as_array().unwrap().len(), 1);
}
