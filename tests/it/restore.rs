//! `infra/deploy/restore`, which brings tables back to an earlier moment, against the local stack. It has no point-in-time recovery, so
//! the program begins with restored tables.

use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::house::root;
use crate::world::{World, extension, use_token};

const SUFFIX: &str = ".restored.test";

/// Copies a table, as point-in-time recovery does.
async fn copy(world: &World, logical: &str, keys: &[&str]) {
    let source = world.table(logical).await;
    let target = format!("{source}{SUFFIX}");
    let kinds = ["HASH", "RANGE"];
    let schema: Vec<Value> =
        keys.iter().zip(kinds).map(|(key, kind)| json!({ "AttributeName": key, "KeyType": kind })).collect();
    let attributes: Vec<Value> =
        keys.iter().map(|key| json!({ "AttributeName": key, "AttributeType": "S" })).collect();
    let table = json!({
        "TableName": target, "BillingMode": "PAY_PER_REQUEST", "KeySchema": schema,
        "AttributeDefinitions": attributes,
    });
    world.dynamodb("CreateTable", &table).await;
    for item in world.dynamodb("Scan", &json!({ "TableName": source })).await["Items"].as_array().unwrap() {
        world.dynamodb("PutItem", &json!({ "TableName": target, "Item": item })).await;
    }
}

fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg(root().join("infra/deploy/restore")).args(["ringbridge-local", "--restored", SUFFIX]);
    command.args(["--endpoint-url", world.stack.info().aws(), "--poll-seconds", "0.2"]).args(arguments);
    command.env("AWS_ACCESS_KEY_ID", "operator").env("AWS_SECRET_ACCESS_KEY", "secret");
    command
        .env_remove("AWS_SESSION_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program to its end: what it printed, and whether it succeeded.
async fn run(world: &World, arguments: &[&str]) -> (String, bool) {
    let output = command(world, arguments).output().await.unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_restores_rows_and_lists_who_must_connect_again() {
    let world = World::start().await;
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    let (tenant, other, late) =
        (world.tenant(), world.new_tenant("Untouched").await, world.new_tenant("Late").await);
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.connect(&other, &world.user(1)).await.expect(303);
    world.advance(3_600).await;
    copy(&world, "ConnectionsTable", &["tenant", "item"]).await;
    copy(&world, "ExtensionsTable", &["extension"]).await;
    // Afterwards one connection is refreshed, one is deleted, and one is new.
    use_token(&world, &tenant).await.expect(200);
    world.advance(300).await;
    let account = world.sim(Method::POST, "/_sim/accounts", Some(json!({ "users": [{}] }))).await;
    world.connect(&late, &account["users"][0]).await.expect(303);

    let (text, succeeded) = run(&world, &["--yes"]).await;
    assert!(!succeeded && text.contains("disable it first"), "{text}");
    world.aws(Method::POST, "/_aws/kms/disable", None).await;
    let (text, succeeded) = run(&world, &["--dry-run"]).await;
    assert!(succeeded && text.contains("ConnectionsTable: ") && text.contains("1 to delete"), "{text}");
    assert!(world.get("/v1/rc/status", &late.key).await.json()["connected"] == true, "nothing has changed");

    let child = command(&world, &["--yes"]).spawn().unwrap();
    let ended = child.wait_with_output();
    tokio::pin!(ended);
    // The sweep refreshes the connections by the stack's clock.
    let output = loop {
        tokio::select! {
            output = &mut ended => break output.unwrap(),
            () = world.advance(61) => {}
        }
    };
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 connections work. 1 need a new connect link:"), "{text}");
    let lost = format!("  {} {}", tenant.id, world.user(0)["extensionId"].as_str().unwrap());
    assert!(text.contains(&lost), "{text}");
    assert_eq!(extension(&world, &tenant).await["status"], "revoked");
    assert_eq!(extension(&world, &other).await["status"], "active");
    assert_eq!(world.get("/v1/rc/status", &late.key).await.json(), json!({ "connected": false }));
}
