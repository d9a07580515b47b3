//! Sends 10,000 rows with `ringbridge bulk send`, kills the program in the middle, runs it again, and counts the messages of each
//! row.
//!
//! ```sh
//! cargo run --package tests --example bulk_rows            # an argument sets another number of rows
//! ```

#![expect(clippy::unwrap_used, reason = "a benchmark may panic on a failure")]
#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use world::{World, binaries};

#[path = "../it/world.rs"]
#[expect(dead_code, reason = "only the tests use the rest of it")]
mod world;

#[tokio::main]
async fn main() {
    let rows: usize = std::env::args().nth(1).map_or(10_000, |text| text.parse().unwrap());
    let world = World::start().await;
    let (tenant, most) = (world.tenant(), 1_000_000);
    let limits = json!({ "limits": { "requestsPerMinute": most, "tenantRequestsPerMinute": most } });
    let path = format!("/v1/tenants/{}", tenant.id);
    world.call(Method::PATCH, &path, &world.operator_key(), Some(limits)).await.expect(200);
    world.connect(&tenant, &world.user(0)).await.expect(303);

    let folder = tempfile::tempdir().unwrap();
    let mut csv = "to,name\n".to_owned();
    for at in 0..rows {
        writeln!(csv, "+1650555{:04},Guest {at}", at % 100 + 100).unwrap();
    }
    std::fs::write(folder.path().join("list.csv"), csv).unwrap();
    let began = Instant::now();
    let mut first = start(folder.path(), &world, &tenant.key);
    while accepted(folder.path()) < rows / 2 {
        assert!(first.try_wait().unwrap().is_none(), "the program has ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.kill().unwrap();
    first.wait().unwrap();
    println!("killed after {} responses and {:.1} s", accepted(folder.path()), began.elapsed().as_secs_f64());
    let mut second = start(folder.path(), &world, &tenant.key);
    let status = tokio::task::spawn_blocking(move || second.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    println!("done after {:.1} s", began.elapsed().as_secs_f64());

    let mut messages: BTreeMap<String, usize> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/sms/messages?direction=outbound&limit=100{cursor}");
        let page = world.get(&path, &tenant.key).await.expect(200).json();
        for message in page["messages"].as_array().unwrap() {
            *messages.entry(message["body"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(messages.len(), rows, "each row has a message");
    assert!(messages.values().all(|count| *count == 1), "no row has two");
    println!("{rows} rows, {} messages, one for each row", messages.values().sum::<usize>());
    world.stack.stop().await.unwrap();
}

fn start(folder: &Path, world: &World, key: &str) -> Child {
    let bulk = [
        "bulk",
        "send",
        "list.csv",
        "--campaign",
        "load",
        "--body",
        "Hi {{name}}",
        "--from",
        "all",
        "--yes",
        "--concurrency",
        "8",
    ];
    Command::new(binaries().join("ringbridge"))
        .args(bulk)
        .current_dir(folder)
        .env("RINGBRIDGE_CONFIG", folder.join("config.toml"))
        .env("RINGBRIDGE_URL", world.gateway())
        .env("RINGBRIDGE_KEY", key)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// How many responses the journal has.
fn accepted(folder: &Path) -> usize {
    let journal = std::fs::read_to_string(folder.join("list.csv.journal")).unwrap_or_default();
    journal.matches("\"state\":\"accepted\"").count()
}
