//! Texts that come in: each reaches the tenant's app once, whatever happens to RingCentral's events on the way.

use reqwest::Method;
use serde_json::{Value, json};
use shared::model::secret::Secret;

use crate::delivery::{App, app, log, until};
use crate::random::Random;
use crate::receiver::{Arrival, Receiver};
use crate::world::{Tenant, World};

const US: &str = "+14155550100";
const THEM: &str = "+16505550199";

/// A stack with one connected extension, whose app is told of texts that come in.
struct Line {
    world: World,
    receiver: Receiver,
    tenant: Tenant,
    app: App,
}

impl Line {
    async fn open() -> Self {
        let (world, receiver) = (World::start().await, Receiver::start().await);
        let tenant = world.tenant();
        let fields =
            json!({ "webhookUrl": receiver.at("/hook"), "eventTypes": ["sms_inbound"], "numbers": [US] });
        let app = app(&world, &tenant, fields).await;
        world.connect(&tenant, &world.user(0)).await.expect(303);
        Self { world, receiver, tenant, app }
    }

    async fn text(&self, text: &str, deliver: bool) {
        let order = json!({ "from": THEM, "to": US, "text": text, "deliver": deliver });
        self.world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    }

    async fn hooks(&self, hooks: Value) {
        self.world.sim(Method::PUT, "/_sim/settings", Some(json!({ "hooks": hooks }))).await;
    }

    /// Waits until so many texts have arrived at the app, and shows all that have by then.
    async fn arrived(&self, count: usize) -> Vec<Arrival> {
        until(&format!("{count} texts"), async || self.receiver.arrivals("/hook").len() >= count).await;
        self.world.idle().await;
        self.receiver.arrivals("/hook")
    }

    /// How RingCentral's events of texts were answered.
    async fn answered(&self) -> Vec<u64> {
        self.world.idle().await;
        let sent = self.world.ledger("webhook_sent").await;
        let instant = sent.iter().filter(|sent| sent["event"].as_str().unwrap().contains("instant"));
        instant.map(|sent| sent["status"].as_u64().unwrap_or_default()).collect()
    }

    /// Lets the next comparison with the message store come.
    async fn compare(&self) {
        self.world.advance(13 * 60).await;
    }

