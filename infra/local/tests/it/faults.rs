//! The call log and fault injection.

use crate::test_stack::TestStack;
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
    let test = TestStack::start().await;
    let next = test.aws_control("GET", "calls", &Value::Null).await.json()["next"].as_u64().unwrap();
    test.aws_through("DynamoDB_20120810.GetItem", &get_item()).await;
    test.aws("TrentService.ListKeys", &json!({})).await;
    let log = test.aws_control("GET", &format!("calls?since={next}"), &Value::Null).await.json();
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
async fn an_error_fault_responds_as_aws_and_is_counted() {
    let test = TestStack::start().await;
    let fault = json!([{
        "match": { "service": "dynamodb", "operation": "GetItem", "table": "things", "function": "probe" },
        "times": 1,
        "do": { "error": "ThrottlingException", "status": 400 },
    }]);
    assert_eq!(test.aws_control("PUT", "faults", &fault).await.status, 200);
    assert_eq!(
        test.aws("DynamoDB_20120810.GetItem", &get_item()).await.status,
        200,
        "the call of another caller"
    );
    let response = test.aws_through("DynamoDB_20120810.GetItem", &get_item()).await.json();
    assert_eq!(
        (response["status"].as_i64(), response["body"]["__type"].as_str()),
        (Some(400), Some("ThrottlingException"))
    );
    let response = test.aws_through("DynamoDB_20120810.GetItem", &get_item()).await.json();
    assert_eq!(response["status"], 200);
    assert_eq!(test.aws_control("GET", "faults", &Value::Null).await.json()[0]["fired"], 1);
}

#[tokio::test]
async fn apply_then_drop_applies_the_call_and_drops_the_response() {
    let test = TestStack::start().await;
    let fault = json!([{ "match": { "operation": "PutItem" }, "times": 1, "do": { "applyThenDrop": true } }]);
    test.aws_control("PUT", "faults", &fault).await;
    let response = test.aws_through("DynamoDB_20120810.PutItem", &put_item()).await.json();
    assert_eq!(response["status"], 0);
    let item = test.aws("DynamoDB_20120810.GetItem", &get_item()).await.json();
    assert_eq!(item["Item"]["item"]["S"], "1");
}

#[tokio::test]
async fn a_kill_fault_kills_the_calling_function() {
    let test = TestStack::start().await;
    let fault = json!([{ "match": { "function": "probe" }, "skip": 1, "times": 1, "do": { "kill": true } }]);
    test.aws_control("PUT", "faults", &fault).await;
    assert_eq!(test.aws_through("DynamoDB_20120810.GetItem", &get_item()).await.status, 200);
    let killed = test.aws_through("DynamoDB_20120810.PutItem", &put_item()).await;
    assert_eq!(killed.status, 500);
    let item = test.aws("DynamoDB_20120810.GetItem", &get_item()).await.json();
    assert_eq!(item.get("Item"), None, "the call was not applied");
    assert_eq!(test.aws_through("DynamoDB_20120810.GetItem", &get_item()).await.status, 200);
}

#[tokio::test]
async fn an_invalid_fault_is_rejected_with_its_field() {
    let test = TestStack::start().await;
    for (fault, error) in [
        (
            json!([{ "match": { "servce": "kms" }, "do": { "hang": true } }]),
            "[0].match.servce: unknown field",
        ),
        (
            json!([{ "match": { "service": "ec2" }, "do": { "hang": true } }]),
            "[0].match.service: unknown service ec2",
        ),
        (json!([{ "do": { "delay": 5 } }]), "[0].do.delay: unknown field"),
        (json!([{ "match": {} }]), "[0].do: is required"),
        (json!([5]), "[0]: must be an object"),
        (
            json!([{ "do": { "hang": true, "delayMs": 5 } }]),
            "[0].do: needs one of error, delayMs, hang, applyThenDrop, kill",
        ),
        (json!([{ "do": {} }]), "[0].do: needs one of error, delayMs, hang, applyThenDrop, kill"),
        (json!([{ "do": { "hang": true, "status": 500 } }]), "[0].do.status: is allowed with error only"),
        (json!([{ "do": { "error": "X", "status": 200 } }]), "[0].do.status: must be from 400 to 599"),
        (json!([{ "do": { "kill": "later" } }]), "[0].do.kill: must be true, \"before\" or \"after\""),
        (json!({}), "the body must be a list of faults"),
    ] {
        let response = test.aws_control("PUT", "faults", &fault).await;
        assert_eq!((response.status, response.json()["error"].as_str()), (400, Some(error)));
    }
}

#[tokio::test]
async fn a_disabled_key_fails_until_it_is_enabled() {
    let test = TestStack::start().await;
    let encrypt = json!({ "KeyId": "alias/ringbridge-local-vault", "Plaintext": "aGk=" });
    let sealed = test.aws("TrentService.Encrypt", &encrypt).await.json();
    test.aws_control("POST", "kms/disable", &json!({})).await;
    let decrypt = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    let rejected = test.aws("TrentService.Decrypt", &decrypt).await;
    assert_eq!((rejected.status, rejected.json()["__type"].as_str()), (400, Some("DisabledException")));
    test.aws_control("POST", "kms/enable", &json!({})).await;
    assert_eq!(test.aws("TrentService.Decrypt", &decrypt).await.json()["Plaintext"], "aGk=");
}

#[tokio::test]
async fn calls_can_be_delayed_and_can_hang() {
    let test = TestStack::start().await;
    let fault = json!([
        { "match": { "operation": "GetItem" }, "times": 1, "do": { "delayMs": 150 } },
        { "match": { "operation": "PutItem" }, "do": { "hang": true } },
    ]);
    test.aws_control("PUT", "faults", &fault).await;
    assert_eq!(test.aws_through("DynamoDB_20120810.GetItem", &get_item()).await.json()["status"], 200);
    let log = test.aws_control("GET", "calls", &Value::Null).await.json();
    let call =
        log["calls"].as_array().unwrap().iter().find(|call| call["operation"] == "GetItem").unwrap().clone();
    assert!(call["ms"].as_f64().unwrap() >= 150.0, "{call}");
    // The function waits for the response until its timeout.
    assert_eq!(test.aws_through("DynamoDB_20120810.PutItem", &put_item()).await.status, 500);
    test.aws_control("DELETE", "faults", &Value::Null).await;
    assert_eq!(test.aws_through("DynamoDB_20120810.PutItem", &put_item()).await.json()["status"], 200);
}
