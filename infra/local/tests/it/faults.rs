//! The call log and the faults.

use crate::world::World;
use serde_json::{Value, json};

fn get_item() -> Value {
    json!({
        "TableName": "ringbridge-local-things",
        "Key": { "tenant": { "S": "acme" }, "item": { "S": "1" } },
    })
}

fn put_item() -> Value {
    json!({
        "TableName": "ringbridge-local-things",
        "Item": { "tenant": { "S": "acme" }, "item": { "S": "1" } },
    })
}

#[tokio::test]
async fn the_call_log_names_service_operation_table_and_function() {
    let world = World::start().await;
    let next = world.aws_control("GET", "calls", &Value::Null).await.json()["next"].as_u64().unwrap();
    world.aws_through("DynamoDB_20120810.GetItem", &get_item()).await;
    world.aws("TrentService.ListKeys", &json!({})).await;
    let log = world.aws_control("GET", &format!("calls?since={next}"), &Value::Null).await.json();
    let calls = log["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2, "{log}");
    assert_eq!(calls[0]["service"], "dynamodb");
    assert_eq!(calls[0]["operation"], "GetItem");
    assert_eq!(calls[0]["table"], "ringbridge-local-things");
    assert_eq!(calls[0]["function"], "probe");
    assert_eq!(calls[0]["status"], 200);
    assert_eq!(calls[1]["function"], Value::Null);
}

#[tokio::test]
async fn an_error_fault_answers_as_aws_and_counts() {
    let world = World::start().await;
    let fault = json!([{
        "match": { "service": "dynamodb", "operation": "GetItem", "table": "things", "function": "probe" },
        "times": 1,
        "do": { "error": "ThrottlingException", "status": 400 },
    }]);
    assert_eq!(world.aws_control("PUT", "faults", &fault).await.status, 200);
    assert_eq!(
        world.aws("DynamoDB_20120810.GetItem", &get_item()).await.status,
        200,
        "not this function's call"
    );
    let seen = world.aws_through("DynamoDB_20120810.GetItem", &get_item()).await.json();
    assert_eq!(
        (seen["status"].as_i64(), seen["body"]["__type"].as_str()),
        (Some(400), Some("ThrottlingException"))
    );
    let seen = world.aws_through("DynamoDB_20120810.GetItem", &get_item()).await.json();
    assert_eq!(seen["status"], 200);
    assert_eq!(world.aws_control("GET", "faults", &Value::Null).await.json()[0]["fired"], 1);
}

#[tokio::test]
async fn apply_then_drop_does_it_and_loses_the_answer() {
    let world = World::start().await;
    let fault = json!([{ "match": { "operation": "PutItem" }, "times": 1, "do": { "applyThenDrop": true } }]);
    world.aws_control("PUT", "faults", &fault).await;
    let seen = world.aws_through("DynamoDB_20120810.PutItem", &put_item()).await.json();
    assert_eq!(seen["status"], 0);
    let item = world.aws("DynamoDB_20120810.GetItem", &get_item()).await.json();
    assert_eq!(item["Item"]["item"]["S"], "1");
}

#[tokio::test]
async fn a_function_is_killed_at_the_call_that_the_fault_names() {
    let world = World::start().await;
    let fault = json!([{ "match": { "function": "probe" }, "skip": 1, "times": 1, "do": { "kill": true } }]);
    world.aws_control("PUT", "faults", &fault).await;
    assert_eq!(world.aws_through("DynamoDB_20120810.GetItem", &get_item()).await.status, 200);
    let killed = world.aws_through("DynamoDB_20120810.PutItem", &put_item()).await;
    assert_eq!(killed.status, 500);
    let item = world.aws("DynamoDB_20120810.GetItem", &get_item()).await.json();
    assert_eq!(item.get("Item"), None, "the call did nothing");
    assert_eq!(world.aws_through("DynamoDB_20120810.GetItem", &get_item()).await.status, 200);
}

#[tokio::test]
async fn a_fault_with_a_typo_is_refused_with_the_field() {
    let world = World::start().await;
    for (fault, error) in [
        (
            json!([{ "match": { "servce": "kms" }, "do": { "hang": true } }]),
            "[0].match.servce: unknown field",
        ),
        (
            json!([{ "match": { "service": "s3" }, "do": { "hang": true } }]),
            "[0].match.service: there is no service s3",
        ),
        (json!([{ "do": { "delay": 5 } }]), "[0].do.delay: unknown field"),
        (json!([{ "match": {} }]), "[0].do: is missing"),
        (json!([5]), "[0]: must be an object"),
        (
            json!([{ "do": { "hang": true, "delayMs": 5 } }]),
            "[0].do: needs one of error, delayMs, hang, applyThenDrop, kill",
        ),
        (json!([{ "do": {} }]), "[0].do: needs one of error, delayMs, hang, applyThenDrop, kill"),
        (json!([{ "do": { "hang": true, "status": 500 } }]), "[0].do.status: goes with error alone"),
        (json!([{ "do": { "error": "X", "status": 200 } }]), "[0].do.status: must be from 400 to 599"),
        (json!([{ "do": { "kill": "later" } }]), "[0].do.kill: must be true, \"before\" or \"after\""),
        (json!({}), "the body must be a list of faults"),
    ] {
        let seen = world.aws_control("PUT", "faults", &fault).await;
        assert_eq!((seen.status, seen.json()["error"].as_str()), (400, Some(error)));
    }
}

#[tokio::test]
async fn a_disabled_key_refuses_until_it_is_enabled() {
    let world = World::start().await;
    let encrypt = json!({ "KeyId": "alias/ringbridge-local-vault", "Plaintext": "aGk=" });
    let sealed = world.aws("TrentService.Encrypt", &encrypt).await.json();
    world.aws_control("POST", "kms/disable", &json!({})).await;
    let decrypt = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    let refused = world.aws("TrentService.Decrypt", &decrypt).await;
    assert_eq!((refused.status, refused.json()["__type"].as_str()), (400, Some("DisabledException")));
    world.aws_control("POST", "kms/enable", &json!({})).await;
    assert_eq!(world.aws("TrentService.Decrypt", &decrypt).await.json()["Plaintext"], "aGk=");
}

#[tokio::test]
async fn a_call_can_be_delayed_and_can_hang() {
    let world = World::start().await;
    let fault = json!([
        { "match": { "operation": "GetItem" }, "times": 1, "do": { "delayMs": 150 } },
        { "match": { "operation": "PutItem" }, "do": { "hang": true } },
    ]);
    world.aws_control("PUT", "faults", &fault).await;
    assert_eq!(world.aws_through("DynamoDB_20120810.GetItem", &get_item()).await.json()["status"], 200);
    let log = world.aws_control("GET", "calls", &Value::Null).await.json();
    let call =
        log["calls"].as_array().unwrap().iter().find(|call| call["operation"] == "GetItem").unwrap().clone();
    assert!(call["ms"].as_f64().unwrap() >= 150.0, "{call}");
    // The function waits for an answer that does not come, until its own timeout ends it.
    assert_eq!(world.aws_through("DynamoDB_20120810.PutItem", &put_item()).await.status, 500);
    world.aws_control("DELETE", "faults", &Value::Null).await;
    assert_eq!(world.aws_through("DynamoDB_20120810.PutItem", &put_item()).await.json()["status"], 200);
}