    async fn post(&self, query: &str, headers: &[(&str, &str)], body: String) -> u16 {
        let url = format!("{}/v1/webhooks/ringcentral{query}", self.world.gateway());
        let mut request = self.world.http.post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// The part of the webhook's address that names the connection.
    async fn route(&self) -> String {
        let rows = self.world.items("ConnectionsTable").await;
        let row =
            rows.iter().find(|row| row["item"]["S"].as_str().unwrap().starts_with("connection#")).unwrap();
        let digits = |name: &str| row[name]["S"].as_str().unwrap().split('_').nth(1).unwrap().to_owned();
        format!("?c={}-{}", digits("tenant"), digits("connection"))
    }
}

fn texts(arrivals: &[Arrival]) -> Vec<String> {
    let mut texts: Vec<_> =
        arrivals.iter().map(|arrival| arrival.json()["body"].as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn a_text_reaches_the_app_with_the_documented_fields_and_stays_readable() {
    let line = Line::open().await;
    line.text("hello there", true).await;
    let arrivals = line.arrived(1).await;
    let [arrival] = &arrivals[..] else { panic!("{} arrivals", arrivals.len()) };
    assert!(arrival.verifies(&line.app.secret));
    let event = arrival.json();
    for (name, value) in [
        ("type", json!("sms_inbound")),
        ("from", json!(THEM)),
        ("to", json!(US)),
        ("body", json!("hello there")),
        ("tenantId", json!(line.tenant.id)),
        ("attachments", json!([])),
        ("late", json!(false)),
    ] {
        assert_eq!(event[name], value, "{name}: {event}");
    }
    assert!(event["messageId"].as_str().unwrap().starts_with("msg_"));
    assert!(event["rcMessageId"].as_str().unwrap().parse::<u64>().is_ok());
    assert!(event["timestamp"].as_str().unwrap().ends_with('Z'));
    let stored = line.world.items("MessagesTable").await;
    let stored: Vec<_> =
        stored.iter().filter(|row| row["item"]["S"].as_str().unwrap().starts_with("message#")).collect();
    assert_eq!((stored.len(), &stored[0]["status"]["S"]), (1, &json!("received")));
    // A text to a number that the app has not named is not told to it.
    let order = json!({ "from": THEM, "to": "+14155550101", "text": "other number" });
    line.world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    assert_eq!(line.answered().await.len(), 2);
    assert_eq!(line.receiver.arrivals("/hook").len(), 1);
}

#[tokio::test]
async fn pictures_are_announced_and_not_fetched() {
    let line = Line::open().await;
    let order = json!({ "from": THEM, "to": US, "text": "look", "media": [{ "contentType": "image/gif" }] });
    line.world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    let event = line.arrived(1).await[0].json();
    assert_eq!(
        (event["attachments"].as_array().unwrap().len(), &event["attachments"][0]["contentType"]),
        (1, &json!("image/gif"))
    );
}

#[tokio::test]
async fn events_that_are_repeated_reordered_and_overtaken_bring_each_text_once() {
    let line = Line::open().await;
    line.hooks(json!({ "duplicate": 2, "reorder": true })).await;
    let sent: Vec<String> = (0..6).map(|at| format!("text {at}")).collect();
    for text in &sent {
        line.text(text, true).await;
    }
    assert_eq!(line.answered().await, [200; 18], "a repetition is as good as the first");
    let arrivals = line.arrived(6).await;
    assert_eq!(texts(&arrivals), sent);
    line.compare().await;
    line.world.advance(24 * 3_600).await;
    let arrivals = line.arrived(6).await;
    assert_eq!(texts(&arrivals), sent, "comparing finds nothing that was told, not even a day later");
    let ids: std::collections::BTreeSet<_> =
        arrivals.iter().map(|arrival| arrival.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 6, "each text is one event");
}

#[tokio::test]
async fn what_no_event_has_brought_is_found_by_comparing() {
    let line = Line::open().await;
    line.hooks(json!({ "drop": 0.2 })).await;
    let mut sent: Vec<String> = (10..30).map(|at| format!("text {at}")).collect();
    for text in &sent {
        line.text(text, true).await;
    }
    line.text("lost", false).await;
    sent.insert(0, "lost".to_owned());
    line.compare().await;
    line.compare().await;
    let arrivals = line.arrived(21).await;
    assert_eq!(texts(&arrivals), sent);
    let lost = arrivals.iter().find(|arrival| arrival.json()["body"] == "lost").unwrap().json();
    assert_eq!(lost["late"], true);
}

#[tokio::test]
async fn who_proves_nothing_is_refused_and_nothing_is_told() {
    let line = Line::open().await;
    let route = line.route().await;
    let event = |subscription: &str, owner: &str| {
        json!({
            "uuid": "1", "event": "/restapi/v1.0/account/1/extension/2/message-store/instant?type=SMS",
            "subscriptionId": subscription, "ownerId": owner, "timestamp": "2026-02-03T10:05:09.034Z",
            "body": { "id": "7", "from": { "phoneNumber": THEM }, "to": [{ "phoneNumber": US, "target": true }],
                "type": "SMS", "direction": "Inbound", "subject": "forged", "messageStatus": "Received" },
        })
        .to_string()
    };
    let good = event("a", line.world.user(0)["extensionId"].as_str().unwrap());
    let token = ("verification-token", "a-guess");
    assert_eq!(line.post(&route, &[], good.clone()).await, 401, "no token");
    assert_eq!(line.post(&route, &[token], good.clone()).await, 401, "a wrong one");
    assert_eq!(line.post("", &[token], good.clone()).await, 401, "no connection");
    assert_eq!(line.post("?c=nonsense", &[token], good.clone()).await, 401);
    assert_eq!(line.post("?c=0123456789abcdef-0123456789abcdef", &[token], good).await, 401, "nobody's");
    assert_eq!(line.post(&route, &[token], event("a", "1")).await, 401, "a foreign owner");
    assert_eq!(line.post(&route, &[token], format!("{{\"a\":{}", "[".repeat(100_000))).await, 401, "no end");
    assert_eq!(line.post(&route, &[token], "a".repeat(5_000_000)).await, 413, "5 MB");
    assert_eq!(
        line.post(&route, &[token, ("validation-token", "x")], "{}".into()).await,
        401,
        "no handshake"
    );
    for bad in ["with space", &"a".repeat(300), "\u{e9}"] {
        assert_eq!(line.post(&route, &[("validation-token", bad)], String::new()).await, 400, "{bad}");
    }
    // RingCentral's own events with a wrong token are refused as well, and what they were of is found by comparing.
    line.hooks(json!({ "wrongToken": true })).await;
    line.text("real", true).await;
    assert_eq!(line.answered().await, [401]);
    assert!(line.receiver.arrivals("/hook").is_empty());
    line.compare().await;
    assert_eq!(texts(&line.arrived(1).await), ["real"]);
}

#[tokio::test]
async fn an_event_needs_the_token_the_subscription_and_the_owner_of_its_connection() {
    let line = Line::open().await;
    let other = line.world.new_tenant("Other").await;
    line.world.connect(&other, &line.world.user(1)).await.expect(303);
    let (mut ours, theirs) = (known(&line, &line.tenant, "ours").await, known(&line, &other, "theirs").await);
    let route = route_to(&ours);
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
        async |token: &str, body: String| line.post(&route, &[("verification-token", token)], body).await;
    let foreign = theirs["extension"]["S"].as_str().unwrap();
    let other_subscription = theirs["subscription"]["S"].as_str().unwrap();
    for (token, body, why) in [
        ("theirs", event(&subscription, &owner, "1"), "another connection's token"),
        ("ours", event(other_subscription, &owner, "2"), "another connection's subscription"),
        ("ours", event(&subscription, foreign, "3"), "a foreign owner"),
        ("theirs", event(other_subscription, foreign, "4"), "all of another connection, at this address"),
        ("oursx", event(&subscription, &owner, "5"), "more than the token"),
    ] {
        assert_eq!(post(token, body).await, 401, "{why}");
    }
    assert_eq!(post("ours", event(&subscription, &owner, "6")).await, 200);
    // For a while after a renewal events may come with the token of before, and of the subscription before; then no more.
    let now: jiff::Timestamp = line.world.stack.clock().now();
    let until = now.saturating_add(jiff::SignedDuration::from_secs(60)).unwrap();
    ours["previous_token_digest"] = json!({ "S": Secret::new("before").digest() });
    ours["previous_token_until"] = json!({ "N": until.as_millisecond().to_string() });
    line.world.put_item("ConnectionsTable", ours).await;
    assert_eq!(post("before", event("the one before", &owner, "7")).await, 200);
    assert_eq!(post("before", event("the one before", foreign, "8")).await, 401);
    assert_eq!(texts(&line.arrived(2).await), ["No. 6", "No. 7"]);
    line.world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    line.world.advance(61).await;
    assert_eq!(post("before", event("the one before", &owner, "9")).await, 401);
    // What is repeated on another day, letter for letter, is taken and told to nobody again.
    line.world.advance(24 * 3_600).await;
    assert_eq!(post("ours", event(&subscription, &owner, "6")).await, 200);
    line.world.idle().await;
    assert_eq!(texts(&line.arrived(2).await), ["No. 6", "No. 7"]);
}

/// Only digests of tokens are stored: the connection of a tenant gets one that the test knows. Its row.
async fn known(line: &Line, tenant: &Tenant, token: &str) -> Value {
    let mut rows = line.world.items("ConnectionsTable").await;
    rows.retain(|row| row["tenant"]["S"] == tenant.id.as_str() && row["subscription"]["S"].is_string());
    let mut row = rows.remove(0);
    row["subscription_token_digest"] = json!({ "S": Secret::new(token).digest() });
    line.world.put_item("ConnectionsTable", row.clone()).await;
    row
}

/// The query of the address where a connection's events are taken.
fn route_to(row: &Value) -> String {
    let digits = |name: &str| row[name]["S"].as_str().unwrap().split('_').nth(1).unwrap();
    format!("?c={}-{}", digits("tenant"), digits("connection"))
}

#[tokio::test]
async fn an_event_of_a_changed_extension_brings_its_numbers_within_minutes() {
    let line = Line::open().await;
    let row = known(&line, &line.tenant, "ours").await;
    let numbers = async || {
        line.world.get("/v1/rc/numbers", &line.tenant.key).await.json()["numbers"].as_array().unwrap().len()
    };
    let before = numbers().await;
    assert!(before > 0);
    let none = json!({ "records": [], "paging": { "page": 1, "totalPages": 1 }, "navigation": {} });
    line.world.sim_fault("/phone-number", None, json!({ "status": 200, "body": none })).await;
    line.world.advance(361).await;
    assert_eq!(numbers().await, before, "nobody has looked");
    let event = |owner: &str| {
        json!({
            "uuid": "1", "event": "/restapi/v1.0/account/1/extension/2", "ownerId": owner,
            "subscriptionId": row["subscription"]["S"], "timestamp": "2026-02-03T10:05:09.034Z",
            "body": { "extensionId": owner, "eventType": "Update", "hints": ["PhoneNumbers"] },
        })
        .to_string()
    };
    let post = async |token: &str, body: String| {
        line.post(&route_to(&row), &[("verification-token", token)], body).await
    };
    let owner = row["extension"]["S"].as_str().unwrap();
    assert_eq!(post("another", event(owner)).await, 401);
    line.world.advance(361).await;
    assert_eq!(numbers().await, before, "whoever has no token changes nothing");
    assert_eq!(post("ours", event(owner)).await, 200);
    line.world.advance(361).await;
    assert_eq!(numbers().await, 0);
}

#[tokio::test]
async fn a_store_that_fails_on_arrival_costs_a_fast_refusal_and_no_text() {
    let line = Line::open().await;
    line.compare().await;
    let matching = json!({ "operation": "TransactWriteItems", "function": "receive-event" });
    let act = json!({ "error": "InternalServerError", "status": 500 });
    line.world.aws_fault(matching, 0, None, act).await;
    line.text("in trouble", true).await;
    assert_eq!(line.answered().await, [503]);
    line.world.no_faults().await;
    let told = line.world.ledger("webhook_sent").await;
    let slow =
        told.iter().filter(|sent| sent["status"] == 503).all(|sent| sent["ms"].as_u64().unwrap() < 3_000);
    assert!(slow, "within the time that RingCentral waits");
    // It was noted for comparing: the next run finds it, long before the regular one.
    line.world.advance(61).await;
    let arrivals = line.arrived(1).await;
    assert_eq!(
        (texts(&arrivals), &arrivals[0].json()["late"]),
        (vec!["in trouble".to_owned()], &json!(true))
    );
}

#[tokio::test]
async fn six_hours_without_events_cost_no_text() {
    let line = Line::open().await;
    line.text("before", true).await;
    line.arrived(1).await;
    let subscription =
        line.world.ledger("subscription_created").await.last().unwrap()["subscriptionId"].clone();
    let path = format!("/_sim/subscriptions/{}/blacklist", subscription.as_str().unwrap());
    line.world.sim(Method::POST, &path, None).await;
    for at in 0..6 {
        line.text(&format!("during {at}"), true).await;
        line.world.advance(3_600).await;
    }
    line.compare().await;
    let arrivals = line.arrived(7).await;
    let expected: Vec<_> =
        std::iter::once("before".to_owned()).chain((0..6).map(|at| format!("during {at}"))).collect();
    assert_eq!(texts(&arrivals), expected);
    // Its successor brings texts as they come.
    let subscribed = line.world.ledger("subscription_created").await;
    assert_eq!(subscribed.len(), 2, "it was made again");
    let shown = line.world.get("/v1/rc/extensions", &line.tenant.key).await.expect(200).json();
    assert_eq!(shown["extensions"][0]["subscription"]["status"], "Active");
    line.text("after", true).await;
    let late = line.arrived(8).await.iter().find(|one| one.json()["body"] == "after").unwrap().json()["late"]
        .clone();
    assert_eq!(late, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_whatever_order_events_repetitions_and_comparisons_come_each_text_is_one_event() {
    let line = Line::open().await;
    let mut sent = Vec::new();
    for seed in 1..=6_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let drop = [0.0, 0.3, 1.0][random.below(3)];
        let hooks = json!({ "duplicate": random.below(3), "reorder": random.below(2) == 0, "drop": drop });
        line.hooks(hooks.clone()).await;
        for at in 0..2 + random.below(3) {
            let text = format!("seed {seed}, text {at}");
            line.text(&text, random.below(4) > 0).await;
            sent.push(text);
            if random.below(3) == 0 {
                // A comparison while events are still on their way.
                line.world.invoke("sync-messages", &json!({})).await;
                line.compare().await;
            }
        }
        line.hooks(json!({})).await;
        line.compare().await;
        line.compare().await;
        let arrivals = line.arrived(sent.len()).await;
        assert_eq!(texts(&arrivals), sent, "seed {seed}, {hooks}");
    }
    let key = &line.tenant.key;
    let listed = line.world.get("/v1/sms/messages?direction=inbound&limit=100", key).await.expect(200).json();
    let mut stored: Vec<_> = listed["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["body"].as_str().unwrap().to_owned())
        .collect();
    stored.sort();
    assert_eq!(stored, sent, "once in the log of messages");
    // What the address was told is what the log of events has, under the same ids.
    let events = line.world.get("/v1/events?limit=100", key).await.expect(200).json();
    let of_texts = events["events"].as_array().unwrap().iter().filter(|event| event["type"] == "sms_inbound");
    let mut logged: Vec<_> = of_texts.map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    let mut told: Vec<_> =
        line.receiver.arrivals("/hook").iter().map(|one| one.header("webhook-id").to_owned()).collect();
    logged.sort();
    told.sort();
    told.dedup();
    assert_eq!(told, logged);
    assert_eq!(logged.len(), sent.len());
}

#[tokio::test]
async fn a_handshake_that_would_write_a_header_of_its_own_is_not_echoed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let line = Line::open().await;
    let host = line.world.gateway().trim_start_matches("http://").to_owned();
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
            line.route().await
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(!answer.contains("set-cookie"), "{token:?}: {answer}");
        // A lone line feed ends a header for many servers: then what is before it is a token, and all that comes back.
        let echoed = answer.contains("validation-token: a\r\n") && token.contains('\n')
            || answer.contains(&format!("validation-token: {token}\r\n")) && token.len() > 30;
        assert!(answer.len() <= 600, "{} bytes, where RingCentral takes 1,024", answer.len());
        assert!(answer.starts_with("http/1.1 4") || echoed, "{token:?}: {answer}");
    }
}

#[tokio::test]
async fn a_token_that_is_too_old_costs_a_full_comparison_and_no_text() {
    let line = Line::open().await;
    line.compare().await;
    line.text("one", false).await;
    let stale = json!({ "status": 400, "body": { "errorCode": "InvalidParameter", "errors": [{ "errorCode": "MSG-333" }] } });
    line.world.sim_fault("/message-sync", Some(1), stale).await;
    line.compare().await;
    assert_eq!(texts(&line.arrived(1).await), ["one"]);
    assert_eq!(
        log(&line.world, &line.tenant, &line.app, "").await["deliveries"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn an_event_that_nobody_understands_is_kept_and_disturbs_nobody() {
    let line = Line::open().await;
    let row = known(&line, &line.tenant, "ours").await;
    let owner = row["extension"]["S"].as_str().unwrap();
    let event = json!({
        "uuid": "strange", "event": "/restapi/v1.0/account/1/extension/2/message-store/instant?type=SMS",
        "subscriptionId": row["subscription"]["S"], "ownerId": owner, "timestamp": "2026-02-03T10:05:09.034Z",
        "body": { "novelty": ["of", "a", "later", "version"] },
    })
    .to_string();
    for _ in 0..2 {
        let answer = line.post(&route_to(&row), &[("verification-token", "ours")], event.clone()).await;
        assert_eq!(answer, 200, "RingCentral need not come again");
    }
    let items = line.world.items("MessagesTable").await;
    let kept: Vec<_> =
        items.iter().filter(|item| item["item"]["S"].as_str().unwrap().starts_with("quarantine#")).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["body"]["S"], event.as_str(), "whole");
    // The operator is told, without what was in it.
    let told: Vec<_> =
        line.world.log().into_iter().filter(|entry| entry.contains("unknown event quarantined")).collect();
    assert!(!told.is_empty());
    assert!(told.iter().all(|entry| !entry.contains("novelty")), "{told:?}");
    // What comes by comparing goes on; RingCentral's own events have another token than the test's.
    line.text("goes on", false).await;
    line.compare().await;
    assert_eq!(texts(&line.arrived(1).await), ["goes on"]);
}

#[tokio::test]
async fn a_queue_that_is_down_on_arrival_delays_a_text_and_loses_none() {
    let line = Line::open().await;
    let matching = json!({ "operation": "SendMessage", "function": "fan-out-events" });
    let act = json!({ "error": "InternalError", "status": 500 });
    line.world.aws_fault(matching, 0, None, act).await;
    line.text("in trouble", true).await;
    assert_eq!(line.answered().await, [200], "it is stored, which is all that RingCentral waits for");
    assert!(line.receiver.arrivals("/hook").is_empty());
    line.world.no_faults().await;
    // The stream offers the event again, and the sweep finds deliveries that no queue has.
    line.world.advance(61).await;
    line.world.advance(61).await;
    assert_eq!(texts(&line.arrived(1).await), ["in trouble"]);
    let log = log(&line.world, &line.tenant, &line.app, "").await;
    assert_eq!(log["deliveries"].as_array().unwrap().len(), 1);
}
