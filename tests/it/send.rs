//! Sending: each message is accepted once and sent once, in order; invalid requests are rejected.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Reply, TestTenant, World};

pub const TO: &str = "+16505550111";
/// Statuses of a message that was sent. The delivery report may have been applied already.
pub const SENT: [&str; 2] = ["sent", "delivered"];
const FINAL: [&str; 6] = ["sent", "delivered", "failed", "unknown", "expired", "canceled"];

/// A tenant with a connected extension, and the number that it sends from.
pub async fn connected() -> (World, TestTenant, String) {
    let world = World::start().await;
    let tenant = world.tenant();
    let from = connect(&world, &tenant, 0).await;
    // The tests poll often.
    without_limit(&world, &tenant).await;
    (world, tenant, from)
}

/// Connects a user of the simulator. Returns the first of its numbers.
pub async fn connect(world: &World, tenant: &TestTenant, user: usize) -> String {
    let user = world.user(user);
    world.connect(tenant, &user).await.expect(303);
    user["numbers"][0].as_str().unwrap().to_owned()
}

/// Lifts a tenant's request limit.
pub async fn without_limit(world: &World, tenant: &TestTenant) {
    let limits = json!({ "requestsPerMinute": 1_000_000, "tenantRequestsPerMinute": 1_000_000, "apps": 200 });
    let order = json!({ "limits": limits });
    let path = format!("/v1/tenants/{}", tenant.id);
    world.call(Method::PATCH, &path, &world.operator_key(), Some(order)).await.expect(200);
}

pub async fn send(world: &World, tenant: &TestTenant, fields: Value) -> Reply {
    world.call(Method::POST, "/v1/sms/send", &tenant.key, Some(fields)).await
}

/// Sends a message with an idempotency key.
pub async fn send_once(world: &World, tenant: &TestTenant, key: &str, fields: &Value) -> Reply {
    post_once(world, "/v1/sms/send", &tenant.key, key, fields).await
}

/// Sends a POST request with an idempotency key.
pub async fn post_once(world: &World, path: &str, api_key: &str, key: &str, fields: &Value) -> Reply {
    let request = world
        .http
        .post(format!("{}{path}", world.gateway()))
        .header("authorization", format!("Bearer {api_key}"))
        .header("idempotency-key", key)
        .body(fields.to_string());
    Reply::of(request.send().await.unwrap()).await
}

pub async fn accept(world: &World, tenant: &TestTenant, from: &str, body: &str) -> String {
    let reply = send(world, tenant, json!({ "to": TO, "from": from, "body": body })).await.expect(202);
    id(&reply)
}

pub fn id(reply: &Reply) -> String {
    reply.json()["messageId"].as_str().unwrap().to_owned()
}

pub async fn message(world: &World, tenant: &TestTenant, id: &str) -> Value {
    world.get(&format!("/v1/sms/status/{id}"), &tenant.key).await.expect(200).json()
}

