//! State between runs, and the lock of the data folder.

use crate::test_stack::{TestStack, options};
use local::{DataLocation, Stack, StackOptions, StackParts};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn in_folder(folder: &Path) -> StackOptions {
    StackOptions { data: DataLocation::Folder(folder.join("data")), ..options() }
}

async fn failing_start(options: StackOptions) -> String {
    match Stack::start(options).await {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test]
async fn tables_keys_secrets_schedules_and_the_clock_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStack::with(in_folder(folder.path())).await;
    let put = json!({
        "TableName": "ringbridge-local-things",
        "Item": { "tenant": { "S": "acme" }, "item": { "S": "kept" } },
    });
    assert_eq!(test.aws("DynamoDB_20120810.PutItem", &put).await.status, 200);
    let encrypt = json!({ "KeyId": "alias/ringbridge-local-vault", "Plaintext": "aGk=" });
    let sealed = test.aws("TrentService.Encrypt", &encrypt).await.json();
    test.post("/_local/clock", &json!({ "advanceSeconds": 100 })).await;
    let first = test.stack.info().clone();
    test.stack.stop().await.unwrap();

    let test = TestStack::with(in_folder(folder.path())).await;
    let get = json!({
        "TableName": "ringbridge-local-things",
        "Key": { "tenant": { "S": "acme" }, "item": { "S": "kept" } },
    });
    assert_eq!(test.aws("DynamoDB_20120810.GetItem", &get).await.json()["Item"]["item"]["S"], "kept");
    let decrypt = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    assert_eq!(test.aws("TrentService.Decrypt", &decrypt).await.json()["Plaintext"], "aGk=");
    assert_eq!(test.stack.info().operator_key, first.operator_key);
    assert_eq!(test.stack.info().rc["clientSecret"], first.rc["clientSecret"]);
    assert_eq!(test.stack.clock().offset_seconds(), 100);
}

#[tokio::test]
async fn only_the_owner_can_read_stack_json() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStack::with(in_folder(folder.path())).await;
    let file = folder.path().join("data/stack.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(written["gateway"], test.stack.info().gateway());
    assert_eq!(written["operatorKey"].as_str().unwrap().len(), 48);
}

#[tokio::test]
async fn a_second_stack_on_a_folder_is_rejected_with_the_pid_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let _world = TestStack::with(in_folder(folder.path())).await;
    let error = failing_start(in_folder(folder.path())).await;
    assert!(error.ends_with(&format!("in use by the stack with pid {}", std::process::id())), "{error}");
}

#[tokio::test]
async fn a_damaged_folder_is_reported_in_one_line_with_the_remedy() {
    for file in [
        "dynamodb.sqlite",
        "kms.json",
        "secrets.json",
        "schedules.json",
        "queues.json",
        "streams.json",
        "s3.json",
        "clock.json",
        "stack.json",
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data").join(file), "not what it should be ".repeat(200)).unwrap();
        let error = failing_start(in_folder(folder.path())).await;
        assert!(error.contains("cannot be restored") && error.contains("; delete "), "{file}: {error}");
        assert!(!error.contains('\n'), "{file}: {error}");
    }
}

#[tokio::test]
async fn a_requested_port_that_is_in_use_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = failing_start(StackOptions { ports: Some((port, 0, 0)), ..options() }).await;
    assert!(error.starts_with(&format!("port {port} cannot be used")), "{error}");
}

#[tokio::test]
async fn parts_run_separately() {
    let test = TestStack::with(StackOptions { parts: StackParts::AwsOnly, ..options() }).await;
    assert!(test.stack.info().gateway.is_none() && test.stack.info().ringcentral.is_none());
    assert_eq!(test.aws("TrentService.ListKeys", &json!({})).await.status, 200);
    let test = TestStack::with(StackOptions { parts: StackParts::SimulatorOnly, ..options() }).await;
    assert!(test.stack.info().gateway.is_none() && test.stack.info().aws.is_none());
    assert!(test.stack.info().ringcentral.is_some());
    let test = TestStack::with(StackOptions { parts: StackParts::AwsAndSimulator, ..options() }).await;
    assert!(test.stack.info().aws.is_some() && test.stack.info().ringcentral.is_some());
    assert!(test.stack.info().gateway.is_none());
}
