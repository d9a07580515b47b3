//! Webhook events.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::receiver::{INSTANT, PATH, subscribed_receiver};
use crate::sms::{send, sms_body};
use crate::test_simulator::{self, EXTENSION};

const OWN: &str = "+14155550101";
const STORE: &str = "/restapi/v1.0/account/~/extension/~/message-store";

fn text(text: &str) -> Value {
    json!({"from": "+16505550111", "to": OWN, "text": text})
}

#[tokio::test]
async fn an_instant_event_has_the_content_of_the_message() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (receiver, id) = subscribed_receiver(&sim, &login.access, &[INSTANT]).await;
    let mut message = text("hello");
    message["media"] = json!([{"contentType": "image/jpeg"}]);
    let made = sim.control(Method::POST, "/inbound", message).await;
    sim.simulator.idle().await;
    let events = receiver.events();
    assert_eq!(events.len(), 1);
    let headers = &events[0].headers;
    assert_eq!(headers["verification-token"], "vt-1");
    assert_eq!(headers["content-type"], "application/json; charset=UTF-8");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("RingCentral-Webhook/"));
    let event = events[0].json();
    let user = sim.user(0);
    assert_eq!(
        event["event"],
        json!(INSTANT.replacen('~', &user.account_id, 1).replacen('~', &user.extension_id, 1))
    );
    assert_eq!((&event["subscriptionId"], &event["ownerId"]), (&json!(id), &json!(user.extension_id)));
    assert!(event["uuid"].as_str().unwrap().bytes().all(|b| b.is_ascii_digit()));
    let body = &event["body"];
    assert_eq!(body["id"], made["messageId"], "ids are strings in events");
    assert_eq!(
        (&body["subject"], &body["messageStatus"], &body["direction"]),
        (&json!("hello"), &json!("Received"), &json!("Inbound"))
    );
    assert_eq!((&body["to"][0]["phoneNumber"], &body["to"][0]["target"]), (&json!(OWN), &json!(true)));
    assert_eq!(body["from"]["phoneNumberInfo"]["nationalDestinationCode"], "650");
    assert_eq!(body["attachments"][0]["id"], body["id"]);
    assert_eq!(body["conversation"]["id"], made["conversationId"]);
    let uri = body["attachments"][1]["uri"].as_str().unwrap();
    let content = sim.http.get(uri).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(content.headers()["content-type"], "image/jpeg");
    let sent = sim.ledger_of("webhook_sent").await;
    assert_eq!((&sent[0]["status"], &sent[0]["subscriptionId"]), (&json!(200), &json!(id)));
    assert!(sent[0]["ms"].is_u64());
}

#[tokio::test]
async fn a_message_whose_event_is_lost_is_in_the_message_store() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (receiver, _) = subscribed_receiver(&sim, &login.access, &[INSTANT, STORE]).await;
    let mut message = text("lost");
    message["deliver"] = json!(false);
    sim.control(Method::POST, "/inbound", message).await;
    sim.simulator.idle().await;
    assert!(receiver.events().is_empty());
    let (_, list) = sim.get(&login.access, &format!("{EXTENSION}/message-store")).await;
    assert_eq!(list["records"][0]["subject"], "lost");
    sim.settings(json!({"hooks": {"drop": 1.0}})).await;
    sim.control(Method::POST, "/inbound", text("lost too")).await;
    sim.simulator.idle().await;
    assert!(receiver.events().is_empty());
    assert_eq!(sim.ledger_of("webhook_dropped").await.len(), 2, "the instant event and the store event");
}

#[tokio::test]
async fn events_can_be_duplicated_reordered_and_sent_with_a_wrong_token() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (receiver, _) = subscribed_receiver(&sim, &login.access, &[INSTANT]).await;
    sim.settings(json!({"hooks": {"duplicate": 1, "reorder": true, "wrongToken": true}})).await;
    sim.control(Method::POST, "/inbound", text("first")).await;
    sim.control(Method::POST, "/inbound", text("second")).await;
    sim.simulator.idle().await;
    let subjects: Vec<Value> =
        receiver.events().iter().map(|e| e.json()["body"]["subject"].clone()).collect();
    assert_eq!(subjects, ["second", "second", "first", "first"]);
    assert_eq!(receiver.events()[0].headers["verification-token"], "not-the-token");
    assert_eq!(receiver.events()[0].json()["uuid"], receiver.events()[1].json()["uuid"]);
}

#[tokio::test]
async fn message_store_events_have_counts() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (receiver, _) = subscribed_receiver(&sim, &login.access, &[STORE]).await;
    let (inbound, _) =
        subscribed_receiver(&sim, &login.access, &[&format!("{STORE}?type=SMS&direction=Inbound")]).await;
    let (fax, _) = subscribed_receiver(&sim, &login.access, &[&format!("{STORE}?type=Fax")]).await;
    let (_, sent) = send(&sim, &login.access, sms_body(OWN, &["+16505550111"], "x")).await;
    sim.simulator.advance(5);
    sim.simulator.idle().await;
    let mut changes: Vec<Value> =
        receiver.events().iter().map(|e| e.json()["body"]["changes"][0].clone()).collect();
    changes.sort_by_key(|c| c["newCount"].is_null());
    assert_eq!(changes.len(), 3, "new, sent, delivered");
    assert_eq!(changes[0]["newMessageIds"], json!([sent["id"]]));
    assert_eq!(changes[1]["updatedCount"], 1);
    assert!(inbound.events().is_empty() && fax.events().is_empty());
}

