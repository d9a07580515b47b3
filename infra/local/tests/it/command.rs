//! `cargo local` as a person runs it: one line for what went wrong, nothing left behind at the end.

use crate::world::{options, state, template, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The runner with the fixture's functions; nothing is built.
fn command(arguments: &[&str]) -> Command {
    let test = std::env::current_exe().unwrap();
    let mut command = Command::new(test.parent().unwrap().parent().unwrap().join("examples/local"));
    command
        .args(arguments)
        .arg("--template")
        .arg(template())
        .arg("--binaries")
        .arg(options().binaries)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

struct Runner {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    info: Value,
}

/// Starts a stack and waits for its line of JSON.
async fn start(data: &str, ports: &str) -> Runner {
    let mut child = command(&["--json", "--data", data, "--ports", ports]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let info = lines.next_line().await.unwrap().expect("a line of JSON");
    Runner { child, lines, info: serde_json::from_str(&info).unwrap() }
}

impl Runner {
    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Process id of a function.
    async fn function(&self) -> i64 {
        let url = format!("{}/probe?do=count", self.info["gateway"].as_str().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["pid"].as_i64().unwrap()
    }
}

/// Waits until a process is gone, or only its exit status is left.
async fn gone(pid: i64) {
    until(|| matches!(state(pid), None | Some('Z'))).await;
}

/// What a runner that does not start says.
async fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(arguments).output().await.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn json_is_one_line_of_addresses_and_keys() {
    let mut runner = start(":memory:", "0,0,0").await;
    for key in ["gateway", "ringcentral", "aws", "operatorKey"] {
        assert!(runner.info[key].is_string(), "{key} in {}", runner.info);
    }
    assert!(runner.info["rc"]["users"][0]["password"].is_string());
    assert!(runner.info["ringcentral"].as_str().unwrap().starts_with("http://localhost:"));
    runner.signal(Signal::INT);
    assert_eq!(runner.lines.next_line().await.unwrap(), None, "nothing else on stdout");
}

#[tokio::test]
async fn control_c_ends_every_process_once_or_twice() {
    for times in [1, 2] {
        let mut runner = start(":memory:", "0,0,0").await;
        let function = runner.function().await;
        for _ in 0..times {
            runner.signal(Signal::INT);
        }
        runner.child.wait().await.unwrap();
        gone(function).await;
    }
}

#[tokio::test]
async fn killing_the_runner_ends_its_functions_too() {
    let mut runner = start(":memory:", "0,0,0").await;
    let function = runner.function().await;
    runner.child.kill().await.unwrap();
    gone(function).await;
}

#[tokio::test]
async fn what_goes_wrong_at_the_start_is_one_line_and_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.yaml");
    std::fs::write(&broken, "Resources:\n  A: {Type: AWS::Nothing::Such}\n").unwrap();
    let ports = format!("{port},0,0");
    for (arguments, expected) in [
        (vec!["--data", ":memory:", "--ports", &ports], format!("error: port {port} cannot be used")),
        (
            vec!["--data", ":memory:", "--ports", "0,0,0", "--endpoint-url", "http://127.0.0.1:1"],
            "error: the engine at http://127.0.0.1:1 does not answer".to_owned(),
        ),
    ] {
        let (code, said) = refused(&arguments).await;
        assert_eq!(code, Some(1));
        assert!(said.starts_with(&expected) && said.trim_end().lines().count() == 1, "{said}");
    }
    let mut broken_template = Command::new(command(&[]).as_std().get_program());
    broken_template.args(["--data", ":memory:", "--ports", "0,0,0", "--template"]).arg(&broken);
    let output = broken_template.output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "error: broken.yaml: line 2: the resource type AWS::Nothing::Such (of A) is not understood by the local stack\n"
    );
}

#[tokio::test]
async fn a_second_stack_on_the_folder_is_refused_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let mut first = start(&data, "0,0,0").await;
    let (code, said) = refused(&["--data", &data, "--ports", "0,0,0"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("in use by the stack with pid {}", first.child.id().unwrap())), "{said}");
    let written: Value =
        serde_json::from_slice(&std::fs::read(Path::new(&data).join("stack.json")).unwrap()).unwrap();
    assert_eq!(written, first.info);
    first.signal(Signal::TERM);
    first.child.wait().await.unwrap();
    let second = start(&data, "0,0,0").await;
    assert_eq!(second.info["operatorKey"], first.info["operatorKey"]);
}

#[tokio::test]
async fn the_environment_for_cargo_lambda_watch_is_that_of_the_running_stack() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let mut child = command(&["--json", "--aws-only", "--sim-only", "--data", &data, "--ports", "0,0,0"])
        .spawn()
        .unwrap();
    let mut line = BufReader::new(child.stdout.take().unwrap()).lines();
    let info: Value = serde_json::from_str(&line.next_line().await.unwrap().unwrap()).unwrap();
    let elsewhere = "http://127.0.0.1:9005/";
    let mut printed = command(&["env", "--data", &data, "--public-url", elsewhere]).spawn().unwrap();
    let mut text = String::new();
    printed.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    for expected in [
        "STAGE=local".to_owned(),
        "PUBLIC_URL=http://127.0.0.1:9005".to_owned(),
        "THINGS_TABLE=ringbridge-local-things".to_owned(),
        format!("AWS_ENDPOINT_URL={}", info["aws"].as_str().unwrap()),
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected} in\n{text}");
    }
}
