//! What the documents tell a reader to type works as it stands there: shell lines against a stack, and programs in every
//! language that is shown.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::packages::{feed, has, npm, pip, run, skipped};
use crate::receiver::Receiver;
use crate::world::{World, root};

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The blocks of a document that are in a language, in order.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<(bool, String)> = None;
    for line in document.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(of)) => block = Some((of == language, String::new())),
            (None, None) => {}
            (Some((wanted, code)), Some(_)) => {
                if *wanted {
                    blocks.push(std::mem::take(code));
                }
                block = None;
            }
            (Some((_, code)), None) => {
                code.push_str(line);
                code.push('\n');
            }
        }
    }
    blocks
}

/// The only block of a language.
fn block(document: &str, language: &str) -> String {
    let [block] = &blocks(document, language)[..] else { panic!("one block of {language}") };
    block.clone()
}

/// The address of the local stack that documents name, replaced by that of a stack.
fn at(world: &World, code: &str) -> String {
    let info = world.stack.info();
    code.replace("http://127.0.0.1:9400", info.gateway())
        .replace("http://localhost:9410", info.ringcentral())
        .replace("http://127.0.0.1:9420", info.aws())
}

/// What a stack that runs in a folder leaves there for whoever types there.
fn write_stack(folder: &Path, keys: &Value) {
    std::fs::create_dir(folder.join(".local")).unwrap();
    std::fs::write(folder.join(".local/stack.json"), serde_json::to_string_pretty(keys).unwrap()).unwrap();
}

/// Types the shell lines of a document, all in one shell, but for those that start a stack or need AWS. A line that fails,
/// and an answer that is an error, fail the test.
async fn type_out(world: &World, name: &str, first: &str) -> Option<String> {
    if !has("curl") {
        skipped(name, "curl is missing");
        return None;
    }
    let here = tempfile::tempdir().unwrap();
    let info = world.stack.info();
    write_stack(here.path(), &json!({ "apiKey": info.api_key, "operatorKey": info.operator_key }));
    let mut script = format!(
        "set -euo pipefail\ncurl() {{ command curl --fail-with-body --silent --show-error --noproxy '*' \"$@\"; }}\n{first}\n"
    );
    let typed: Vec<String> = blocks(&document(name), "sh")
        .into_iter()
        .filter(|block| !block.starts_with("cargo ") && !block.contains("$(aws "))
        .collect();
    assert!(!typed.is_empty());
    script.push_str(&at(world, &typed.concat()));
    let file = here.path().join("typed.sh");
    std::fs::write(&file, script).unwrap();
    let mut bash = Command::new("bash");
    bash.arg("-x").arg(&file).current_dir(here.path());
    Some(run(&mut bash).await.unwrap_or_else(|text| panic!("{name}:\n{text}")))
}

#[tokio::test]
async fn the_readme_can_be_typed_as_it_stands() {
    let world = World::start().await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let Some(shown) = type_out(&world, "README.md", "").await else { return };
    for expected in
        ["\"connected\":true", "\"status\":\"queued\"", "\"connectUrl\":", "\"status\":\"suspended\""]
    {
        assert!(shown.contains(expected), "{expected} in\n{shown}");
    }
}

#[tokio::test]
async fn the_operators_first_five_minutes_can_be_typed_as_they_stand() {
    let world = World::start().await;
    let Some(shown) = type_out(&world, "docs/first-five-minutes.md", "").await else { return };
    for expected in ["\"connectUrl\":", "ratelimit-limit: 6000", "\"entries\":", "\"status\":\"deleting\""] {
        assert!(shown.contains(expected), "{expected} in\n{shown}");
    }
}