#[tokio::test]
async fn consecutive_failures_blacklist_a_subscription() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (receiver, id) = subscribed_receiver(&sim, &login.access, &[INSTANT]).await;
    sim.settings(json!({"blacklistAfterFailures": 3, "reactivateAfterSeconds": 900})).await;
    receiver.reply_with(StatusCode::NOT_FOUND);
    for _ in 0..2 {
        sim.control(Method::POST, "/inbound", text("x")).await;
        sim.simulator.idle().await;
    }
    receiver.reply_with(StatusCode::OK);
    sim.control(Method::POST, "/inbound", text("a success resets the count")).await;
    sim.simulator.idle().await;
    receiver.reply_with(StatusCode::NOT_FOUND);
    for _ in 0..4 {
        sim.control(Method::POST, "/inbound", text("x")).await;
        sim.simulator.idle().await;
    }
    assert_eq!(receiver.events().len(), 6, "nothing is sent to a blacklisted subscription");
    let (_, read) = sim.get(&login.access, &format!("{PATH}/{id}")).await;
    assert_eq!(read["status"], "Blacklisted");
    assert_eq!(read["blacklistedData"]["reason"], "Webhook responses with code: [404]");
    assert_eq!(sim.ledger_of("subscription_blacklisted").await.len(), 1);
    sim.simulator.advance(901);
    assert_eq!(sim.get(&login.access, &format!("{PATH}/{id}")).await.1["status"], "Active");
}

#[tokio::test]
async fn ten_minutes_of_failures_blacklist_a_subscription() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (receiver, id) = subscribed_receiver(&sim, &login.access, &[INSTANT]).await;
    receiver.reply_with(StatusCode::INTERNAL_SERVER_ERROR);
    for _ in 0..2 {
        sim.control(Method::POST, "/inbound", text("x")).await;
        sim.simulator.idle().await;
        sim.simulator.advance(601);
    }
    assert_eq!(sim.get(&login.access, &format!("{PATH}/{id}")).await.1["status"], "Blacklisted");
}

#[tokio::test]
async fn reminders_are_sent_before_expiry_and_not_after() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let reminder = "/restapi/v1.0/subscription/~?threshold=86400&interval=36000";
    let (receiver, _) = subscribed_receiver(&sim, &login.access, &[INSTANT, reminder]).await;
    sim.simulator.advance(604_800 - 86_400 - 100);
    sim.simulator.idle().await;
    assert!(receiver.events().is_empty());
    sim.simulator.advance(200_000);
    sim.simulator.idle().await;
    let mut left: Vec<i64> =
        receiver.events().iter().map(|e| e.json()["body"]["expiresIn"].as_i64().unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, [14_400, 50_400, 86_400]);
    assert_eq!(receiver.events()[0].json()["event"], reminder);
    sim.control(Method::POST, "/inbound", text("after expiry")).await;
    sim.simulator.idle().await;
    assert_eq!(receiver.events().len(), 3);
}

#[tokio::test]
async fn an_administrator_can_subscribe_for_others_and_an_excluding_filter_stops_events() {
    let sim = test_simulator::start().await;
    let admin = sim.log_in_as(1).await;
    let robin = sim.user(1).extension_id;
    let (own, _) = subscribed_receiver(&sim, &admin.access, &[INSTANT, &format!("!{INSTANT}")]).await;
    let dana = sim.log_in_as(0).await;
    let filter = format!("/restapi/v1.0/account/~/extension/{robin}/message-store/instant?type=SMS");
    let (others, _) = subscribed_receiver(&sim, &dana.access, &[&filter]).await;
    sim.control(
        Method::POST,
        "/inbound",
        json!({"from": "+16505550111", "to": "+14155550102", "text": "for Robin"}),
    )
    .await;
    sim.simulator.idle().await;
    assert_eq!(others.events()[0].json()["body"]["owner"]["extensionId"], json!(robin));
    assert_eq!(
        others.events()[0].json()["ownerId"],
        json!(sim.user(0).extension_id),
        "the owner of the subscription"
    );
    assert!(own.events().is_empty());
}

#[tokio::test]
async fn settings_change_the_shape_of_events() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (receiver, _) = subscribed_receiver(&sim, &login.access, &[INSTANT]).await;
    sim.settings(json!({"eventTokenHeader": "Validation-Token", "ownerIdInBody": true})).await;
    sim.control(Method::POST, "/inbound", text("x")).await;
    sim.simulator.idle().await;
    let event = &receiver.events()[0];
    assert_eq!(event.headers["validation-token"], "vt-1");
    assert!(event.json().get("ownerId").is_none());
    assert_eq!(event.json()["body"]["ownerId"], json!(sim.user(0).extension_id));
}

#[tokio::test]
async fn an_inbound_message_needs_a_number_that_can_receive_sms() {
    let sim = test_simulator::start().await;
    for (body, status) in [
        (json!({"from": "+16505550111", "to": "+19995550100", "text": "x"}), 404),
        (json!({"from": "+16505550111", "to": "+14155550103", "text": "x"}), 400),
        (json!({"from": "+16505550111", "to": OWN}), 400),
        (json!({"from": "+16505550111", "to": OWN, "txt": "x"}), 400),
        (json!({"from": "+16505550111", "to": ["+16505550112", OWN], "text": "group"}), 200),
        (json!({"from": "+16505550111", "to": "+14155550106", "text": "a call queue has a mailbox"}), 200),
    ] {
        let reply = sim.request(Method::POST, "/_sim/inbound").json(&body).send().await.unwrap();
        assert_eq!(reply.status(), status, "{body}");
    }
}