/// Waits until a message has one of these statuses, for at most half a minute.
pub async fn until(world: &World, tenant: &TestTenant, id: &str, statuses: &[&str]) -> Value {
    let mut last = Value::Null;
    for _ in 0..600 {
        last = message(world, tenant, id).await;
        if statuses.contains(&last["status"].as_str().unwrap()) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{id} is still {last}\n{}", world.log().join("\n"));
}

pub async fn until_settled(world: &World, tenant: &TestTenant, id: &str) -> Value {
    until(world, tenant, id, &FINAL).await
}

/// The texts of the messages that RingCentral has accepted, in order.
pub async fn accepted_texts(world: &World) -> Vec<String> {
    let accepted = world.ledger("sms_accepted").await;
    accepted.iter().map(|entry| entry["text"].as_str().unwrap().to_owned()).collect()
}

/// The statuses in a message's `sms_status` events, in order.
pub async fn status_events(world: &World, id: &str) -> Vec<String> {
    let events = world.items("EventsTable").await;
    let mut events: Vec<_> = events
        .iter()
        .filter(|event| event["kind"]["S"] == "sms_status")
        .map(|event| {
            let data: Value = serde_json::from_str(event["data"]["S"].as_str().unwrap()).unwrap();
            (event["item"]["S"].as_str().unwrap().to_owned(), data)
        })
        .filter(|(_, data)| data["messageId"] == id)
        .collect();
    events.sort_by(|one, other| one.0.cmp(&other.0));
    events.into_iter().map(|(_, data)| data["status"].as_str().unwrap().to_owned()).collect()
}

/// Outbox, schedule and reconciliation entries in the table.
pub async fn pending_entries(world: &World) -> usize {
    let rows = world.items("MessagesTable").await;
    rows.iter().filter(|row| row["item"]["S"].as_str().unwrap().starts_with("pending#")).count()
}

#[tokio::test]
async fn a_message_is_accepted_and_sent_with_its_event() {
    let (world, tenant, from) = connected().await;
    let fields = json!({ "to": TO, "from": from, "body": "Hello 😀", "userId": "u-1" });
    let reply = send(&world, &tenant, fields).await.expect(202);
    assert_eq!(
        (reply.json()["status"].as_str(), reply.json()["segments"].as_u64()),
        (Some("queued"), Some(1))
    );
    let id = id(&reply);
    let sent = until(&world, &tenant, &id, &SENT).await;
    assert_eq!(sent["userId"], "u-1");
    assert_eq!((sent["attempts"].as_u64(), sent["direction"].as_str()), (Some(1), Some("outbound")));
    let accepted = world.ledger("sms_accepted").await;
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0]["messageId"], sent["rcMessageId"]);
    assert_eq!((accepted[0]["text"].as_str(), accepted[0]["to"].as_str()), (Some("Hello 😀"), Some(TO)));
    assert_eq!(status_events(&world, &id).await[0], "sent");
    assert_eq!(pending_entries(&world).await, 0);
    // Another tenant cannot access it.
    let other = world.new_tenant("Other").await;
    world.get(&format!("/v1/sms/status/{id}"), &other.key).await.expect(404);
    let path = format!("/v1/sms/{id}/cancel");
    world.post(&path, &other.key).await.expect(404);
    assert_eq!(world.post(&path, &tenant.key).await.error(), (409, "message_state".into()));
}

#[tokio::test]
async fn fifty_requests_with_one_idempotency_key_send_one_message() {
    let (world, tenant, from) = connected().await;
    let fields = json!({ "to": TO, "from": from, "body": "Once" });
    let replies = join_all((0..50).map(|_| send_once(&world, &tenant, "k", &fields))).await;
    let mut ids = BTreeSet::new();
    for reply in &replies {
        match reply.status.as_u16() {
            202 => drop(ids.insert(id(reply))),
            409 => assert_eq!(reply.error(), (409, "idempotency_in_progress".into())),
            _ => panic!("{} {}", reply.status, reply.text),
        }
    }
    assert_eq!(ids.len(), 1);
    let first = ids.into_iter().next().unwrap();
    until(&world, &tenant, &first, &SENT).await;
    assert_eq!(id(&send_once(&world, &tenant, "k", &fields).await.expect(202)), first);
    let other = json!({ "to": TO, "from": from, "body": "Twice" });
    assert_eq!(send_once(&world, &tenant, "k", &other).await.error(), (422, "idempotency_key_reused".into()));
    // Idempotency keys belong to the tenant, not to the API key.
    let apps = world.get("/v1/apps", &tenant.key).await.expect(200).json();
    let path = format!("/v1/apps/{}/rotate-key", apps["apps"][0]["appId"].as_str().unwrap());
    let key = world.post(&path, &tenant.key).await.expect(200).json()["apiKey"].as_str().unwrap().to_owned();
    let rotated = TestTenant { id: tenant.id.clone(), key };
    assert_eq!(id(&send_once(&world, &rotated, "k", &fields).await.expect(202)), first);
    assert_eq!(accepted_texts(&world).await, ["Once"]);
    let stranger = world.new_tenant("Other").await;
    assert_eq!(
        send_once(&world, &stranger, "k", &fields).await.error(),
        (409, "sender_not_connected".into())
    );
    // The response is stored for two days.
    world.advance(49 * 3_600).await;
    assert_ne!(id(&send_once(&world, &rotated, "k", &fields).await.expect(202)), first);
}

/// The replay returns the stored response even if the request would be rejected now.
#[tokio::test]
async fn a_replayed_request_gets_the_stored_response() {
    let (world, tenant, from) = connected().await;
    let clock = world.sim(Method::GET, "/_sim/clock", None).await;
    let now: jiff::Timestamp = clock["now"].as_str().unwrap().parse().unwrap();
    let soon = now.checked_add(jiff::SignedDuration::from_secs(300)).unwrap();
    let fields = json!({ "to": TO, "from": from, "body": "Once", "expiresAt": soon.to_string() });
    let first = id(&send_once(&world, &tenant, "k", &fields).await.expect(202));
    until(&world, &tenant, &first, &SENT).await;
    world.advance(400).await;
    assert_eq!(id(&send_once(&world, &tenant, "k", &fields).await.expect(202)), first);
    assert_eq!(send_once(&world, &tenant, "other", &fields).await.error(), (400, "invalid_field".into()));
    world.call(Method::POST, "/v1/rc/disconnect", &tenant.key, None).await.expect(200);
    world.advance(11).await;
    assert_eq!(id(&send_once(&world, &tenant, "k", &fields).await.expect(202)), first);
    assert_eq!(send_once(&world, &tenant, "other", &fields).await.status.as_u16() / 100, 4);
    assert_eq!(accepted_texts(&world).await, ["Once"]);
}

