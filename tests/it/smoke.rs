//! `infra/deploy/smoke`, the check of a deployed stack, against the local stack and the simulator.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::house::root;
use crate::packages::{has, skipped};
use crate::world::World;

/// What the program printed, and its exit status.
struct Outcome {
    text: String,
    status: i32,
}

/// Runs the program with these arguments. A browser opens the connect link that it prints.
async fn smoke(world: &World, folder: &Path, changes: &[(&str, &str)], more: &[&str]) -> Outcome {
    let info = world.stack.info();
    let secret = folder.join("client-secret");
    std::fs::write(&secret, json!({ "clientSecret": info.rc["clientSecret"] }).to_string()).unwrap();
    let key = folder.join("operator-key");
    std::fs::write(&key, world.operator_key()).unwrap();
    let mut arguments = vec![
        ("--url", world.gateway()),
        ("--server", info.ringcentral()),
        ("--client-id", info.rc["clientId"].as_str().unwrap()),
        ("--client-secret-file", secret.to_str().unwrap()),
        ("--operator-key-file", key.to_str().unwrap()),
    ];
    for (name, value) in &mut arguments {
        if let Some((_, changed)) = changes.iter().find(|(changed, _)| changed == name) {
            *value = *changed;
        }
    }
    let mut child = Command::new("python3")
        .arg(root().join("infra/deploy/smoke"))
        .args(arguments.iter().flat_map(|(name, value)| [*name, *value]))
        .args(more)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(link) =
            line.strip_prefix(world.gateway()).filter(|path| path.starts_with("/v1/rc/connect"))
        {
            let mut browser = world.browser();
            let callback = browser.sign_in(link, &world.user(0)).await;
            browser.get(&callback).await.expect(303);
        }
        text.push_str(&line);
        text.push('\n');
    }
    Outcome { text, status: child.wait().await.unwrap().code().unwrap() }
}

#[tokio::test]
async fn the_smoke_test_connects_and_sends_and_names_what_is_wrong() {
    if !has("python3") {
        skipped("the smoke test of a deployment", "python3 is missing");
        return;
    }
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let numbers = ["--from", "+14155550100", "--to", "+16505550111"];

    let passed = smoke(&world, folder.path(), &[], &numbers).await;
    assert_eq!(passed.status, 0, "{}", passed.text);
    for check in [
        "URL",
        "tables and key",
        "webhook URL",
        "operator key",
        "client ID and redirect URI",
        "client secret",
        "connection",
        "permissions of the app",
        "message",
    ] {
        assert!(passed.text.contains(&format!("ok      {check}\n")), "{check}:\n{}", passed.text);
    }
    assert_eq!(world.count("sms_accepted").await, 1, "one message, to the phone that was named");
    let tenants = world.get("/v1/tenants", &world.operator_key()).await.expect(200).text;
    assert!(!tenants.contains("Smoke test") || tenants.contains("deleting"), "{tenants}");

    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "wrong").unwrap();
    let wrong = wrong.to_str().unwrap();
    let unregistered = world.gateway().replace("127.0.0.1", "localhost");
    for (change, failed) in [
        (("--client-secret-file", wrong), "client secret"),
        (("--operator-key-file", wrong), "operator key"),
        (("--client-id", "unknown"), "client ID and redirect URI"),
        (("--url", unregistered.as_str()), "client ID and redirect URI"),
        (("--url", "http://127.0.0.1:9"), "URL"),
        (("--server", "http://127.0.0.1:9"), "client secret"),
    ] {
        // RingCentral limits the token calls of an app in a minute.
        world.advance(61).await;
        let outcome = smoke(&world, folder.path(), &[change], &numbers).await;
        assert!(outcome.text.contains(&format!("FAILED  {failed}: ")), "{change:?}:\n{}", outcome.text);
        assert_ne!(outcome.status, 0, "{change:?}");
        assert!(outcome.text.contains("skipped connection and message"), "{change:?}:\n{}", outcome.text);
        assert!(!outcome.text.contains("wrong"), "a secret is shown:\n{}", outcome.text);
    }
    world
        .aws_fault(
            json!({ "function": "check-readiness" }),
            0,
            None,
            json!({ "error": "AccessDeniedException" }),
        )
        .await;
    world.advance(60).await;
    let outcome = smoke(&world, folder.path(), &[], &[]).await;
    assert!(outcome.text.contains("FAILED  tables and key: "), "{}", outcome.text);
    assert_eq!(outcome.status, 1, "{}", outcome.text);
}
