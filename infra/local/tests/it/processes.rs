//! Function processes: frozen between invocations, limited in number, ended with the stack.

use crate::test_stack::{TestStack, read, state, until};
use serde_json::{Value, json};
use std::time::Duration;

async fn calls(test: &TestStack) -> u64 {
    test.aws_control("GET", "calls", &Value::Null).await.json()["next"].as_u64().unwrap()
}

#[tokio::test]
async fn background_work_stops_after_the_response() {
    let test = TestStack::start().await;
    let pid = test.get("/probe?do=count").await.json()["pid"].as_i64().unwrap();
    test.get("/probe?do=leave").await;
    test.stack.wait_until_idle().await;
    // A signalled process stops when the kernel next runs it.
    until(|| state(pid) == Some('T')).await;
    let before = calls(&test).await;
    // These requests take time in which the background work could continue.
    for _ in 0..20 {
        test.get("/nowhere").await;
        test.aws("TrentService.GenerateRandom", &json!({ "NumberOfBytes": 1 })).await;
    }
    let response = test.aws_control("GET", &format!("calls?since={before}"), &Value::Null).await.json();
    let left: Vec<&Value> =
        response["calls"].as_array().unwrap().iter().filter(|call| call["operation"] == "ListKeys").collect();
    // One call may have been in progress when the process was stopped.
    assert!(left.len() <= 1, "{} calls from a frozen process", left.len());
}

#[tokio::test]
async fn stopping_the_stack_ends_every_process() {
    let test = TestStack::start().await;
    let idle = test.get("/probe?do=count").await.json()["pid"].as_i64().unwrap();
    let busy = test.get("/quick?do=count").await.json()["pid"].as_i64().unwrap();
    let functions = test.stack.functions().unwrap().clone();
    let hang = json!({ "requestContext": {}, "queryStringParameters": { "do": "hang" } });
    let hanging = functions.invoke("quick", hang.to_string().into(), Duration::from_secs(5));
    let stopping = async {
        until(|| state(busy) != Some('T')).await;
        test.stack.stop().await.unwrap();
    };
    let (result, ()) = futures_util::join!(hanging, stopping);
    assert!(result.is_err());
    for pid in [idle, busy] {
        until(|| matches!(state(pid), None | Some('Z'))).await;
    }
}

/// The numbers that a function printed after a word.
fn printed(test: &TestStack, function: &str, word: &str) -> Vec<i64> {
    let logged = test.stack.logs().since(0);
    let lines = logged["lines"].as_array().unwrap().iter().filter(|line| line["function"] == function);
    lines.filter_map(|line| line["line"].as_str()?.strip_prefix(word)?.trim().parse().ok()).collect()
}