#[tokio::test]
async fn every_invalid_request_gets_its_error() {
    let (world, tenant, from) = connected().await;
    let good = || json!({ "to": TO, "from": from, "body": "x" });
    let with = |name: &str, value: Value| {
        let mut fields = good();
        fields[name] = value;
        fields
    };
    let without = |name: &str| {
        let mut fields = good();
        fields.as_object_mut().unwrap().remove(name);
        fields
    };
    let late = "2999-01-01T00:00:00Z";
    for (fields, code, field) in [
        (without("to"), "missing_field", "to"),
        (without("from"), "missing_field", "from"),
        (without("body"), "missing_field", "body"),
        (with("body", json!("")), "missing_field", "body"),
        (with("to", Value::Null), "missing_field", "to"),
        (with("to", json!(5)), "invalid_body", "to"),
        (with("body", json!(["x"])), "invalid_body", "body"),
        (with("body", json!("a".repeat(1_601))), "invalid_body", "body"),
        (with("body", json!("😀".repeat(801))), "invalid_body", "body"),
        (with("body", json!("a\u{0}b")), "invalid_body", "body"),
        (with("body", json!("a\u{1b}b")), "invalid_body", "body"),
        (with("to", json!("6505550111")), "invalid_phone_number", "to"),
        (with("to", json!("+1 650 555 0111")), "invalid_phone_number", "to"),
        (with("to", json!("+0505550111")), "invalid_phone_number", "to"),
        (with("to", json!("+1650555011122334")), "invalid_phone_number", "to"),
        (with("to", json!("+1650555011\u{660}")), "invalid_phone_number", "to"),
        (with("from", json!("101")), "invalid_phone_number", "from"),
        (with("media", json!([])), "unknown_field", "media"),
        (with("userId", json!("u".repeat(201))), "invalid_field", "userId"),
        (with("userId", json!("u\n")), "invalid_field", "userId"),
        (with("priority", json!("urgent")), "invalid_field", "priority"),
        (with("onAmbiguous", json!("guess")), "invalid_field", "onAmbiguous"),
        (with("sendAt", json!("tomorrow")), "invalid_field", "sendAt"),
        (with("sendAt", json!(late)), "invalid_field", "sendAt"),
        (with("expiresAt", json!("2001-01-01T00:00:00Z")), "invalid_field", "expiresAt"),
        (with("from", json!("+14155550199")), "sender_unknown", "from"),
    ] {
        let reply = send(&world, &tenant, fields.clone()).await;
        assert_eq!(reply.error(), (400, code.to_owned()), "{fields}: {}", reply.text);
        assert_eq!(reply.json()["field"], field, "{fields}");
    }
    for body in ["", "{", "[]", "null", r#"{"to":"\ud800"}"#, "\u{feff}{}"] {
        let request = world.http.post(format!("{}/v1/sms/send", world.gateway()));
        let request = request.header("x-api-key", &tenant.key).body(body.to_owned());
        let reply = Reply::of(request.send().await.unwrap()).await;
        assert_eq!(reply.error(), (400, "invalid_body".into()), "{body}");
    }
    let reply = send(&world, &tenant, with("body", json!("a".repeat(110_000)))).await;
    assert_eq!(reply.error(), (413, "body_too_large".into()));
    for key in ["", &"k".repeat(256)] {
        let reply = send_once(&world, &tenant, key, &good()).await;
        assert_eq!(reply.error(), (400, "invalid_field".into()), "{key}");
    }
    assert_eq!(world.get("/v1/sms/status/msg_1", &tenant.key).await.error(), (400, "invalid_id".into()));
    assert_eq!(world.count("sms_accepted").await, 0);
}

