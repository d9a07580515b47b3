//! What becomes of the function processes: frozen between invocations, called by each other, gone with the stack.

use crate::world::{World, read, state, until};
use serde_json::{Value, json};
use std::time::Duration;

async fn calls(world: &World) -> u64 {
    world.aws_control("GET", "calls", &Value::Null).await.json()["next"].as_u64().unwrap()
}

#[tokio::test]
async fn work_left_behind_after_an_answer_stands_still() {
    let world = World::start().await;
    let pid = world.get("/probe?do=count").await.json()["pid"].as_i64().unwrap();
    world.get("/probe?do=leave").await;
    world.stack.settle().await;
    // The signal was sent; a process stops when the kernel next runs it.
    until(|| state(pid) == Some('T')).await;
    let before = calls(&world).await;
    // Other requests to the stack take time in which the work would go on, if it could.
    for _ in 0..20 {
        world.get("/nowhere").await;
        world.aws("TrentService.GenerateRandom", &json!({ "NumberOfBytes": 1 })).await;
    }
    let seen = world.aws_control("GET", &format!("calls?since={before}"), &Value::Null).await.json();
    let left: Vec<&Value> =
        seen["calls"].as_array().unwrap().iter().filter(|call| call["operation"] == "ListKeys").collect();
    // One call may have been on its way when the process was stopped.
    assert!(left.len() <= 1, "{} calls from a frozen process", left.len());
}

#[tokio::test]
async fn stopping_the_stack_leaves_no_process() {
    let world = World::start().await;
    let idle = world.get("/probe?do=count").await.json()["pid"].as_i64().unwrap();
    let busy = world.get("/quick?do=count").await.json()["pid"].as_i64().unwrap();
    let functions = world.stack.functions().unwrap().clone();
    let hang = json!({ "requestContext": {}, "queryStringParameters": { "do": "hang" } });
    let hanging = functions.invoke("quick", hang.to_string().into(), Duration::from_secs(5));
    let stopping = async {
        until(|| state(busy) != Some('T')).await;
        world.stack.stop().await.unwrap();
    };
    let (answer, ()) = futures_util::join!(hanging, stopping);
    assert!(answer.is_err());
    for pid in [idle, busy] {
        until(|| matches!(state(pid), None | Some('Z'))).await;
    }
}

/// What a function printed after a word.
fn printed(world: &World, function: &str, word: &str) -> Vec<i64> {
    let logged = world.stack.logs().since(0);
    let lines = logged["lines"].as_array().unwrap().iter().filter(|line| line["function"] == function);
    lines.filter_map(|line| line["line"].as_str()?.strip_prefix(word)?.trim().parse().ok()).collect()
}

#[tokio::test]
async fn a_function_that_loops_at_its_start_is_killed_by_its_timeout() {
    let world = World::start().await;
    let seen = world.get("/looping").await;
    assert_eq!((seen.status, seen.text.as_str()), (500, r#"{"message":"Internal Server Error"}"#));
    let logged = world.stack.logs().since(0).to_string();
    assert!(logged.contains("initialising took longer than 10 seconds"), "{logged}");
    let pids = printed(&world, "looping", "looping");
    assert_eq!(pids.len(), 1);
    until(|| matches!(state(pids[0]), None | Some('Z'))).await;
    assert_eq!(world.get("/probe").await.status, 200);
}

#[tokio::test]
async fn requests_over_the_cap_wait_and_are_served_when_an_instance_is_free() {
    let world = World::start().await;
    let key = json!({ "tenant": { "S": "acme" }, "item": { "S": "open" } });
    let input = json!({ "TableName": "ringbridge-local-things", "Key": key });
    let mut url = url::Url::parse(&format!("{}/few", world.stack.info().gateway())).unwrap();
    url.query_pairs_mut().append_pair("do", "await").append_pair("input", &input.to_string());
    let requests = futures_util::future::join_all((0..6).map(|_| read(world.client.get(url.clone()))));
    let looking = async {
        until(|| printed(&world, "few", "waiting").len() == 2).await;
        // Both have asked DynamoDB a few times more, and still no third one is there.
        let before = calls(&world).await;
        while calls(&world).await < before + 20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(printed(&world, "few", "waiting").len(), 2, "the others wait");
        let functions = world.stack.functions().unwrap();
        let impatient = functions.invoke("few", "{}".into(), Duration::from_millis(1)).await;
        assert!(matches!(impatient, Err(local::Failure::Busy)), "{impatient:?}");
        let put = json!({ "TableName": "ringbridge-local-things", "Item": key });
        assert_eq!(world.aws("DynamoDB_20120810.PutItem", &put).await.status, 200);
    };
    let (seen, ()) = futures_util::join!(requests, looking);
    assert!(seen.iter().all(|seen| seen.status == 200), "all are served");
    let pids: std::collections::BTreeSet<i64> =
        seen.iter().map(|seen| seen.json()["pid"].as_i64().unwrap()).collect();
    assert!(pids.len() <= 2, "by no more than two instances: {pids:?}");
    assert_eq!(printed(&world, "few", "waiting").len(), 6);
}

#[tokio::test]
async fn functions_are_invoked_by_name_and_their_errors_are_marked() {
    let world = World::start().await;
    let invoke = |name: &str, kind: &'static str, event: Value| {
        let url = format!("{}/2015-03-31/functions/{name}/invocations", world.stack.info().aws());
        read(world.client.post(url).header("x-amz-invocation-type", kind).body(event.to_string()))
    };
    let seen = invoke("ringbridge-local-probe", "RequestResponse", json!({ "a": 1 })).await;
    assert_eq!((seen.status, seen.json()["saw"]["a"].as_i64()), (200, Some(1)));
    let failed = invoke("ringbridge-local-probe", "RequestResponse", json!({ "do": "fail" })).await;
    assert_eq!((failed.status, failed.headers["x-amz-function-error"].to_str().unwrap()), (200, "Unhandled"));
    assert_eq!(failed.json()["errorMessage"], "told to fail");
    let accepted = invoke(
        "arn:aws:lambda:us-east-1:000000000000:function:ringbridge-local-probe",
        "Event",
        json!({ "b": 2 }),
    )
    .await;
    assert_eq!(accepted.status, 202);
    world.stack.settle().await;
    assert!(world.events().contains(&json!({ "b": 2 })));
    assert_eq!(invoke("none", "RequestResponse", json!({})).await.status, 404);
}
