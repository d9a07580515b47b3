//! The command line: its output, one-line errors, and no process left at the end.

use crate::test_stack::{options, state, template, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// `cargo local` with the fixture's functions; nothing is built.
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

/// Starts a stack and reads its line of JSON.
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

    /// The response of the probe.
    async fn probe(&self, action: &str) -> Value {
        self.get(&format!("probe?do={action}")).await
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}/{path}", self.info["gateway"].as_str().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The process id of a function.
    async fn function(&self) -> i64 {
        self.probe("count").await["pid"].as_i64().unwrap()
    }
}

/// Waits until a process has ended.
async fn wait_for_end(pid: i64) {
    until(|| matches!(state(pid), None | Some('Z'))).await;
}

/// Exit code and stderr of a failing start.
async fn failing_start(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(arguments).output().await.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn json_is_one_line_of_urls_and_keys() {
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
async fn the_banner_is_printed_alone_and_logs_follow_as_short_lines() {
    let mut child = command(&["--data", ":memory:", "--ports", "0,0,0"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut banner = Vec::new();
    while banner.last().is_none_or(|line: &String| !line.contains("Ctrl-C")) {
        banner.push(stdout.next_line().await.unwrap().expect("a line of the banner"));
    }
    let gateway = banner.iter().find_map(|line| line.trim().strip_prefix("Gateway")).unwrap().trim();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("{gateway}/probe?do=log")).send().await.unwrap();
    let line = stderr.next_line().await.unwrap().expect("a log line");
    assert_eq!(
        line.split_whitespace().skip(1).collect::<Vec<_>>(),
        ["probe", "INFO", "logged", "200", "7", "ms"]
    );
}

#[tokio::test]
async fn logs_are_raw_with_json_and_absent_with_quiet() {
    let logged = r#"{"level":"INFO","message":"logged","status":200,"duration_ms":7}"#;
    for (arguments, expected) in [
        (vec!["--json"], format!("{logged}\nstopping\n")),
        (vec!["--json", "--quiet"], "stopping\n".to_owned()),
    ] {
        let arguments = [&arguments[..], &["--data", ":memory:", "--ports", "0,0,0"]].concat();
        let mut child = command(&arguments).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let info = stdout.next_line().await.unwrap().expect("a line of JSON");
        let runner = Runner { child, lines: stdout, info: serde_json::from_str(&info).unwrap() };
        runner.probe("log").await;
        while runner.get("_local/logs").await["lines"].as_array().unwrap().is_empty() {}
        runner.signal(Signal::INT);
        let output = runner.child.wait_with_output().await.unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
    }
}

#[tokio::test]
async fn one_ctrl_c_or_two_end_every_process() {
    for times in [1, 2] {
        let mut runner = start(":memory:", "0,0,0").await;
        let function = runner.function().await;
        for _ in 0..times {
            runner.signal(Signal::INT);
        }
        runner.child.wait().await.unwrap();
        wait_for_end(function).await;
    }
}

#[tokio::test]
async fn killing_the_runner_ends_its_functions() {
    let mut runner = start(":memory:", "0,0,0").await;
    let function = runner.function().await;
    runner.child.kill().await.unwrap();
    wait_for_end(function).await;
}

#[tokio::test]
async fn an_error_at_the_start_is_one_line_and_exit_code_1() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.yaml");
    std::fs::write(&broken, "Resources:\n  A: {Type: AWS::Nothing::Such}\n").unwrap();
    let ports = format!("{port},0,0");
    for (arguments, expected) in [
        (vec!["--data", ":memory:", "--ports", &ports], format!("error: port {port} cannot be used")),
        (
            vec!["--data", ":memory:", "--ports", "0,0,0", "--endpoint-url", "http://127.0.0.1:1"],
            "error: the engine at http://127.0.0.1:1 does not respond".to_owned(),
        ),
    ] {
        let (code, stderr) = failing_start(&arguments).await;
        assert_eq!(code, Some(1));
        assert!(stderr.starts_with(&expected) && stderr.trim_end().lines().count() == 1, "{stderr}");
    }
    let mut broken_template = Command::new(command(&[]).as_std().get_program());
    broken_template.args(["--data", ":memory:", "--ports", "0,0,0", "--template"]).arg(&broken);
    let output = broken_template.output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr,
        "error: broken.yaml: line 2: the resource type AWS::Nothing::Such (of A) is not supported by the local stack\n"
    );
}

#[tokio::test]
async fn a_second_stack_on_a_folder_is_rejected_and_a_later_one_continues() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let mut first = start(&data, "0,0,0").await;
    let (code, stderr) = failing_start(&["--data", &data, "--ports", "0,0,0"]).await;
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains(&format!("in use by the stack with pid {}", first.child.id().unwrap())),
        "{stderr}"
    );
    let written: Value =
        serde_json::from_slice(&std::fs::read(Path::new(&data).join("stack.json")).unwrap()).unwrap();
    assert_eq!(written, first.info);
    first.signal(Signal::TERM);
    first.child.wait().await.unwrap();
    let second = start(&data, "0,0,0").await;
    assert_eq!(second.info["operatorKey"], first.info["operatorKey"]);
}

#[tokio::test]
async fn env_prints_the_environment_of_the_running_stack() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let mut child = command(&["--json", "--aws-only", "--sim-only", "--data", &data, "--ports", "0,0,0"])
        .spawn()
        .unwrap();
    let mut line = BufReader::new(child.stdout.take().unwrap()).lines();
    let info: Value = serde_json::from_str(&line.next_line().await.unwrap().unwrap()).unwrap();
    let functions_url = "http://127.0.0.1:9005/";
    let mut printed = command(&["env", "--data", &data, "--public-url", functions_url]).spawn().unwrap();
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
