//! `cargo lambda watch` beside the stack: its routes and events match the template, and the commands of the README work.

use crate::test_stack::until;
use crate::tools;
use local::template::{Template, TemplateOverrides};
use local::watch;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn deployed() -> Template {
    Template::read(&workspace().join("template.yaml"), &TemplateOverrides::without_stack()).unwrap()
}

#[test]
fn the_routes_of_cargo_lambda_watch_match_the_template() {
    let metadata = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(workspace())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let wanted = deployed();
    assert_eq!(
        watch::router_routes(&metadata["metadata"]),
        watch::template_routes(&wanted),
        "[workspace.metadata.lambda.watch.router] in Cargo.toml must be the output of `cargo local router`:\n{}\n",
        watch::router_lines(&wanted).join("\n")
    );
}

#[test]
fn every_function_called_by_a_schedule_queue_or_stream_has_an_event() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let mut expected = BTreeSet::new();
    for function in &deployed().functions {
        let (schedules, queues, streams) = (&function.schedules, &function.queues, &function.streams);
        if schedules.is_empty() && queues.is_empty() && streams.is_empty() {
            continue;
        }
        // One file per function, with an event of one of its triggers.
        let name = format!("{}.json", function.binary);
        let event: Value = serde_json::from_slice(&std::fs::read(folder.join(&name)).unwrap()).unwrap();
        let record = &event["Records"][0];
        let is_scheduled = schedules.iter().any(|trigger| match trigger.properties["Input"].as_str() {
            Some(input) => event == serde_json::from_str::<Value>(input).unwrap(),
            None => event["detail-type"] == "Scheduled Event",
        });
        let is_queued = record["eventSource"] == "aws:sqs"
            && queues.iter().any(|trigger| record["eventSourceARN"] == trigger.queue_arn.as_str());
        let is_streamed = record["eventSource"] == "aws:dynamodb"
            && streams.iter().any(|trigger| record["eventSourceARN"] == trigger.stream_arn.as_str());
        assert!(is_scheduled || is_queued || is_streamed, "{name}");
        expected.insert(name);
    }
    let existing: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(existing, expected);
}

/// The `sh` blocks of the section about `cargo lambda watch` in the README.
fn commands_of_the_readme() -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = readme.split("## cargo lambda watch").nth(1).expect("the README has the section");
    let section = section.split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// A shell whose whole process group ends with the test.
struct Shell(Child);

impl Shell {
    fn start(commands: &str, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-c", commands]).current_dir(workspace()).process_group(0);
        bash.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(bash.spawn().unwrap())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

#[tokio::test]
async fn the_commands_of_the_readme_serve_the_functions_with_cargo_lambda_watch() {
    let installed = Command::new("cargo").args(["lambda", "--help"]).output().await;
    if !installed.is_ok_and(|output| output.status.success()) {
        tools::skip("cargo-lambda", "pip install cargo-lambda");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let test = std::env::current_exe().unwrap();
    let runner = test.parent().unwrap().parent().unwrap().join("examples/local");
    let local = format!(
        "{} --data {} --ports 0,0,0 --public-url http://127.0.0.1:{port}",
        runner.display(),
        path("data")
    );
    let blocks: Vec<String> = commands_of_the_readme()
        .iter()
        .map(|block| block.replace("cargo local", &local).replace("/tmp/ringbridge.env", &path("env")))
        .map(|block| block.replace("127.0.0.1:9000", &format!("127.0.0.1:{port}")))
        .map(|block| block.replace("-P 9000", &format!("-P {port}")))
        .collect();
    let [stack, watch, tenant] = blocks.as_slice() else { panic!("{blocks:#?}") };
    let _stack = Shell::start(stack, &folder.path().join("stack.log"));
    until(|| Path::new(&path("data/stack.json")).exists()).await;
    let watch_log = folder.path().join("watch.log");
    let _watch = Shell::start(watch, &watch_log);
    // Cargo may have to compile the functions first.
    let url = format!("127.0.0.1:{port}");
    while std::net::TcpStream::connect(&url).is_err() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", tenant])
        .current_dir(workspace())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap()["connected"], false, "{stdout}\n{stderr}");
}