#[tokio::test]
async fn the_page_on_connecting_can_be_typed_as_it_stands() {
    let world = World::start().await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let first = format!("GATEWAY={}\nKEY={}", world.gateway(), world.tenant().key);
    let Some(shown) = type_out(&world, "docs/connecting.md", &first).await else { return };
    for expected in
        ["\"connectUrl\":", "\"connected\":true", "\"extensions\":[{", "\"numbers\":[{", "{\"ok\":true}"]
    {
        assert!(shown.contains(expected), "{expected} in\n{shown}");
    }
}

/// What the documents show as JSON is JSON; and whoever follows a link from one page to another arrives.
#[test]
fn pages_lead_to_pages_that_are_there_and_show_json_that_is_json() {
    let pages = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let pages =
        pages.map(|name| format!("docs/{}", name.to_str().unwrap())).filter(|name| name.ends_with(".md"));
    let mut links = 0;
    for page in pages.chain(
        ["README.md", "infra/README.md", "infra/local/README.md", "CONTRIBUTING.md"].map(str::to_owned),
    ) {
        let text = document(&page);
        for json in blocks(&text, "json") {
            serde_json::from_str::<Value>(&json).unwrap_or_else(|error| panic!("{page}: {error}: {json}"));
        }
        let folder = root().join(&page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !link.contains("://") && !link.starts_with("mailto:") {
                assert!(folder.join(file).exists(), "{page} leads to {link}");
                links += 1;
            }
        }
    }
    assert!(links > 30, "{links}");
}

#[tokio::test]
async fn a_flow_can_be_subscribed_as_the_document_says() {
    let world = World::start().await;
    let first = format!("GATEWAY={}\nKEY={}", world.gateway(), world.tenant().key);
    let Some(shown) = type_out(&world, "docs/webhooks.md", &first).await else { return };
    assert!(shown.contains("\"id\":\"app_"), "{shown}");
}

