//! The behaviours of the AWS engines that we rely on.

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
async fn a_failed_condition_says_so_and_can_show_the_item() {
    let world = World::start().await;
    let mut put = json!({ "TableName": TABLE, "Item": key("1"), "ConditionExpression": "attribute_not_exists(#t)",
        "ExpressionAttributeNames": { "#t": "tenant" } });
    assert_eq!(world.aws("DynamoDB_20120810.PutItem", &put).await.status, 200);
    put["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
    let refused = world.aws("DynamoDB_20120810.PutItem", &put).await;
    assert_eq!((refused.status, code(&refused.json())), (400, "ConditionalCheckFailedException"));
    assert_eq!(refused.json()["Item"]["item"]["S"], "1");
    let delete = json!({ "TableName": TABLE, "Key": key("1"), "ReturnValues": "ALL_OLD" });
    assert_eq!(
        world.aws("DynamoDB_20120810.DeleteItem", &delete).await.json()["Attributes"]["item"]["S"],
        "1"
    );
}

#[tokio::test]
async fn a_cancelled_transaction_gives_its_reasons_in_order() {
    let world = World::start().await;
    world.aws("DynamoDB_20120810.PutItem", &json!({ "TableName": TABLE, "Item": key("there") })).await;
    let absent = |item: &str| {
        json!({ "Put": { "TableName": TABLE, "Item": key(item), "ConditionExpression": "attribute_not_exists(#t)",
            "ExpressionAttributeNames": { "#t": "tenant" } } })
    };
    let transaction = json!({ "TransactItems": [absent("new"), absent("there")] });
    let refused = world.aws("DynamoDB_20120810.TransactWriteItems", &transaction).await.json();
    assert_eq!(code(&refused), "TransactionCanceledException");
    let reasons: Vec<&str> = refused["CancellationReasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["Code"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["None", "ConditionalCheckFailed"]);
    let get = json!({ "TableName": TABLE, "Key": key("new") });
    assert!(
        world.aws("DynamoDB_20120810.GetItem", &get).await.json().get("Item").is_none(),
        "all or nothing"
    );
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
async fn kms_binds_the_context_and_notices_tampering() {
    let world = World::start().await;
    let context = json!({ "purpose": "access", "tenant": "t1" });
    let made = world
        .aws(
            "TrentService.GenerateDataKey",
            &json!({
                "KeyId": "alias/ringbridge-local-vault", "KeySpec": "AES_256", "EncryptionContext": context,
            }),
        )
        .await
        .json();
    let blob = made["CiphertextBlob"].as_str().unwrap();
    let decrypt =
        |blob: &str, context: Value| json!({ "CiphertextBlob": blob, "EncryptionContext": context });
    let opened = world.aws("TrentService.Decrypt", &decrypt(blob, context.clone())).await.json();
    assert_eq!(opened["Plaintext"], made["Plaintext"]);
    assert_eq!(opened["KeyId"], made["KeyId"]);
    let other = json!({ "purpose": "refresh", "tenant": "t1" });
    let refused = world.aws("TrentService.Decrypt", &decrypt(blob, other)).await.json();
    assert_eq!(code(&refused), "InvalidCiphertextException");
    let swapped: String = blob
        .chars()
        .rev()
        .enumerate()
        .map(|(i, c)| if i == 8 { if c == 'A' { 'B' } else { 'A' } } else { c })
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    let refused = world.aws("TrentService.Decrypt", &decrypt(&swapped, context.clone())).await.json();
    assert_eq!(code(&refused), "InvalidCiphertextException");
    world.aws("TrentService.RotateKeyOnDemand", &json!({ "KeyId": made["KeyId"] })).await;
    let opened = world.aws("TrentService.Decrypt", &decrypt(blob, context)).await.json();
    assert_eq!(opened["Plaintext"], made["Plaintext"], "what was sealed before the rotation still opens");
    let unknown = world.aws("TrentService.DescribeKey", &json!({ "KeyId": "alias/none" })).await.json();
    assert_eq!(code(&unknown), "NotFoundException");
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
