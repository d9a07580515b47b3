//! A stack for one test, with helpers for requests.

use local::{Stack, StackOptions};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Functions of the fixture with a binary.
const FUNCTIONS: [&str; 8] = ["probe", "quick", "broken", "looping", "few", "worker", "follower", "watcher"];

/// A folder with the probe binary under the name of each function.
static BINARIES: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let test = std::env::current_exe().unwrap();
    let probe = test.parent().unwrap().parent().unwrap().join("examples/probe");
    let folder = tempfile::tempdir().unwrap();
    for name in FUNCTIONS {
        std::os::unix::fs::symlink(&probe, folder.path().join(name)).unwrap();
    }
    folder
});

pub fn template() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/template.yaml")
}

/// Options for a stack with the fixture's template.
pub fn options() -> StackOptions {
    StackOptions {
        template: template(),
        binaries: BINARIES.path().to_owned(),
        ..StackOptions::for_tests(Path::new("."))
    }
}

pub struct TestStack {
    pub stack: Stack,
    pub client: reqwest::Client,
}

pub struct StackResponse {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl StackResponse {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl TestStack {
    pub async fn start() -> Self {
        Self::with(options()).await
    }

    pub async fn with(options: StackOptions) -> Self {
        let stack = Stack::start(options).await.unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { stack, client }
    }

    pub async fn get(&self, path: &str) -> StackResponse {
        read(self.client.get(format!("{}{path}", self.stack.info().gateway()))).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> StackResponse {
        read(self.client.post(format!("{}{path}", self.stack.info().gateway())).body(body.to_string())).await
    }

    /// Calls the control API of the AWS endpoints.
    pub async fn aws_control(&self, method: &str, path: &str, body: &Value) -> StackResponse {
        let url = format!("{}/_aws/{path}", self.stack.info().aws());
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        read(self.client.request(method, url).body(body.to_string())).await
    }

    /// Calls AWS with credentials that belong to no function.
    pub async fn aws(&self, target: &str, input: &Value) -> StackResponse {
        let request = self
            .client
            .post(self.stack.info().aws())
            .header("x-amz-target", target)
            .header("x-amz-date", "20260101T000000Z")
            .header("content-type", "application/x-amz-json-1.0")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=me/20260101/us-east-1/x/aws4_request, SignedHeaders=host, Signature=x")
            .body(input.to_string());
        read(request).await
    }

    /// The events that the probe has printed.
    pub fn events(&self) -> Vec<Value> {
        let logged = self.stack.logs().since(0);
        let lines = logged["lines"].as_array().cloned().unwrap_or_default();
        let events = lines.iter().filter_map(|line| line["line"].as_str()?.strip_prefix("event "));
        events.map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    /// Calls AWS through the probe, with its credentials.
    pub async fn aws_through(&self, target: &str, input: &Value) -> StackResponse {
        let mut url = url::Url::parse(&format!("{}/probe", self.stack.info().gateway())).unwrap();
        url.query_pairs_mut()
            .append_pair("do", "aws")
            .append_pair("target", target)
            .append_pair("input", &input.to_string());
        read(self.client.get(url)).await
    }
}

pub async fn read(request: reqwest::RequestBuilder) -> StackResponse {
    let response = request.send().await.unwrap();
    StackResponse {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// The state of a process (`R` running, `S` sleeping, `T` stopped), or `None` if it does not exist.
pub fn state(pid: i64) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim().chars().next()
}

/// Waits until a condition holds, for at most 30 seconds.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !condition() {
        assert!(std::time::Instant::now() < end, "the condition did not hold within 30 seconds");
        tokio::task::yield_now().await;
    }
}