/// A folder for programs and what they need, kept between runs.
fn folder(language: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("documents").join(language);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a program with this input: what it writes. Nothing if its language is not on this machine.
async fn program(command: &mut Command, input: &str) -> Option<String> {
    let language = command.as_std().get_program().to_str().unwrap().to_owned();
    if !has(&language) {
        skipped("a program of the documents", &format!("{language} is missing"));
        return None;
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("GO111MODULE", "off");
    Some(feed(command, input).await.unwrap_or_else(|text| panic!("{language}: {text}")))
}

#[tokio::test]
async fn every_language_of_the_readme_sends_a_text() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let readme = document("README.md");
    let code = |language: &str| at(&world, &block(&readme, language));
    let here = tempfile::tempdir().unwrap();
    write_stack(here.path(), &json!({ "apiKey": tenant.key }));
    let mut answers = Vec::new();
    for (mut command, language) in [
        (Command::new("python3"), "python"),
        (Command::new("node"), "javascript"),
        (Command::new("ruby"), "ruby"),
    ] {
        let file = here.path().join(if language == "javascript" { "send.mjs" } else { language });
        std::fs::write(&file, code(language)).unwrap();
        answers.extend(program(command.arg(&file).current_dir(here.path()), "").await);
    }
    // All of them give the same idempotency key, so whoever came first has sent it.
    let stored = world.get("/v1/sms/messages", &tenant.key).await.expect(200).json();
    assert_eq!(stored["messages"].as_array().unwrap().len(), usize::from(!answers.is_empty()));
    for answer in answers {
        assert!(answer.contains(stored["messages"][0]["messageId"].as_str().unwrap()), "{answer}");
    }
}

// standardwebhooks = "1"
fn is_genuine(secret: &str, headers: &http::HeaderMap, body: &[u8]) -> bool {
    standardwebhooks::Webhook::new(secret).is_ok_and(|webhook| webhook.verify(body, headers).is_ok())
}

#[tokio::test]
async fn every_language_of_the_document_verifies_an_event_and_refuses_an_altered_one() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let tenant = world.tenant();
    let order = json!({ "name": "Receiver", "tenantId": tenant.id, "webhookUrl": receiver.at("/hook") });
    let app =
        world.call(Method::POST, "/v1/apps/register", &tenant.key, Some(order)).await.expect(201).json();
    let secret = app["webhookSecret"].as_str().unwrap();
    let test = format!("/v1/apps/{}/test-webhook", app["appId"].as_str().unwrap());
    world.post(&test, &tenant.key).await.expect(200);
    let [arrival] = &receiver.arrivals("/hook")[..] else { panic!("one event") };
    let altered = arrival.body.replace("\"test\"", "\"tost\"");
    assert_ne!(altered, arrival.body);
    let document = document("docs/webhooks.md");

    let rust = block(&document, "rust");
    assert!(include_str!("documents.rs").contains(&rust), "this file has the document's function");
    assert!(is_genuine(secret, &arrival.headers, arrival.body.as_bytes()));
    assert!(!is_genuine(secret, &arrival.headers, altered.as_bytes()));

    let headers: serde_json::Map<String, Value> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .map(|name| (name.to_owned(), json!(arrival.header(name))))
        .collect();
    let case =
        json!({ "secret": secret, "headers": headers, "body": arrival.body, "altered": altered }).to_string();
    let verifies = async |language: &str, command: &mut Command| {
        if let Some(told) = program(command, &case).await {
            assert_eq!(told.split_whitespace().collect::<Vec<_>>(), ["genuine", "refused"], "{language}");
        }
    };

    let python = folder("python");
    match pip(&python, "standardwebhooks==1.0.0\n").await {
        Err(why) => skipped("the document's verification in Python", &why),
        Ok(()) => {
            let file = python.join("verify.py");
            std::fs::write(&file, block(&document, "python") + PYTHON).unwrap();
            let packages = python.join("packages");
            verifies("Python", Command::new("python3").arg(&file).env("PYTHONPATH", packages)).await;
        }
    }
    let javascript = folder("javascript");
    match npm(&javascript, r#"{"private":true,"dependencies":{"standardwebhooks":"1.0.0"}}"#).await {
        Err(why) => skipped("the document's verification in JavaScript", &why),
        Ok(()) => {
            let file = javascript.join("verify.mjs");
            std::fs::write(&file, block(&document, "js") + JAVASCRIPT).unwrap();
            verifies("JavaScript", Command::new("node").arg(&file)).await;
        }
    }
    let file = folder("go").join("verify.go");
    std::fs::write(&file, GO_BEFORE.to_owned() + &block(&document, "go") + GO_AFTER).unwrap();
    verifies("Go", Command::new("go").arg("run").arg(&file)).await;
}

const PYTHON: &str = r#"
import json, sys

case = json.load(sys.stdin)
assert handle(case["secret"], case["headers"], case["body"].encode())["type"] == "test"
print("genuine")
try:
    handle(case["secret"], case["headers"], case["altered"].encode())
except Exception:
    print("refused")
"#;

const JAVASCRIPT: &str = r#"
const pieces = [];
for await (const piece of process.stdin) pieces.push(piece);
const { secret, headers, body, altered } = JSON.parse(Buffer.concat(pieces).toString());
if (handle(secret, headers, body).type === "test") console.log("genuine");
try {
  handle(secret, headers, altered);
} catch {
  console.log("refused");
}
"#;

const GO_BEFORE: &str = r#"package main

import (
	formats "encoding/json"
	"fmt"
	"os"
)

"#;

const GO_AFTER: &str = r#"
func main() {
	var given struct {
		Secret, Body, Altered string
		Headers               map[string]string
	}
	if err := formats.NewDecoder(os.Stdin).Decode(&given); err != nil {
		panic(err)
	}
	headers := http.Header{}
	for name, value := range given.Headers {
		headers.Set(name, value)
	}
	if isGenuine(given.Secret, headers, []byte(given.Body)) {
		fmt.Println("genuine")
	}
	if !isGenuine(given.Secret, headers, []byte(given.Altered)) {
		fmt.Println("refused")
	}
}
"#;
