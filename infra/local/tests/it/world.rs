//! A stack for one test, and ways to talk to it.

use local::{Options, Stack};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Names of the functions of the fixture that have a binary.
const FUNCTIONS: [&str; 8] = ["probe", "quick", "broken", "looping", "few", "worker", "follower", "watcher"];

/// A folder with the probe under each of its names.
static BINARIES: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let test = std::env::current_exe().unwrap();
    let probe = test.parent().unwrap().parent().unwrap().join("examples/probe");
    let folder = tempfile::tempdir().unwrap();
    for name in FUNCTIONS {
        std::os::unix::fs::symlink(&probe, folder.path().join(name)).unwrap();
    }
    folder
});

/// The fixture template.
pub fn template() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/template.yaml")
}

/// Options for a stack of the fixture.
pub fn options() -> Options {
    Options {
        template: template(),
        binaries: BINARIES.path().to_owned(),
        ..Options::for_tests(Path::new("."))
    }
}

/// A stack and a client for it.
pub struct World {
    pub stack: Stack,
    pub client: reqwest::Client,
}

/// An answer, read.
pub struct Seen {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl World {
    pub async fn start() -> Self {
        Self::with(options()).await
    }

    pub async fn with(options: Options) -> Self {
        let stack = Stack::start(options).await.unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { stack, client }
    }

    pub async fn get(&self, path: &str) -> Seen {
        read(self.client.get(format!("{}{path}", self.stack.info().gateway()))).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Seen {
        read(self.client.post(format!("{}{path}", self.stack.info().gateway())).body(body.to_string())).await
    }

    /// A call of the control API of the AWS endpoints.
    pub async fn aws_control(&self, method: &str, path: &str, body: &Value) -> Seen {
        let url = format!("{}/_aws/{path}", self.stack.info().aws());
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        read(self.client.request(method, url).body(body.to_string())).await
    }

    /// An AWS call in nobody's name.
    pub async fn aws(&self, target: &str, input: &Value) -> Seen {
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

    /// The events that functions printed.
    pub fn events(&self) -> Vec<Value> {
        let logged = self.stack.logs().since(0);
        let lines = logged["lines"].as_array().cloned().unwrap_or_default();
        let events = lines.iter().filter_map(|line| line["line"].as_str()?.strip_prefix("event "));
        events.map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    /// An AWS call made by a function.
    pub async fn aws_through(&self, target: &str, input: &Value) -> Seen {
        let mut url = url::Url::parse(&format!("{}/probe", self.stack.info().gateway())).unwrap();
        url.query_pairs_mut()
            .append_pair("do", "aws")
            .append_pair("target", target)
            .append_pair("input", &input.to_string());
        read(self.client.get(url)).await
    }
}

pub async fn read(request: reqwest::RequestBuilder) -> Seen {
    let response = request.send().await.unwrap();
    Seen {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// The state letter of a process (`R` running, `S` sleeping, `T` stopped), or nothing if it is gone.
pub fn state(pid: i64) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim().chars().next()
}

/// Looks again and again until something is so; what takes longer than half a minute never will be.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_so() {
        assert!(std::time::Instant::now() < end, "waited for half a minute");
        tokio::task::yield_now().await;
    }
}
