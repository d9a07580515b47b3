//! What the AWS engines do with the stack's own clock and secrets; the rest is in the contract.

use crate::world::World;
use serde_json::{Value, json};

const TABLE: &str = "ringbridge-local-things";

fn key(item: &str) -> Value {
    json!({ "tenant": { "S": "acme" }, "item": { "S": item } })
}

fn code(answer: &Value) -> &str {
    answer["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default()
}

#[tokio::test]
async fn ttl_deletes_by_the_clock_of_the_stack() {
    let world = World::start().await;
    let now = world.stack.clock().now().as_second();
    for (item, ttl) in [
        ("soon", json!({ "N": (now + 60).to_string() })),
        ("later", json!({ "N": (now + 86_400).to_string() })),
        ("text", json!({ "S": "1" })),
    ] {
        let mut whole = key(item);
        whole["ttl"] = ttl;
        world.aws("DynamoDB_20120810.PutItem", &json!({ "TableName": TABLE, "Item": whole })).await;
    }
    world.post("/_local/clock", &json!({ "advanceSeconds": 3600 })).await;
    let left = world.aws("DynamoDB_20120810.Scan", &json!({ "TableName": TABLE })).await.json();
    let mut left: Vec<&str> =
        left["Items"].as_array().unwrap().iter().map(|i| i["item"]["S"].as_str().unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, ["later", "text"]);
}

#[tokio::test]
async fn secrets_are_found_by_name_and_by_arn() {
    let world = World::start().await;
    let by_name = world
        .aws("secretsmanager.GetSecretValue", &json!({ "SecretId": "ringbridge-local/operator-key" }))
        .await
        .json();
    assert_eq!(by_name["SecretString"].as_str(), world.stack.info().operator_key.as_deref());
    let by_arn =
        world.aws("secretsmanager.GetSecretValue", &json!({ "SecretId": by_name["ARN"] })).await.json();
    assert_eq!(by_arn["SecretString"], by_name["SecretString"]);
    let none = world.aws("secretsmanager.GetSecretValue", &json!({ "SecretId": "none" })).await.json();
    assert_eq!(code(&none), "ResourceNotFoundException");
}
