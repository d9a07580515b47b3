//! Permissions: calls that a role of the template does not allow are rejected as AWS does.

use crate::test_stack::{TestStack, options, template};
use local::StackOptions;
use serde_json::{Value, json};

const TABLE: &str = "ringbridge-local-things";

fn item(operation: &str, tenant: &str) -> (String, Value) {
    let key = json!({ "tenant": { "S": tenant }, "item": { "S": "1" } });
    let field = if operation == "PutItem" { "Item" } else { "Key" };
    (format!("DynamoDB_20120810.{operation}"), json!({ "TableName": TABLE, field: key }))
}

async fn through(test: &TestStack, (target, input): (String, Value)) -> (u64, String) {
    let response = test.aws_through(&target, &input).await.json();
    let code = response["body"]["__type"]
        .as_str()
        .unwrap_or_default()
        .rsplit('#')
        .next()
        .unwrap_or_default()
        .to_owned();
    (response["status"].as_u64().unwrap(), code)
}

fn denied() -> (u64, String) {
    (400, "AccessDeniedException".to_owned())
}

fn allowed() -> (u64, String) {
    (200, String::new())
}

#[tokio::test]
async fn actions_resources_and_leading_keys_are_enforced() {
    let test = TestStack::start().await;
    assert_eq!(through(&test, item("GetItem", "acme")).await, allowed());
    assert_eq!(through(&test, item("GetItem", "other")).await, denied());
    assert_eq!(through(&test, item("DeleteItem", "acme")).await, denied());
    let scan = ("DynamoDB_20120810.Scan".to_owned(), json!({ "TableName": TABLE }));
    assert_eq!(through(&test, scan).await, denied());
    let secret =
        ("secretsmanager.GetSecretValue".to_owned(), json!({ "SecretId": "ringbridge-local/operator-key" }));
    assert_eq!(through(&test, secret).await, denied());
}

#[tokio::test]
async fn a_transaction_requires_the_permissions_of_all_its_parts() {
    let test = TestStack::start().await;
    let put =
        json!({ "Put": { "TableName": TABLE, "Item": { "tenant": { "S": "acme" }, "item": { "S": "1" } } } });
    let delete = json!({ "Delete": { "TableName": TABLE, "Key": { "tenant": { "S": "acme" }, "item": { "S": "2" } } } });
    let transact =
        |items: Value| ("DynamoDB_20120810.TransactWriteItems".to_owned(), json!({ "TransactItems": items }));
    assert_eq!(through(&test, transact(json!([put]))).await, allowed());
    assert_eq!(through(&test, transact(json!([put, delete]))).await, denied());
}

#[tokio::test]
async fn the_encryption_context_is_part_of_the_permission() {
    let test = TestStack::start().await;
    let generate = |purpose: &str| {
        let input = json!({
            "KeyId": "alias/ringbridge-local-vault", "KeySpec": "AES_256",
            "EncryptionContext": { "purpose": purpose },
        });
        ("TrentService.GenerateDataKey".to_owned(), input)
    };
    assert_eq!(through(&test, generate("access")).await, allowed());
    assert_eq!(through(&test, generate("refresh")).await, denied());
    let input = generate("refresh").1;
    let sealed = test.aws("TrentService.GenerateDataKey", &input).await.json();
    let decrypt =
        json!({ "CiphertextBlob": sealed["CiphertextBlob"], "EncryptionContext": { "purpose": "refresh" } });
    assert_eq!(through(&test, ("TrentService.Decrypt".to_owned(), decrypt)).await, denied());
    let without = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    assert_eq!(through(&test, ("TrentService.Decrypt".to_owned(), without)).await, denied());
}

#[tokio::test]
async fn a_permission_removed_from_the_template_is_denied() {
    let text = std::fs::read_to_string(template()).unwrap().replace("dynamodb:GetItem, ", "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    std::fs::write(&path, text).unwrap();
    let test = TestStack::with(StackOptions { template: path, ..options() }).await;
    assert_eq!(through(&test, item("GetItem", "acme")).await, denied());
    assert_eq!(through(&test, item("PutItem", "acme")).await, allowed());
    let log = test.aws_control("GET", "calls", &Value::Null).await.json();
    let rejected: Vec<&Value> = log["calls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|call| call["error"] == "AccessDeniedException")
        .collect();
    assert_eq!(rejected.len(), 1);
    assert_eq!(
        (rejected[0]["function"].as_str(), rejected[0]["operation"].as_str()),
        (Some("probe"), Some("GetItem"))
    );
}
