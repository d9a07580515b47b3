//! Least privilege: what a role of the template does not allow is refused as AWS would.

use crate::world::{World, options, template};
use local::Options;
use serde_json::{Value, json};

const TABLE: &str = "ringbridge-local-things";

fn item(operation: &str, tenant: &str) -> (String, Value) {
    let key = json!({ "tenant": { "S": tenant }, "item": { "S": "1" } });
    let field = if operation == "PutItem" { "Item" } else { "Key" };
    (format!("DynamoDB_20120810.{operation}"), json!({ "TableName": TABLE, field: key }))
}

async fn through(world: &World, (target, input): (String, Value)) -> (u64, String) {
    let seen = world.aws_through(&target, &input).await.json();
    let code =
        seen["body"]["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
    (seen["status"].as_u64().unwrap(), code)
}

fn denied() -> (u64, String) {
    (400, "AccessDeniedException".to_owned())
}

fn allowed() -> (u64, String) {
    (200, String::new())
}

#[tokio::test]
async fn actions_resources_and_leading_keys_are_enforced() {
    let world = World::start().await;
    assert_eq!(through(&world, item("GetItem", "acme")).await, allowed());
    assert_eq!(through(&world, item("GetItem", "other")).await, denied());
    assert_eq!(through(&world, item("DeleteItem", "acme")).await, denied());
    let scan = ("DynamoDB_20120810.Scan".to_owned(), json!({ "TableName": TABLE }));
    assert_eq!(through(&world, scan).await, denied());
    let secret =
        ("secretsmanager.GetSecretValue".to_owned(), json!({ "SecretId": "ringbridge-local/operator-key" }));
    assert_eq!(through(&world, secret).await, denied());
}

#[tokio::test]
async fn a_transaction_needs_every_right_of_its_parts() {
    let world = World::start().await;
    let put =
        json!({ "Put": { "TableName": TABLE, "Item": { "tenant": { "S": "acme" }, "item": { "S": "1" } } } });
    let delete = json!({ "Delete": { "TableName": TABLE, "Key": { "tenant": { "S": "acme" }, "item": { "S": "2" } } } });
    let transact =
        |items: Value| ("DynamoDB_20120810.TransactWriteItems".to_owned(), json!({ "TransactItems": items }));
    assert_eq!(through(&world, transact(json!([put]))).await, allowed());
    assert_eq!(through(&world, transact(json!([put, delete]))).await, denied());
}

#[tokio::test]
async fn an_encryption_context_is_part_of_the_right() {
    let world = World::start().await;
    let generate = |purpose: &str| {
        let input = json!({
            "KeyId": "alias/ringbridge-local-vault", "KeySpec": "AES_256",
            "EncryptionContext": { "purpose": purpose },
        });
        ("TrentService.GenerateDataKey".to_owned(), input)
    };
    assert_eq!(through(&world, generate("access")).await, allowed());
    assert_eq!(through(&world, generate("refresh")).await, denied());
    let input = generate("refresh").1;
    let sealed = world.aws("TrentService.GenerateDataKey", &input).await.json();
    let decrypt =
        json!({ "CiphertextBlob": sealed["CiphertextBlob"], "EncryptionContext": { "purpose": "refresh" } });
    assert_eq!(through(&world, ("TrentService.Decrypt".to_owned(), decrypt)).await, denied());
    let without = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    assert_eq!(through(&world, ("TrentService.Decrypt".to_owned(), without)).await, denied());
}

#[tokio::test]
async fn a_right_taken_from_the_template_is_missed_by_exactly_that_function() {
    let text = std::fs::read_to_string(template()).unwrap().replace("dynamodb:GetItem, ", "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    std::fs::write(&path, text).unwrap();
    let world = World::with(Options { template: path, ..options() }).await;
    assert_eq!(through(&world, item("GetItem", "acme")).await, denied());
    assert_eq!(through(&world, item("PutItem", "acme")).await, allowed());
    let log = world.aws_control("GET", "calls", &Value::Null).await.json();
    let refused: Vec<&Value> = log["calls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|call| call["error"] == "AccessDeniedException")
        .collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(
        (refused[0]["function"].as_str(), refused[0]["operation"].as_str()),
        (Some("probe"), Some("GetItem"))
    );
}