#[tokio::test]
async fn a_request_for_a_sender_that_is_not_connected_is_rejected() {
    let world = World::start().await;
    let tenant = world.tenant();
    let from = world.user(0)["numbers"][0].as_str().unwrap().to_owned();
    let fields = json!({ "to": TO, "from": from, "body": "x" });
    let reply = send(&world, &tenant, fields.clone()).await;
    assert_eq!(reply.json()["error"], "RingCentral not connected for this sender");
    assert_eq!(reply.error(), (409, "sender_not_connected".into()));
    world.connect(&tenant, &world.user(0)).await.expect(303);
    send(&world, &tenant, fields.clone()).await.expect(202);
    let unknown = send(&world, &tenant, json!({ "to": TO, "from": "+14155550199", "body": "x" })).await;
    let text = "Phone number +14155550199 is not registered in this RingCentral account";
    assert_eq!(unknown.json()["error"], text);
    // The lookup is cached for ten seconds.
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    world.advance(11).await;
    assert_eq!(send(&world, &tenant, fields).await.error(), (409, "sender_not_connected".into()));
}

#[tokio::test]
async fn a_long_message_is_sent_in_ordered_parts_under_one_id() {
    let (world, tenant, from) = connected().await;
    let family = "👨‍👩‍👧‍👦";
    let body = format!("{}{family}{}", "a".repeat(995), "b".repeat(500));
    let preview = json!({ "body": body });
    let shown =
        world.call(Method::POST, "/v1/sms/preview", &tenant.key, Some(preview)).await.expect(200).json();
    assert_eq!(shown["encoding"], "UCS-2");
    assert_eq!(shown["parts"].as_array().unwrap().len(), 2);
    assert_eq!(shown["ucs2Characters"][0], "👨");
    let reply = send(&world, &tenant, json!({ "to": TO, "from": from, "body": body })).await.expect(202);
    assert_eq!(reply.json()["segments"], shown["segments"]);
    let sent = until(&world, &tenant, &id(&reply), &SENT).await;
    assert_eq!(accepted_texts(&world).await, ["a".repeat(995), format!("{family}{}", "b".repeat(500))]);
    assert_eq!(sent["attempts"], 2);
    // The worker writes the event after the message.
    world.idle().await;
    assert_eq!(status_events(&world, &id(&reply)).await[..2], ["sending", "sent"]);
}

#[tokio::test]
async fn a_scheduled_message_waits_and_can_be_canceled() {
    let (world, tenant, from) = connected().await;
    let at = |seconds: i64| {
        let now: jiff::Timestamp = world.stack.clock().now();
        now.saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap().to_string()
    };
    let order = |body: &str, seconds| json!({ "to": TO, "from": from, "body": body, "sendAt": at(seconds) });
    let later = send(&world, &tenant, order("Later", 3_600)).await.expect(202);
    let never = send(&world, &tenant, order("Never", 3_600)).await.expect(202);
    assert_eq!(later.json()["status"], "scheduled");
    let path = format!("/v1/sms/{}/cancel", id(&never));
    assert_eq!(world.post(&path, &tenant.key).await.expect(200).json()["status"], "canceled");
    assert_eq!(world.post(&path, &tenant.key).await.error(), (409, "message_state".into()));
    world.advance(1_800).await;
    assert_eq!(message(&world, &tenant, &id(&later)).await["status"], "scheduled");
    world.advance(1_860).await;
    until(&world, &tenant, &id(&later), &SENT).await;
    assert_eq!(accepted_texts(&world).await, ["Later"]);
    assert_eq!(status_events(&world, &id(&never)).await, ["canceled"]);
    assert_eq!(pending_entries(&world).await, 0);
}

