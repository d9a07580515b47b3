//! Runs the examples of the documentation as they are written: shell commands against a stack, and programs in every language.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use local::{DataLocation, StackOptions};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::packages::{feed, has, npm, pip, skipped};
use crate::receiver::WebhookEndpoint;
use crate::world::{World, binaries, root};

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The code blocks of a document in a language, in order.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<(bool, String)> = None;
    for line in document.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(name)) => block = Some((name == language, String::new())),
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

/// The only code block in a language.
fn block(document: &str, language: &str) -> String {
    let [block] = &blocks(document, language)[..] else { panic!("one block of {language}") };
    block.clone()
}

/// Replaces the default URLs of the local stack with those of a stack.
fn with_urls_of(world: &World, code: &str) -> String {
    let info = world.stack.info();
    code.replace("http://127.0.0.1:9400", info.gateway())
        .replace("http://localhost:9410", info.ringcentral())
        .replace("http://127.0.0.1:9420", info.aws())
}

/// A stack that keeps its data in `.local` of a folder, as `cargo local` does.
async fn start_in(folder: &Path) -> World {
    let mut options = StackOptions::for_tests(&root());
    options.binaries = binaries().to_owned();
    options.data = DataLocation::Folder(folder.join(".local"));
    World::with(options).await
}

/// What the shell examples of a document printed.
struct Shown {
    output: String,
    /// Status, method and URL of each `curl`, in order.
    requests: Vec<String>,
}

impl Shown {
    #[track_caller]
    fn contains(&self, expected: &[&str]) {
        for text in expected {
            assert!(self.output.contains(text), "no {text} in\n{}", self.output);
        }
    }

    #[track_caller]
    fn all_succeeded(&self) {
        for request in &self.requests {
            assert!(request.starts_with('2'), "{request}\n{}", self.output);
        }
    }
}

/// Runs the shell examples of a document in one shell, with a stack and a connected extension, except those that call Cargo or
/// AWS. `None` if curl is not installed.
async fn run_shell_examples(name: &str) -> Option<Shown> {
    if !has("curl") {
        skipped(name, "curl is missing");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let world = start_in(folder.path()).await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let examples = blocks(&document(name), "sh")
        .into_iter()
        .filter(|block| !block.contains("cargo ") && !block.contains("$(aws "))
        .collect::<Vec<_>>()
        .concat();
    // Not all pages set these variables.
    let variables = format!("GATEWAY={} KEY={}", world.gateway(), world.tenant().key);
    let script = format!(
        "set -euo pipefail\n{variables}\n\
         curl() {{ command curl -sS --noproxy '*' -w '\\n%{{stderr}}%{{http_code}} %{{method}} %{{url}}\\n' \"$@\"; }}\n{}",
        with_urls_of(&world, &examples)
    );
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script).current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    let result = bash.output().await.unwrap();
    let output = String::from_utf8(result.stdout).unwrap();
    let requests = String::from_utf8(result.stderr).unwrap();
    assert!(result.status.success(), "{name}:\n{requests}\n{output}");
    // curl reports an attempt that it repeats.
    let is_request = |line: &&str| !line.is_empty() && !line.starts_with("curl: (22)");
    let requests: Vec<String> = requests.lines().filter(is_request).map(str::to_owned).collect();
    assert_eq!(requests.len(), examples.matches("curl ").count(), "{name}: {requests:#?}");
    assert!(!requests.is_empty(), "{name} has no examples");
    Some(Shown { output, requests })
}

#[tokio::test]
async fn the_examples_of_the_readme_work() {
    let Some(shown) = run_shell_examples("README.md").await else { return };
    shown.all_succeeded();
    shown.contains(&["\"connectUrl\":", "\"status\":\"queued\"", "\"messages\":["]);
    assert_eq!(shown.requests.len(), 3, "connect, send, receive");
}

#[tokio::test]
async fn the_examples_of_the_operator_quickstart_work() {
    let Some(mut shown) = run_shell_examples("docs/operator-quickstart.md").await else { return };
    // The tenant may already be deleted when its progress is read.
    if let Some(last) = shown.requests.last_mut().filter(|last| last.starts_with("404 GET")) {
        last.replace_range(..3, "200");
    }
    shown.all_succeeded();
    shown.contains(&["\"connectUrl\":", "ratelimit-limit: 6000", "\"entries\":", "\"status\":\"deleting\""]);
    shown.contains(&["\"status\":\"suspended\"", "\"status\":\"ok\""]);
}

#[tokio::test]
async fn the_examples_of_the_page_on_connecting_work() {
    let Some(shown) = run_shell_examples("docs/connecting.md").await else { return };
    shown.all_succeeded();
    shown.contains(&[
        "\"connectUrl\":",
        "\"connected\":true",
        "\"extensions\":[{",
        "\"numbers\":[{",
        "{\"ok\":true}",
    ]);
}

#[tokio::test]
async fn the_examples_of_the_page_on_sending_work() {
    let Some(shown) = run_shell_examples("docs/sending.md").await else { return };
    shown.all_succeeded();
    shown.contains(&["\"messageId\":\"msg_", "\"messages\":[{", "\"encoding\":"]);
}

#[tokio::test]
async fn the_examples_of_the_page_on_pictures_work() {
    let Some(shown) = run_shell_examples("docs/media.md").await else { return };
    shown.all_succeeded();
    shown.contains(&["\"messageId\":\"msg_", "Great!"]);
}

#[tokio::test]
async fn the_examples_of_the_pages_on_events_and_webhooks_work() {
    let Some(shown) = run_shell_examples("docs/events.md").await else { return };
    shown.all_succeeded();
    shown.contains(&["\"events\":["]);
    let Some(shown) = run_shell_examples("docs/webhooks.md").await else { return };
    shown.all_succeeded();
    shown.contains(&["\"id\":\"app_"]);
}

