//! Records that cannot be read do not hide their neighbours, and are kept for the operator.

use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use shared::model::secret::Secret;

use crate::delivery::until;
use crate::world::{SYNC_INTERVAL, World};

pub const US: &str = "+14155550100";
pub const THEM: &str = "+16505550199";
pub const TOKEN: &str = "known to the test";

/// The row of the tenant's connection, with a verification token that the test knows. Connects an extension if none is.
pub async fn connection(world: &World) -> Value {
    let tenant = world.tenant();
    let row = async || {
        let rows = world.items("ConnectionsTable").await;
        rows.into_iter()
            .find(|row| row["tenant"]["S"] == tenant.id.as_str() && row["subscription"]["S"].is_string())
    };
    if row().await.is_none() {
        world.connect(&tenant, &world.user(0)).await.expect(303);
    }
    let mut row = row().await.unwrap();
    row["subscription_token_digest"] = json!({ "S": Secret::new(TOKEN).digest() });
    world.put_item("ConnectionsTable", row.clone()).await;
    row
}

/// Posts the body of an event to the connection's webhook URL, with a verification token.
pub async fn post(world: &World, row: &Value, token: &str, body: impl Into<reqwest::Body>) -> u16 {
    let [tenant, connection] = ["tenant", "connection"].map(|name| row[name]["S"].as_str().unwrap());
    let query = world.event_query(tenant, connection).await;
    let url = format!("{}/v1/webhooks/ringcentral{query}", world.gateway());
    let request = world.http.post(url).header("verification-token", token).body(body);
    request.send().await.unwrap().status().as_u16()
}

pub async fn listed(world: &World, query: &str) -> Vec<Value> {
    let list = world.get(&format!("/v1/quarantine{query}"), &world.operator_key()).await.expect(200).json();
    list["records"].as_array().unwrap().clone()
}

