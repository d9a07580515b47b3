//! Data from RingCentral that is not valid JSON, or has odd values: it hides nothing, and nothing of it is lost.

use serde_json::{Value, json};

use crate::quarantine::{THEM, TOKEN, US, connection, inbound, listed, post, record, sync_with};
use crate::world::{SYNC_INTERVAL, World};

/// Records of a page with `records` between them, each with another id, and the texts of the good ones.
fn beside(records: &[String], now: &str) -> (Vec<String>, Vec<String>) {
    let (mut page, mut texts) = (Vec::new(), Vec::new());
    for (at, odd) in records.iter().enumerate() {
        let text = format!("beside {at:02}");
        page.push(record(1_000 + at, &text, now).to_string());
        page.push(odd.replacen(r#""id":"0""#, &format!(r#""id":"{}""#, 5_000 + at), 1));
        texts.push(text);
    }
    (page, texts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_not_valid_json_never_hides_its_neighbours() {
    let world = World::start().await;
    connection(&world).await;
    world.advance(SYNC_INTERVAL).await;
    let now = crate::world::now(&world).await.to_string();
    let good = record(0, "odd", &now).to_string();
    let with = |field: &str, value: &str| {
        let mut odd = record(0, "odd", &now);
        odd[field] = json!("@ODD@");
        odd.to_string().replace("\"@ODD@\"", value)
    };
    let read = [
        with("unused", "NaN"),
        with("unused", "-Infinity"),
        with("unused", "{a:'b',,}"),
        with("size", "0x1F"),
        with("creationTime", "NaN"),
        with("segmentCount", ""),
        with("type", r#""MMS""#),
        with("type", r#""SMS ""#),
        with("type", r#""sms""#),
        with("type", r#""Text""#),
        with("type", r#""""#),
        with("availability", r#""alive ""#),
        with("direction", r#"" INBOUND""#),
        with("subject", "'odd'"),
        good.replace(",\"", ",,\""),
        good.replace(",\"type", " \"type"),
        good.replace('}', ",}"),
        good.replace("\"subject\"", "'subject'"),
        good.replace("\"direction\"", "direction"),
    ];
    let unreadable = [
        with("direction", "NaN"),
        with("to", "[undefined]"),
        with("subject", r#""say "odd" now""#),
        with("type", r#""RCS""#),
        with("direction", r#""Sideways""#),
        good.replace("\"subject\":", "\"subject\" "),
        good.replace("\"subject\":", "7 \"subject\":"),
    ];
    let (page, texts) = beside(&[&read[..], &unreadable[..]].concat(), &now);
    sync_with(&world, &page).await;
    let stored = inbound(&world).await;
    assert!(texts.iter().all(|text| stored.contains(text)), "{stored:?}");
    assert_eq!(stored.iter().filter(|text| *text == "odd").count(), read.len(), "{stored:?}");
    assert_eq!(stored.len(), texts.len() + read.len());
    assert_eq!(listed(&world, "?limit=100&kind=message_record").await.len(), unreadable.len());
    // The text is not listed among the media.
    let list = world.get("/v1/sms/messages?limit=100", &world.tenant().key).await.expect(200).json();
    assert!(list["messages"].as_array().unwrap().iter().all(|one| one["kind"] != "mms"), "{list}");
    // Faxes and voicemails are not messages.
    let others: Vec<_> =
        ["Fax", "VoiceMail", "pager"].map(|kind| with("type", &format!("\"{kind}\""))).into();
    sync_with(&world, &beside(&others, &now).0).await;
    assert_eq!(inbound(&world).await, stored);
    assert_eq!(listed(&world, "?limit=100").await.len(), unreadable.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unescaped_quotation_mark_hides_no_neighbour_and_a_page_that_was_cut_off_is_read_again() {
    let world = World::start().await;
    connection(&world).await;
    world.advance(SYNC_INTERVAL).await;
    let token = async || {
        let rows = world.items("ConnectionsTable").await;
        rows.iter().find_map(|row| row["sync_token"]["S"].as_str().map(str::to_owned)).unwrap()
    };
    let now = crate::world::now(&world).await.to_string();
    let headers = json!({ "content-type": "application/json" });
    let good: Vec<_> = (0..3).map(|at| record(100 + at, &format!("text {at}"), &now).to_string()).collect();
    let whole = format!(r#"{{"records":[{}],"syncInfo":{{"syncToken":"next"}}}}"#, good.join(","));
    let before = token().await;
    for at in [1, 20, whole.len() / 3, whole.len() / 2, whole.len() - 30, whole.len() - 1] {
        let act = json!({ "status": 200, "headers": headers, "body": &whole[..at] });
        world.no_faults().await;
        world.sim_fault("/message-sync", None, act).await;
        world.advance(SYNC_INTERVAL).await;
        assert!(inbound(&world).await.is_empty(), "cut off at {at}");
        assert_eq!(token().await, before, "cut off at {at}");
    }
    assert!(listed(&world, "").await.is_empty());
    world.no_faults().await;
    let page: Vec<_> = good.iter().flat_map(|one| [one.clone(), one.replace("text", "5\" screen")]).collect();
    sync_with(&world, &page).await;
    assert_eq!(inbound(&world).await, ["text 0", "text 1", "text 2"]);
    assert_eq!(token().await, "next");
    assert_eq!(listed(&world, "?kind=message_record").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authentic_event_of_any_size_is_accepted() {
    let world = World::start().await;
    let row = connection(&world).await;
    let owner = row["extension"]["S"].clone();
    let event = |id: usize, text: &str, unused: &str| {
        json!({
            "uuid": "1", "event": "/restapi/v1.0/account/~/extension/~/message-store/instant?type=SMS",
            "ownerId": owner, "unused": unused,
            "body": { "id": id, "from": { "phoneNumber": THEM }, "to": [{ "phoneNumber": US, "target": true }],
                "type": "SMS", "direction": "Inbound", "subject": text },
        })
        .to_string()
    };
    let large = "x".repeat(300_000);
    for body in [event(1, &large, ""), "a".repeat(4_000_000), format!("{{{}", " ".repeat(1_000_000))] {
        let size = body.len();
        assert_eq!(post(&world, &row, "another", body.clone()).await, 401, "{size}");
        assert_eq!(post(&world, &row, TOKEN, body).await, 200, "{size}");
    }
    let quarantined = listed(&world, "?kind=event").await;
    assert_eq!(quarantined.len(), 3);
    for one in &quarantined {
        let path = format!("/v1/quarantine/{}", one["id"].as_str().unwrap());
        let shown = world.get(&path, &world.operator_key()).await.expect(200).json();
        assert_eq!((&shown["truncated"], shown["raw"].as_str().unwrap().len()), (&json!(true), 64 * 1024));
    }
    // What the event reported is found by a sync within a minute.
    let order = json!({ "from": THEM, "to": US, "text": "behind a large event", "deliver": false });
    world.sim(reqwest::Method::POST, "/_sim/inbound", Some(order)).await;
    world.advance(61).await;
    assert_eq!(inbound(&world).await, ["behind a large event"]);
    // A field that is not used may have any size.
    assert_eq!(post(&world, &row, TOKEN, event(2, "stored at once", &large)).await, 200);
    assert_eq!(inbound(&world).await, ["behind a large event", "stored at once"]);
    // A stranger's costs no call.
    world.idle().await;
    let position = world.calls_so_far().await;
    let url = format!(
        "{}/v1/webhooks/ringcentral?c=0123456789abcdef-0123456789abcdef-{}",
        world.gateway(),
        "0".repeat(32)
    );
    let request = world.http.post(url).header("verification-token", TOKEN).body(event(3, &large, ""));
    assert_eq!(request.send().await.unwrap().status(), 401);
    let calls = world.calls_since(position).await;
    assert!(calls.iter().all(|call| call["service"] != "dynamodb"), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_record_is_quarantined_once_and_again_after_it_was_deleted() {
    let world = World::start().await;
    let row = connection(&world).await;
    let event = |uuid: &str, id: usize, status: &str| {
        json!({
            "uuid": uuid, "event": "/restapi/v1.0/account/~/extension/~/message-store/instant?type=SMS",
            "ownerId": row["extension"]["S"], "timestamp": format!("2026-02-03T10:05:0{}Z", uuid.len()),
            "body": { "id": id, "to": [], "type": "SMS", "readStatus": status, "direction": "Inbound" },
        })
        .to_string()
    };
    let ids = async || {
        let mut ids: Vec<String> =
            listed(&world, "").await.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    for (uuid, id, status) in [("a", 1, "Unread"), ("b", 1, "Unread"), ("bb", 1, "Read"), ("c", 2, "Unread")]
    {
        assert_eq!(post(&world, &row, TOKEN, event(uuid, id, status)).await, 200);
    }
    let first = ids().await;
    assert_eq!(first.len(), 2);
    let path = format!("/v1/quarantine/{}", first[0]);
    world.call(reqwest::Method::DELETE, &path, &world.operator_key(), None).await.expect(200);
    for id in [1, 2] {
        assert_eq!(post(&world, &row, TOKEN, event("ddd", id, "Read")).await, 200);
    }
    assert_eq!(ids().await, first);
    // The same for a record of a sync.
    world.advance(SYNC_INTERVAL).await;
    let now = crate::world::now(&world).await.to_string();
    for (status, sizes) in [("Unread", 1), ("Read", 1)] {
        let mut odd = record(70, "odd", &now);
        odd["readStatus"] = json!(status);
        odd["lastModifiedTime"] = json!(crate::world::now(&world).await.to_string());
        odd["direction"] = Value::Null;
        sync_with(&world, &[odd.to_string()]).await;
        assert_eq!(listed(&world, "?kind=message_record").await.len(), sizes, "{status}");
    }
}
