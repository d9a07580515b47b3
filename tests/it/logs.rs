//! The log: the cause of a failure is found by the id of the request or the message.

use serde_json::{Value, json};

use crate::delivery::{app, until};
use crate::receiver::{Behaviour, WebhookEndpoint};
use crate::send::{accept, connected, send, until_settled};
use crate::world::{HOUR, World, use_token};

/// The log lines whose field has a value.
fn lines(world: &World, field: &str, value: &str) -> Vec<Value> {
    let lines = world.log();
    let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter(|line| line[field] == value).collect()
}

/// The first of these lines that has a field.
#[track_caller]
fn with_field<'a>(lines: &'a [Value], field: &str) -> &'a Value {
    let found: Vec<&Value> = lines.iter().filter(|line| !line[field].is_null()).collect();
    assert!(!found.is_empty(), "no line has {field}: {lines:?}");
    found[0]
}

#[tokio::test]
async fn the_cause_of_a_refused_request_is_found_by_its_id() {
    let (world, tenant, _) = connected().await;
    let page = world.get("/v1/rc/connect?token=wst_unknown", "").await.expect(404);
    assert_eq!(page.reference(), page.header("x-request-id"), "the page's reference is the request id");
    let logged = lines(&world, "request.id", page.reference());
    let line = with_field(&logged, "code");
    assert_eq!((&line["code"], &line["route"]), (&json!(page.page_code()), &json!("GET /v1/rc/connect")));
    assert_eq!(line["status"], 404);

    let fields = json!({ "to": "+16505550111", "from": "+14155550199", "body": "No such sender" });
    let refused = send(&world, &tenant, fields).await;
    let body = refused.json();
    let logged = lines(&world, "request.id", body["requestId"].as_str().unwrap());
    let line = with_field(&logged, "code");
    assert_eq!((&line["code"], &line["tenant.id"]), (&body["code"], &json!(tenant.id)));
    assert_eq!(line["route"], "POST /v1/sms/send");
}

#[tokio::test]
async fn the_cause_of_a_failed_refresh_is_found_by_the_id_of_the_request_that_needed_it() {
    let (world, tenant, _) = connected().await;
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    world.advance(HOUR).await;
    world.sim_fault("/restapi/oauth/token", Some(1), json!({ "status": 502, "body": {} })).await;
    let failed = use_token(&world, &tenant).await.expect(503).json();
    let id = failed["requestId"].as_str().unwrap();
    let line = lines(&world, "request.id", id);
    assert_eq!(with_field(&line, "error")["tenant.id"], tenant.id.as_str());
    let cause = lines(&world, "caller.request.id", id);
    let cause = with_field(&cause, "error");
    assert!(cause["error"].as_str().unwrap().contains("502"), "{cause}");
    assert_eq!(cause["tenant.id"], tenant.id.as_str());
    assert!(cause["request.id"].is_string() && cause["function"].is_string(), "{cause}");
}

#[tokio::test]
async fn the_cause_of_a_rejected_message_is_found_by_its_id() {
    let (world, tenant, from) = connected().await;
    let error = json!({ "errorCode": "MSG-243", "message": "no", "errors": [{ "errorCode": "MSG-243" }] });
    world.sim_fault("/sms", Some(1), json!({ "status": 400, "body": error })).await;
    let id = accept(&world, &tenant, &from, "Rejected").await;
    until_settled(&world, &tenant, &id).await;
    let logged = lines(&world, "message.id", &id);
    let completed = logged.iter().find(|line| line["message"] == "request completed");
    let completed = completed.expect("the request that accepted the message");
    assert_eq!((&completed["route"], &completed["status"]), (&json!("POST /v1/sms/send"), &json!(202)));
    let rejected = with_field(&logged, "error");
    assert!(rejected["error"].as_str().unwrap().contains("MSG-243"), "{rejected}");
    assert_eq!(rejected["tenant.id"], tenant.id.as_str());
    assert!(rejected["request.id"].is_string() && rejected["sqs.message.id"].is_string(), "{rejected}");
}

#[tokio::test]
async fn the_cause_of_a_failed_delivery_is_found_by_the_id_of_its_message() {
    let (world, tenant, from) = connected().await;
    let receiver = WebhookEndpoint::start().await;
    receiver.behave("/hook", Behaviour::Status(500));
    let fields = json!({ "webhookUrl": receiver.at("/hook"), "eventTypes": ["sms_status"] });
    app(&world, &tenant, fields).await;
    let id = accept(&world, &tenant, &from, "Not delivered").await;
    let attempts = || {
        let logged = lines(&world, "message.id", &id);
        logged.into_iter().filter(|line| !line["delivery.id"].is_null()).collect::<Vec<_>>()
    };
    until("a delivery was attempted", async || !attempts().is_empty()).await;
    let attempt = &attempts()[0];
    assert_eq!((&attempt["status"], &attempt["tenant.id"]), (&json!(500), &json!(tenant.id)));
    assert!(attempt["request.id"].is_string() && attempt["sqs.message.id"].is_string(), "{attempt}");
}
