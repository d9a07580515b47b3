//! What survives the runner, and who may use the data folder.

use crate::world::{World, options};
use local::{Data, Options, Stack};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn in_folder(folder: &Path) -> Options {
    Options { data: Data::Folder(folder.join("data")), ..options() }
}

async fn refused(options: Options) -> String {
    match Stack::start(options).await {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test]
async fn tables_keys_secrets_schedules_and_the_clock_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(in_folder(folder.path())).await;
    let put = json!({
        "TableName": "ringbridge-local-things",
        "Item": { "tenant": { "S": "acme" }, "item": { "S": "kept" } },
    });
    assert_eq!(world.aws("DynamoDB_20120810.PutItem", &put).await.status, 200);
    let encrypt = json!({ "KeyId": "alias/ringbridge-local-vault", "Plaintext": "aGk=" });
    let sealed = world.aws("TrentService.Encrypt", &encrypt).await.json();
    world.post("/_local/clock", &json!({ "advanceSeconds": 100 })).await;
    let first = world.stack.info().clone();
    world.stack.stop().await.unwrap();

    let world = World::with(in_folder(folder.path())).await;
    let get = json!({
        "TableName": "ringbridge-local-things",
        "Key": { "tenant": { "S": "acme" }, "item": { "S": "kept" } },
    });
    assert_eq!(world.aws("DynamoDB_20120810.GetItem", &get).await.json()["Item"]["item"]["S"], "kept");
    let decrypt = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    assert_eq!(world.aws("TrentService.Decrypt", &decrypt).await.json()["Plaintext"], "aGk=");
    assert_eq!(world.stack.info().operator_key, first.operator_key);
    assert_eq!(world.stack.info().rc["clientSecret"], first.rc["clientSecret"]);
    assert_eq!(world.stack.clock().offset_seconds(), 100);
}

#[tokio::test]
async fn stack_json_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(in_folder(folder.path())).await;
    let file = folder.path().join("data/stack.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(written["gateway"], world.stack.info().gateway());
    assert_eq!(written["operatorKey"].as_str().unwrap().len(), 48);
}

#[tokio::test]
async fn a_second_stack_on_the_same_folder_is_refused_with_the_pid_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let _world = World::with(in_folder(folder.path())).await;
    let error = refused(in_folder(folder.path())).await;
    assert!(error.ends_with(&format!("in use by the stack with pid {}", std::process::id())), "{error}");
}

#[tokio::test]
async fn a_damaged_folder_is_told_in_one_line_that_says_what_to_do() {
    for file in [
        "dynamodb.sqlite",
        "kms.json",
        "secrets.json",
        "schedules.json",
        "queues.json",
        "streams.json",
        "clock.json",
        "stack.json",
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data").join(file), "not what it should be ".repeat(200)).unwrap();
        let error = refused(in_folder(folder.path())).await;
        assert!(error.contains("cannot be restored") && error.contains("; delete "), "{file}: {error}");
        assert!(!error.contains('\n'), "{file}: {error}");
    }
}

#[tokio::test]
async fn a_port_that_is_asked_for_and_taken_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = refused(Options { ports: Some((port, 0, 0)), ..options() }).await;
    assert!(error.starts_with(&format!("port {port} cannot be used")), "{error}");
}

#[tokio::test]
async fn parts_can_run_alone() {
    let world = World::with(Options { aws_only: true, ..options() }).await;
    assert!(world.stack.info().gateway.is_none() && world.stack.info().ringcentral.is_none());
    assert_eq!(world.aws("TrentService.ListKeys", &json!({})).await.status, 200);
    let world = World::with(Options { sim_only: true, ..options() }).await;
    assert!(world.stack.info().gateway.is_none() && world.stack.info().aws.is_none());
    assert!(world.stack.info().ringcentral.is_some());
    let world = World::with(Options { aws_only: true, sim_only: true, ..options() }).await;
    assert!(world.stack.info().aws.is_some() && world.stack.info().ringcentral.is_some());
    assert!(world.stack.info().gateway.is_none());
}