#[tokio::test]
async fn messages_are_listed_filtered_and_paged() {
    let (world, tenant, from) = connected().await;
    let mut ids = Vec::new();
    for body in ["one", "two", "three", "four", "five"] {
        ids.insert(0, accept(&world, &tenant, &from, body).await);
    }
    for id in &ids {
        until(&world, &tenant, id, &SENT).await;
    }
    let list = async |query: &str| {
        world.get(&format!("/v1/sms/messages{query}"), &tenant.key).await.expect(200).json()
    };
    let names = |list: &Value| -> Vec<String> {
        let messages = list["messages"].as_array().unwrap().iter();
        messages.map(|message| message["messageId"].as_str().unwrap().to_owned()).collect()
    };
    let all = list("").await;
    assert_eq!((names(&all), all["total"].as_u64()), (ids.clone(), Some(5)));
    assert_eq!((all["page"].as_u64(), all["limit"].as_u64()), (Some(1), Some(20)));
    let second = list("?limit=2&page=2").await;
    assert_eq!(names(&second), ids[2..4]);
    // A cursor continues after the previous page, even if messages are added meanwhile.
    let first = list("?limit=2").await;
    let far = world.stack.clock().now().saturating_add(jiff::SignedDuration::from_hours(240)).unwrap();
    let six = json!({ "to": TO, "from": from, "body": "six", "sendAt": far.to_string() });
    send(&world, &tenant, six).await.expect(202);
    let mut seen = names(&first);
    let mut cursor = first["nextCursor"].as_str().map(str::to_owned);
    while let Some(next) = cursor {
        let page = list(&format!("?limit=2&cursor={next}")).await;
        assert!(page.get("total").is_none());
        seen.extend(names(&page));
        cursor = page["nextCursor"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, ids);
    assert_eq!(list("?direction=inbound").await["total"], 0);
    let scheduled = list(&format!("?to=%2B{}&status=scheduled", &TO[1..])).await;
    assert_eq!(
        (scheduled["total"].as_u64(), scheduled["messages"][0]["body"].as_str()),
        (Some(1), Some("six"))
    );
    assert_eq!(all["totalIsExact"], true);
    assert_eq!(list("?startDate=2999-01-01").await["total"], 0);
    assert_eq!(list("?endDate=2001-01-01").await["total"], 0);
    let stolen = first["nextCursor"].as_str().unwrap();
    let other = world.new_tenant("Other").await;
    let path = format!("/v1/sms/messages?cursor={stolen}");
    assert_eq!(world.get(&path, &other.key).await.error(), (400, "invalid_query".into()));
    for invalid in ["limit=0", "limit=101", "status=lost", "direction=up", "page=0", "from=%2Bme", "sort=up"]
    {
        let reply = world.get(&format!("/v1/sms/messages?{invalid}"), &tenant.key).await;
        assert_eq!(reply.error(), (400, "invalid_query".into()), "{invalid}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_total_of_a_long_list_is_bounded_and_so_is_its_price() {
    let (world, tenant, from) = connected().await;
    let id = accept(&world, &tenant, &from, "Copied").await;
    until(&world, &tenant, &id, &SENT).await;
    world.stack.wait_until_idle().await;
    let rows = world.items("MessagesTable").await;
    let row = rows.into_iter().find(|row| row["item"]["S"] == format!("message#{id}")).unwrap();
    let now = crate::world::now(&world).await;
    let copies = (0..2_400).map(|_| {
        let mut copy = row.clone();
        let id = shared::model::ids::MessageId::generate(now);
        copy["item"]["S"] = json!(format!("message#{}", id.as_str()));
        world.put_item("MessagesTable", copy)
    });
    futures_util::stream::iter(copies).buffer_unordered(16).collect::<Vec<()>>().await;
    let list = async |query: &str| {
        let since = world.calls_so_far().await;
        let list = world.get(&format!("/v1/sms/messages{query}"), &tenant.key).await.expect(200).json();
        let calls = world.calls_since(since).await;
        let reads =
            calls.iter().filter(|call| call["operation"] == "Query" && call["function"] == "list-messages");
        let units: f64 = reads.map(|call| call["units"].as_f64().unwrap()).sum();
        (list, units)
    };
    let count = |list: &Value| (list["total"].as_u64().unwrap(), list["totalIsExact"].as_bool().unwrap());
    let (first, units) = list("").await;
    assert_eq!((count(&first), first["messages"].as_array().unwrap().len()), ((1_000, false), 20));
    assert!(units <= 200.0, "{units} read units");
    let (later, _) = list("?page=11&limit=100").await;
    assert_eq!((count(&later), later["messages"].as_array().unwrap().len()), ((2_000, false), 100));
    let (last, _) = list("?page=25&limit=100").await;
    assert_eq!((count(&last), last["messages"].as_array().unwrap().len()), ((2_401, true), 1));
    // The pages have all messages, whether by number or by cursor.
    let mut seen = BTreeSet::new();
    let mut names = |list: &Value| {
        for message in list["messages"].as_array().unwrap() {
            assert!(
                seen.insert(message["messageId"].as_str().unwrap().to_owned()),
                "{message} is listed twice"
            );
        }
    };
    let (mut page, _) = list("?limit=100&page=9").await;
    for number in 1..=9 {
        let (numbered, _) = list(&format!("?limit=100&page={number}")).await;
        names(&numbered);
    }
    while let Some(cursor) = page["nextCursor"].as_str() {
        (page, _) = list(&format!("?limit=100&cursor={cursor}")).await;
        names(&page);
    }
    assert_eq!(seen.len(), 2_401);
}
