//! TTL and secrets. The other behaviours of the AWS services are in `contract.rs`.

use crate::test_stack::TestStack;
use serde_json::{Value, json};

const TABLE: &str = "ringbridge-local-things";

fn key(item: &str) -> Value {
    json!({ "tenant": { "S": "acme" }, "item": { "S": item } })
}

fn code(response: &Value) -> &str {
    response["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default()
}

#[tokio::test]
async fn items_expire_by_the_clock_of_the_stack() {
    let test = TestStack::start().await;
    let now = test.stack.clock().now().as_second();
    for (item, ttl) in [
        ("soon", json!({ "N": (now + 60).to_string() })),
        ("later", json!({ "N": (now + 86_400).to_string() })),
        ("text", json!({ "S": "1" })),
    ] {
        let mut whole = key(item);
        whole["ttl"] = ttl;
        test.aws("DynamoDB_20120810.PutItem", &json!({ "TableName": TABLE, "Item": whole })).await;
    }
    test.post("/_local/clock", &json!({ "advanceSeconds": 3600 })).await;
    let left = test.aws("DynamoDB_20120810.Scan", &json!({ "TableName": TABLE })).await.json();
    let mut left: Vec<&str> =
        left["Items"].as_array().unwrap().iter().map(|i| i["item"]["S"].as_str().unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, ["later", "text"]);
}

#[tokio::test]
async fn secrets_are_found_by_name_and_by_arn() {
    let test = TestStack::start().await;
    let by_name = test
        .aws("secretsmanager.GetSecretValue", &json!({ "SecretId": "ringbridge-local/operator-key" }))
        .await
        .json();
    assert_eq!(by_name["SecretString"].as_str(), test.stack.info().operator_key.as_deref());
    let by_arn =
        test.aws("secretsmanager.GetSecretValue", &json!({ "SecretId": by_name["ARN"] })).await.json();
    assert_eq!(by_arn["SecretString"], by_name["SecretString"]);
    let none = test.aws("secretsmanager.GetSecretValue", &json!({ "SecretId": "none" })).await.json();
    assert_eq!(code(&none), "ResourceNotFoundException");
}