#[tokio::test]
async fn the_examples_of_the_page_on_the_local_stack_work() {
    let Some(shown) = run_shell_examples("infra/local/README.md").await else { return };
    shown.all_succeeded();
    shown.contains(&["\"entries\":[", "\"calls\":[", "\"body\":\"Is it the table at the window?\""]);
}

#[test]
fn the_readme_is_short() {
    assert!(document("README.md").lines().count() <= 120);
}

#[test]
fn links_between_pages_lead_somewhere_and_json_examples_are_valid() {
    let pages = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let pages =
        pages.map(|name| format!("docs/{}", name.to_str().unwrap())).filter(|name| name.ends_with(".md"));
    let others = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "infra/README.md",
        "infra/local/README.md",
    ];
    let mut links = 0;
    for page in pages.chain(others.map(str::to_owned)) {
        let text = document(&page);
        for json in blocks(&text, "json") {
            serde_json::from_str::<Value>(&json).unwrap_or_else(|error| panic!("{page}: {error}: {json}"));
        }
        let folder = root().join(&page).parent().unwrap().to_owned();
        let markdown = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let html = text.split(" src=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for link in markdown.chain(html) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { root().join(&page) } else { folder.join(file) };
            assert!(target.exists(), "{page} links to {link}");
            if !heading.is_empty() {
                let target = std::fs::read_to_string(target).unwrap();
                assert!(headings(&target).any(|id| id == heading), "{page} links to {link}");
            }
            links += 1;
        }
    }
    assert!(links > 30, "{links}");
}

/// The ids of a page's headings, as GitHub makes them.
fn headings(page: &str) -> impl Iterator<Item = String> {
    let titles =
        page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles.map(|title| {
        let words = title.to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
    })
}

/// A folder for programs and their packages, kept between runs.
fn folder(language: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("documents").join(language);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a program with this input and returns its output; `None` if its language is not installed.
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
async fn the_example_of_every_language_sends_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let world = start_in(folder.path()).await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let page = document("docs/sending.md");
    let mut outputs = Vec::new();
    for (mut command, language) in [
        (Command::new("python3"), "python"),
        (Command::new("node"), "javascript"),
        (Command::new("ruby"), "ruby"),
    ] {
        let file = folder.path().join(if language == "javascript" { "send.mjs" } else { language });
        std::fs::write(&file, with_urls_of(&world, &block(&page, language))).unwrap();
        outputs.extend(program(command.arg(&file).current_dir(folder.path()), "").await);
    }
    // All of them use the same idempotency key, so only the first one sends a message.
    let stored = world.get("/v1/sms/messages", &tenant.key).await.expect(200).json();
    assert_eq!(stored["messages"].as_array().unwrap().len(), usize::from(!outputs.is_empty()));
    for output in outputs {
        assert!(output.contains(stored["messages"][0]["messageId"].as_str().unwrap()), "{output}");
    }
}

// standardwebhooks = "1"
fn is_genuine(secret: &str, headers: &http::HeaderMap, body: &[u8]) -> bool {
    standardwebhooks::Webhook::new(secret).is_ok_and(|webhook| webhook.verify(body, headers).is_ok())
}

#[tokio::test]
async fn the_example_of_every_language_verifies_an_event_and_rejects_an_altered_one() {
    let (world, receiver) = (World::start().await, WebhookEndpoint::start().await);
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
    assert!(include_str!("documents.rs").contains(&rust), "this file does not contain the example");
    assert!(is_genuine(secret, &arrival.headers, arrival.body.as_bytes()));
    assert!(!is_genuine(secret, &arrival.headers, altered.as_bytes()));

    let headers: serde_json::Map<String, Value> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .map(|name| (name.to_owned(), json!(arrival.header(name))))
        .collect();
    let case =
        json!({ "secret": secret, "headers": headers, "body": arrival.body, "altered": altered }).to_string();
    let verifies = async |language: &str, command: &mut Command| {
        if let Some(output) = program(command, &case).await {
            assert_eq!(output.split_whitespace().collect::<Vec<_>>(), ["genuine", "rejected"], "{language}");
        }
    };

    let python = folder("python");
    match pip(&python, "standardwebhooks==1.0.0\n").await {
        Err(why) => skipped("the verification example in Python", &why),
        Ok(()) => {
            let file = python.join("verify.py");
            std::fs::write(&file, block(&document, "python") + PYTHON).unwrap();
            let packages = python.join("packages");
            verifies("Python", Command::new("python3").arg(&file).env("PYTHONPATH", packages)).await;
        }
    }
    let javascript = folder("javascript");
    match npm(&javascript, r#"{"private":true,"dependencies":{"standardwebhooks":"1.0.0"}}"#).await {
        Err(why) => skipped("the verification example in JavaScript", &why),
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
    print("rejected")
"#;

const JAVASCRIPT: &str = r#"
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { secret, headers, body, altered } = JSON.parse(Buffer.concat(chunks).toString());
if (handle(secret, headers, body).type === "test") console.log("genuine");
try {
  handle(secret, headers, altered);
} catch {
  console.log("rejected");
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
	var input struct {
		Secret, Body, Altered string
		Headers               map[string]string
	}
	if err := formats.NewDecoder(os.Stdin).Decode(&input); err != nil {
		panic(err)
	}
	headers := http.Header{}
	for name, value := range input.Headers {
		headers.Set(name, value)
	}
	if isGenuine(input.Secret, headers, []byte(input.Body)) {
		fmt.Println("genuine")
	}
	if !isGenuine(input.Secret, headers, []byte(input.Altered)) {
		fmt.Println("rejected")
	}
}
"#;
