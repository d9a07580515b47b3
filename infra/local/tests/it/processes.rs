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