#[tokio::test]
async fn a_function_that_does_not_finish_its_initialization_is_killed() {
    let test = TestStack::start().await;
    let response = test.get("/looping").await;
    assert_eq!((response.status, response.text.as_str()), (500, r#"{"message":"Internal Server Error"}"#));
    let logged = test.stack.logs().since(0).to_string();
    assert!(logged.contains("initialization took longer than 10 seconds"), "{logged}");
    let pids = printed(&test, "looping", "looping");
    assert_eq!(pids.len(), 1);
    until(|| matches!(state(pids[0]), None | Some('Z'))).await;
    assert_eq!(test.get("/probe").await.status, 200);
}

#[tokio::test]
async fn at_its_reserved_concurrency_a_function_is_throttled_at_once() {
    let test = TestStack::start().await;
    let (url, release) = waiting_requests(&test, "few");
    let two = futures_util::future::join_all((0..2).map(|_| read(test.client.get(url.clone()))));
    let observe = async {
        until(|| printed(&test, "few", "waiting").len() == 2).await;
        let throttled = read(test.client.get(url.clone())).await;
        assert_eq!(
            (throttled.status, throttled.text.as_str()),
            (503, r#"{"message":"Service Unavailable"}"#)
        );
        let functions = test.stack.functions().unwrap();
        let throttled = functions.invoke("few", "{}".into(), Duration::from_secs(29)).await;
        assert!(matches!(throttled, Err(local::InvocationError::NoCapacity)), "{throttled:?}");
        // An asynchronous invocation is repeated when an instance is free.
        let name = "ringbridge-local-few";
        let invocation = format!("{}/2015-03-31/functions/{name}/invocations", test.stack.info().aws());
        let event = json!({ "late": true }).to_string();
        let accepted =
            read(test.client.post(invocation).header("x-amz-invocation-type", "Event").body(event)).await;
        assert_eq!(accepted.status, 202);
        assert_eq!(test.aws("DynamoDB_20120810.PutItem", &release).await.status, 200);
    };
    let (responses, ()) = futures_util::join!(two, observe);
    assert!(responses.iter().all(|response| response.status == 200), "both are handled");
    assert_eq!(test.post("/_local/clock", &json!({ "advanceSeconds": 600 })).await.status, 200);
    assert!(test.events().contains(&json!({ "late": true })));
    // No response is throttled by the request before it.
    for _ in 0..5 {
        assert_eq!(read(test.client.get(url.clone())).await.status, 200);
    }
}

#[tokio::test]
async fn requests_over_the_limit_of_this_machine_wait_for_a_free_instance() {
    let test = TestStack::start().await;
    let limit = local::DEFAULT_INSTANCES;
    let (url, release) = waiting_requests(&test, "probe");
    let requests = futures_util::future::join_all((0..limit + 2).map(|_| read(test.client.get(url.clone()))));
    let observe = async {
        until(|| printed(&test, "probe", "waiting").len() == limit).await;
        // All call DynamoDB a few more times, and still no further instance starts.
        let before = calls(&test).await;
        while calls(&test).await < before + 20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(printed(&test, "probe", "waiting").len(), limit, "the others wait");
        let functions = test.stack.functions().unwrap();
        let rejected = functions.invoke("probe", "{}".into(), Duration::from_millis(1)).await;
        assert!(matches!(rejected, Err(local::InvocationError::NoCapacity)), "{rejected:?}");
        assert_eq!(test.aws("DynamoDB_20120810.PutItem", &release).await.status, 200);
    };
    let (responses, ()) = futures_util::join!(requests, observe);
    assert!(responses.iter().all(|response| response.status == 200), "all are handled");
    let pids: std::collections::BTreeSet<i64> =
        responses.iter().map(|response| response.json()["pid"].as_i64().unwrap()).collect();
    assert!(pids.len() <= limit, "by no more than {limit} instances: {pids:?}");
}

/// A URL whose requests wait until an item exists, and the input of `PutItem` that creates it.
fn waiting_requests(test: &TestStack, function: &str) -> (url::Url, Value) {
    let key = json!({ "tenant": { "S": "acme" }, "item": { "S": "open" } });
    let input = json!({ "TableName": "ringbridge-local-things", "Key": key });
    let mut url = url::Url::parse(&format!("{}/{function}", test.stack.info().gateway())).unwrap();
    url.query_pairs_mut().append_pair("do", "await").append_pair("input", &input.to_string());
    (url, json!({ "TableName": "ringbridge-local-things", "Item": key }))
}

#[tokio::test]
async fn functions_are_invoked_by_name_and_their_errors_are_reported() {
    let test = TestStack::start().await;
    let invoke = |name: &str, kind: &'static str, event: Value| {
        let url = format!("{}/2015-03-31/functions/{name}/invocations", test.stack.info().aws());
        read(test.client.post(url).header("x-amz-invocation-type", kind).body(event.to_string()))
    };
    let response = invoke("ringbridge-local-probe", "RequestResponse", json!({ "a": 1 })).await;
    assert_eq!((response.status, response.json()["saw"]["a"].as_i64()), (200, Some(1)));
    let failed = invoke("ringbridge-local-probe", "RequestResponse", json!({ "do": "fail" })).await;
    assert_eq!((failed.status, failed.headers["x-amz-function-error"].to_str().unwrap()), (200, "Unhandled"));
    assert_eq!(failed.json()["errorMessage"], "failure requested");
    let accepted = invoke(
        "arn:aws:lambda:us-east-1:000000000000:function:ringbridge-local-probe",
        "Event",
        json!({ "b": 2 }),
    )
    .await;
    assert_eq!(accepted.status, 202);
    test.stack.wait_until_idle().await;
    assert!(test.events().contains(&json!({ "b": 2 })));
    assert_eq!(invoke("none", "RequestResponse", json!({})).await.status, 404);
}