/// Quarantines an event with this body, and returns its id.
async fn quarantined(world: &World, body: Value) -> String {
    let row = connection(world).await;
    let before = listed(world, "?limit=100").await;
    assert_eq!(post(world, &row, TOKEN, body.to_string()).await, 200);
    let after = listed(world, "?limit=100").await;
    let new = after.iter().find(|one| before.iter().all(|known| known["id"] != one["id"]));
    new.unwrap_or_else(|| panic!("quarantined: {body}"))["id"].as_str().unwrap().to_owned()
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The id of a quarantined record that cannot be read.
pub async fn unreadable(world: &World) -> String {
    quarantined(world, json!({ "odd": COUNT.fetch_add(1, Ordering::Relaxed) })).await
}

/// The id of a quarantined event that can be processed, because only the extension was missing.
pub async fn readable(world: &World) -> String {
    quarantined(world, message(900_000 + COUNT.fetch_add(1, Ordering::Relaxed), "processed later")).await
}

fn message(id: usize, text: &str) -> Value {
    json!({
        "uuid": "1", "event": "/restapi/v1.0/account/~/extension/~/message-store/instant?type=SMS",
        "body": { "id": id, "from": { "phoneNumber": THEM }, "to": [{ "phoneNumber": US, "target": true }],
            "type": "SMS", "direction": "Inbound", "subject": text },
    })
}

/// The texts of all inbound messages that the API lists.
pub async fn inbound(world: &World) -> Vec<String> {
    let path = "/v1/sms/messages?direction=inbound&limit=100";
    let list = world.get(path, &world.tenant().key).await.expect(200).json();
    let messages = list["messages"].as_array().unwrap();
    let mut texts: Vec<_> = messages.iter().map(|one| one["body"].as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

/// A record of the message store.
pub fn record(id: usize, text: &str, at: &str) -> Value {
    json!({
        "id": id.to_string(), "from": { "phoneNumber": THEM }, "to": [{ "phoneNumber": US, "target": true }],
        "type": "SMS", "direction": "Inbound", "availability": "Alive", "creationTime": at, "subject": text,
        "attachments": [{ "id": 1, "type": "Text", "contentType": "text/plain" }],
    })
}

/// Lets every message sync return these records, as JSON text.
pub async fn sync_with(world: &World, records: &[String]) {
    let body = format!(r#"{{"records":[{}],"syncInfo":{{"syncToken":"next"}}}}"#, records.join(","));
    let headers = json!({ "content-type": "application/json" });
    world.sim_fault("/message-sync", None, json!({ "status": 200, "headers": headers, "body": body })).await;
    world.advance(SYNC_INTERVAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_record_of_a_message_sync_never_hides_its_neighbours() {
    let world = World::start().await;
    connection(&world).await;
    world.advance(SYNC_INTERVAL).await;
    let now = crate::world::now(&world).await.to_string();
    let without = |field: &str| {
        let mut odd = record(0, "odd", &now);
        odd.as_object_mut().unwrap().remove(field);
        odd
    };
    let with = |field: &str, value: &str| {
        let mut odd = record(0, "odd", &now);
        odd[field] = json!("@ODD@");
        odd.to_string().replace("\"@ODD@\"", value)
    };
    // Read without the field, or in another spelling. Each has a different id.
    let read = [
        without("creationTime").to_string(),
        without("attachments").to_string(),
        without("availability").to_string(),
        without("type").to_string(),
        with("creationTime", r#""2026-02-03T10:05:08""#),
        with("creationTime", r#""soon""#),
        with("creationTime", "0"),
        with("attachments", r#"[{"type":"Text"},{"id":{}},7]"#),
        with("attachments", "null"),
        with("direction", r#""inbound""#),
        with("to", r#""(415) 555-0100""#),
        with("from", "16505550199"),
        with("unused", r#"[1e999,"\ud83d",{"a":1,"a":2}]"#),
        with("conversation", r#"{"id":"x"}"#),
        with("segmentCount", r#"-1"#),
    ];
    // Quarantined.
    let unreadable = [
        without("id").to_string(),
        without("direction").to_string(),
        without("to").to_string(),
        with("id", "{}"),
        with("id", "1e999"),
        with("direction", "[]"),
        with("direction", r#""Sideways""#),
        with("to", "{}"),
        with("to", r#"[{"phoneNumber":" "}]"#),
        with("subject", "{}"),
        with("type", "[]"),
        with("from", "true"),
        // Too large for a row.
        with("subject", &format!("\"{}\"", "a".repeat(450_000))),
        "null".to_owned(),
        "[[]]".to_owned(),
        format!("{}{}", "[".repeat(1_000), "]".repeat(1_000)),
    ];
    let mut records = Vec::new();
    for (at, odd) in read.iter().chain(&unreadable).enumerate() {
        let text = format!("beside {at:02}");
        records.push(record(1_000 + at, &text, &now).to_string());
        records.push(odd.replacen(r#""id":"0""#, &format!(r#""id":"{}""#, 5_000 + at), 1));
    }
    // Twice in the page.
    records.push(records[0].clone());
    sync_with(&world, &records).await;
    let stored = inbound(&world).await;
    let beside = stored.iter().filter(|text| text.starts_with("beside")).count();
    assert_eq!(beside, read.len() + unreadable.len(), "{stored:?}");
    assert_eq!(stored.iter().filter(|text| *text == "odd").count(), read.len());
    let quarantined = listed(&world, "?limit=100&kind=message_record").await;
    assert_eq!(quarantined.len(), unreadable.len(), "{quarantined:?}");
    assert!(quarantined.iter().all(|one| one["tenantId"] == world.tenant().id.as_str()));
    // The same records again are neither stored nor quarantined again, and the token has advanced.
    world.advance(SYNC_INTERVAL).await;
    assert_eq!(inbound(&world).await, stored);
    assert_eq!(listed(&world, "?limit=100").await, quarantined);
    let rows = world.items("ConnectionsTable").await;
    assert!(rows.iter().any(|row| row["sync_token"]["S"] == "next"));
    // A line of the log for each new one, without its content.
    let lines: Vec<_> =
        world.log().into_iter().filter(|line| line.contains(r#""alarm":"quarantine""#)).collect();
    assert_eq!(lines.len(), unreadable.len());
    assert!(
        lines
            .iter()
            .all(|line| !line.contains("odd") && !line.contains("16505550") && !line.contains("14155550")),
        "{lines:?}"
    );
    // What other apps of the tenant see is the same as without the odd records.
    let extensions = world.get("/v1/rc/extensions", &world.tenant().key).await.expect(200).json();
    assert_eq!(extensions["extensions"][0]["lastError"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_sync_token_is_dropped_and_a_full_sync_follows_at_once() {
    let world = World::start().await;
    connection(&world).await;
    world.advance(SYNC_INTERVAL).await;
    let verdicts = [
        json!({ "errorCode": "InvalidParameter", "errors": [{ "errorCode": "CMN-101",
            "message": "Parameter [syncToken] value is invalid.", "parameterName": "syncToken" }] }),
        json!({ "errorCode": "CMN-101", "message": "Parameter [syncToken] value is invalid." }),
        json!({ "errorCode": "CMN-101", "parameters": [{ "parameterName": "syncToken" }] }),
        json!({ "errorCode": "InvalidParameter", "errors": [{ "errorCode": "MSG-333" }] }),
        json!({ "errorCode": "CLG-104" }),
        json!({ "errorCode": "MSG-999", "message": "Sync token expired" }),
    ];
    for (at, verdict) in verdicts.iter().enumerate() {
        for status in [400, 404] {
            let order = json!({ "from": THEM, "to": US, "text": format!("{at} {status}"), "deliver": false });
            world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
            let before = world.ledger("message_sync").await.len();
            world.sim_fault("/message-sync", Some(1), json!({ "status": status, "body": verdict })).await;
            world.advance(SYNC_INTERVAL).await;
            let fired = world.sim(Method::GET, "/_sim/faults", None).await[0]["fired"].clone();
            assert_eq!(fired, 1, "{verdict}");
            assert!(
                inbound(&world).await.contains(&format!("{at} {status}")),
                "{status} {verdict}: {before}"
            );
            world.no_faults().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authentic_event_with_any_content_is_accepted() {
    let world = World::start().await;
    let row = connection(&world).await;
    world.advance(SYNC_INTERVAL).await;
    let row = {
        connection(&world).await;
        row
    };
    let owner = row["extension"]["S"].as_str().unwrap();
    let good = |text: &str| {
        let mut event = message(77, text);
        event["ownerId"] = json!(owner);
        event
    };
    let with = |pointer: &str, value: Value| {
        let mut event = message(5_000 + COUNT.fetch_add(1, Ordering::Relaxed), "odd");
        event["ownerId"] = json!(owner);
        *event.pointer_mut(pointer).unwrap() = value;
        event.to_string().into_bytes()
    };
    let nested =
        format!("{{\"event\":\"{}\",\"body\":{}{}}}", "/instant", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"not JSON".to_vec(),
        b"<html></html>".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        nested.into_bytes(),
        with("/ownerId", json!("12345")),
        with("/event", json!({ "a": 1 })),
        with("/event", json!("/restapi/v1.0/account/1/presence")),
        with("/body", json!([])),
        with("/body", Value::Null),
        with("/body/id", json!({})),
        with("/body/to", json!([])),
        with("/body/direction", json!(7)),
        with("/body/subject", json!([1])),
    ];
    for body in &bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(post(&world, &row, "another", body.clone()).await, 401, "{shown}");
        assert_eq!(post(&world, &row, TOKEN, body.clone()).await, 200, "{shown}");
    }
    let quarantined = listed(&world, "?limit=100&kind=event").await;
    assert_eq!(quarantined.len(), bodies.len());
    assert!(inbound(&world).await.is_empty(), "nothing of them is delivered");
    // A sync is due at once.
    let order = json!({ "from": THEM, "to": US, "text": "behind an odd event", "deliver": false });
    world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    assert_eq!(post(&world, &row, TOKEN, "odd").await, 200);
    world.advance(61).await;
    assert_eq!(inbound(&world).await, ["behind an odd event"]);
    // Odd fields that are not needed, and the token alone, are enough.
    let mut event = good("without an envelope");
    for (name, value) in [("uuid", json!([])), ("subscriptionId", json!({})), ("timestamp", json!("soon"))] {
        event[name] = value;
    }
    assert_eq!(post(&world, &row, TOKEN, event.to_string()).await, 200);
    assert_eq!(inbound(&world).await, ["behind an odd event", "without an envelope"]);
    assert_eq!(listed(&world, "?limit=100").await.len(), bodies.len() + 1);
}

#[tokio::test]
async fn inbound_numbers_are_stored_delivered_and_found_in_e164_form() {
    let world = World::start().await;
    let receiver = crate::receiver::WebhookEndpoint::start().await;
    let tenant = world.tenant();
    let fields =
        json!({ "webhookUrl": receiver.at("/hook"), "eventTypes": ["sms_inbound"], "numbers": [US] });
    crate::delivery::app(&world, &tenant, fields).await;
    let row = connection(&world).await;
    let senders = [
        ("16505550199", THEM, "%2B16505550199"),
        ("(650) 555-0199", THEM, "16505550199"),
        ("0016505550199", THEM, "6505550199"),
        ("+1 650-555-0199", THEM, "(650)%20555-0199"),
        ("SUPPORT", "SUPPORT", "SUPPORT"),
        ("12345", "12345", "12345"),
        ("Acme Inc.", "Acme Inc.", "Acme%20Inc."),
    ];
    for (at, (from, _, _)) in senders.iter().enumerate() {
        let spelling = if at % 2 == 0 { "14155550100" } else { "(415) 555-0100" };
        let mut event = message(100 + at, &format!("text {at}"));
        event["ownerId"] = row["extension"]["S"].clone();
        event["body"]["from"] = json!({ "phoneNumber": from });
        event["body"]["to"] = json!([{ "phoneNumber": spelling, "target": true }]);
        assert_eq!(post(&world, &row, TOKEN, event.to_string()).await, 200);
    }
    until("all events", async || receiver.arrivals("/hook").len() == senders.len()).await;
    for arrival in receiver.arrivals("/hook") {
        let event = arrival.json();
        let at: usize = event["body"].as_str().unwrap().trim_start_matches("text ").parse().unwrap();
        assert_eq!((&event["from"], &event["to"]), (&json!(senders[at].1), &json!(US)));
    }
    for (at, (_, _, query)) in senders.iter().enumerate() {
        let path = format!("/v1/sms/messages?from={query}&to=14155550100");
        let list = world.get(&path, &tenant.key).await.expect(200).json();
        let found = list["messages"].as_array().unwrap();
        assert!(found.iter().any(|one| one["body"] == format!("text {at}")), "{query}: {found:?}");
    }
}

#[tokio::test]
async fn an_odd_record_in_the_list_of_phone_numbers_hides_no_other_number() {
    let world = World::start().await;
    let tenant = world.tenant();
    let features = json!(["SmsSender"]);
    let number = |id: Value, number: Value| json!({ "id": id, "phoneNumber": number, "features": features });
    let records = json!([
        number(json!(1), json!("+14155550100")),
        { "id": 2, "features": features },
        number(json!(3), json!({})),
        number(json!("4"), json!(14155550101_u64)),
        number(json!({}), json!("+14155550102")),
        { "id": 5, "phoneNumber": "+14155550103", "features": "SmsSender", "extension": "x", "status": {} },
        number(json!(6), json!("anonymous")),
        // The features may include SMS, or do not.
        { "id": 7, "phoneNumber": "+14155550104", "features": { "sms": true } },
        { "id": 8, "phoneNumber": "+14155550105", "features": ["CallerId", { "name": "SmsSender" }] },
        { "id": 9, "phoneNumber": "+14155550106", "features": ["smssender", 7, {}] },
        { "id": 10, "phoneNumber": "+14155550107", "features": ["CallerId"] },
        "odd",
        null,
    ]);
    let body = json!({ "records": records, "paging": { "page": "1", "totalPages": null } });
    world.sim_fault("/extension/~/phone-number", None, json!({ "status": 200, "body": body })).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let numbers = world.get("/v1/rc/numbers", &tenant.key).await.expect(200).json();
    for own in ["+14155550100", "+14155550101", "+14155550102", "+14155550103", "+14155550106"] {
        let all = numbers["numbers"].as_array().unwrap();
        assert!(
            all.iter().any(|one| one["phoneNumber"] == own && one["connected"] == true),
            "{own}: {all:?}"
        );
    }
    let shown = world.get("/v1/rc/extensions", &tenant.key).await.expect(200).json();
    assert_eq!(shown["extensions"][0]["setup"]["numbers"], "done", "{shown}");
    assert_eq!(listed(&world, "?kind=phone_number").await.len(), 7);
    let order = json!({ "from": US, "to": THEM, "body": "works" });
    crate::tenancy::send(&world, "POST", "/v1/sms/send", &tenant.key, order).await.expect(202);
    // An error page instead of a list changes nothing.
    let page = json!({ "status": 200, "body": "<html></html>" });
    world.no_faults().await;
    world.sim_fault("/phone-number", None, page).await;
    world.post("/v1/rc/numbers/refresh", &tenant.key).await;
    assert_eq!(world.get("/v1/rc/numbers", &tenant.key).await.expect(200).json(), numbers);
}

#[tokio::test]
async fn the_operator_lists_reads_retries_and_deletes_quarantined_records() {
    let world = World::start().await;
    let operator = world.operator_key();
    let odd = unreadable(&world).await;
    world.advance(1).await;
    let good = readable(&world).await;
    // Newest first, page by page, by kind.
    let ids = |records: &[Value]| {
        records.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&listed(&world, "").await), [good.clone(), odd.clone()]);
    assert_eq!(ids(&listed(&world, "?kind=event").await), [good.clone(), odd.clone()]);
    assert!(listed(&world, "?kind=table_row").await.is_empty());
    let first = world.get("/v1/quarantine?limit=1", &operator).await.expect(200).json();
    let cursor = first["nextCursor"].as_str().unwrap();
    let second =
        world.get(&format!("/v1/quarantine?limit=1&cursor={cursor}"), &operator).await.expect(200).json();
    assert_eq!(
        (ids(second["records"].as_array().unwrap()), &second["nextCursor"]),
        (vec![odd.clone()], &Value::Null)
    );
    // Sealed in the table, as it came for the operator.
    let path = format!("/v1/quarantine/{good}");
    let shown = world.get(&path, &operator).await.expect(200).json();
    assert!(shown["raw"].as_str().unwrap().contains("processed later"), "{shown}");
    assert_eq!((&shown["encoding"], &shown["truncated"]), (&json!("utf-8"), &json!(false)));
    let rows = json!(world.items("QuarantineTable").await).to_string();
    assert!(!rows.contains("processed later") && !rows.contains(THEM));
    // A tenant's key is refused.
    assert_eq!(world.get(&path, &world.tenant().key).await.error(), (403, "insufficient_scope".to_owned()));
    // A retry processes what can be read now; what cannot stays.
    world.post(&format!("{path}/retry"), &operator).await.expect(200);
    assert_eq!(inbound(&world).await, ["processed later"]);
    assert_eq!(world.get(&path, &operator).await.error(), (404, "not_found".to_owned()));
    let path = format!("/v1/quarantine/{odd}");
    let refused = world.post(&format!("{path}/retry"), &operator).await;
    assert_eq!(refused.error(), (409, "record_unreadable".to_owned()));
    world.get(&path, &operator).await.expect(200);
    world.call(Method::DELETE, &path, &operator, None).await.expect(200);
    assert!(listed(&world, "").await.is_empty());
    // Kept for thirty days, also if the table has not deleted it yet; and a large one is cut off.
    let large = quarantined(&world, json!({ "odd": "x".repeat(100_000) })).await;
    let shown = world.get(&format!("/v1/quarantine/{large}"), &operator).await.expect(200).json();
    assert_eq!((shown["raw"].as_str().unwrap().len(), &shown["truncated"]), (64 * 1024, &json!(true)));
    world.advance(29 * 24 * 3_600).await;
    assert_eq!(listed(&world, "").await.len(), 1);
    world.advance(2 * 24 * 3_600).await;
    assert!(listed(&world, "").await.is_empty());
    assert_eq!(world.get(&format!("/v1/quarantine/{large}"), &operator).await.error().0, 404);
}

#[tokio::test]
async fn quarantined_records_are_erased_with_their_tenant() {
    let world = World::start().await;
    unreadable(&world).await;
    let path = format!("/v1/tenants/{}", world.tenant().id);
    world.call(Method::DELETE, &path, &world.operator_key(), None).await.expect(202);
    assert!(world.items("QuarantineTable").await.is_empty(), "with the data keys, before the response");
}

#[tokio::test]
async fn a_message_that_ringcentral_reports_as_failed_at_once_is_failed_with_its_code() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    for (rc_id, status, code) in [
        ("4711", "SendingFailed", json!("SMS-UP-414")),
        ("4712", "deliveryfailed", json!("SMS-CAR-411")),
        ("4713", "SendingFailed", Value::Null),
    ] {
        let body = json!({ "id": rc_id, "messageStatus": status, "deliveryErrorCode": code });
        world.no_faults().await;
        world.sim_fault("/sms", None, json!({ "status": 200, "body": body })).await;
        let id = crate::send::accept(&world, &tenant, US, "fails").await;
        crate::send::until(&world, &tenant, &id, &["failed"]).await;
        let shown = world.get(&format!("/v1/sms/status/{id}"), &tenant.key).await.expect(200).json();
        assert_eq!((&shown["status"], &shown["errorCode"]), (&json!("failed"), &code), "{shown}");
        assert_eq!(shown["rcMessageId"], rc_id, "{shown}");
        assert!(shown["error"].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(crate::send::status_events(&world, &id).await, ["failed"], "one event");
    }
}

#[tokio::test]
async fn connection_events_name_the_account_and_the_new_status() {
    let world = World::start().await;
    let tenant = world.tenant();
    let (user, key) = (world.user(0), tenant.key.as_str());
    let extension = user["extensionId"].as_str().unwrap().to_owned();
    let events = async |kind: &str| -> Vec<Value> {
        world.idle().await;
        let list = world.get("/v1/events?limit=100", key).await.expect(200).json();
        list["events"].as_array().unwrap().iter().filter(|event| event["type"] == kind).cloned().collect()
    };
    let mut connected = 0;
    // By a link, again by a link, and after the first attempt to read the account has failed.
    for (reason, disconnect) in [
        ("first", None),
        ("again", Some(format!("/v1/rc/extensions/{extension}"))),
        ("after it was removed", Some(String::new())),
    ] {
        world.connect(&tenant, &user).await.expect(303);
        connected += 1;
        world.advance(61).await;
        let seen = events("rc_connected").await;
        assert_eq!(seen.len(), connected, "{reason}");
        for event in &seen {
            assert_eq!(event["rcAccountId"], user["accountId"], "{reason}: {event}");
            assert_eq!((&event["status"], &event["extensionId"]), (&json!("active"), &json!(extension)));
        }
        match disconnect.as_deref() {
            None => {}
            Some("") => _ = world.post("/v1/rc/disconnect", key).await.expect(200),
            Some(path) => _ = world.call(Method::DELETE, path, key, None).await.expect(200),
        }
    }
    world.advance(61).await;
    let seen = events("rc_disconnected").await;
    assert_eq!(seen.len(), 2);
    for event in &seen {
        assert_eq!((&event["status"], &event["rcAccountId"]), (&json!("disconnected"), &user["accountId"]));
    }
    // While the account cannot be read, the event waits for it, but not for ever.
    let fault = json!({ "status": 503, "body": { "errorCode": "CMN-201" } });
    world.sim_fault("/extension/~", None, fault).await;
    world.connect(&tenant, &user).await.expect(303);
    world.advance(30).await;
    assert_eq!(events("rc_connected").await.len(), connected, "not yet");
    world.no_faults().await;
    world.advance(400).await;
    // The event list shows an event after some seconds.
    world.advance(61).await;
    let seen = events("rc_connected").await;
    assert_eq!((seen.len(), &seen[connected]["rcAccountId"]), (connected + 1, &user["accountId"]));
}
