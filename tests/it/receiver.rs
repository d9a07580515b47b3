//! A webhook endpoint on the loopback interface, whose behaviour a test chooses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use futures_util::StreamExt;
use serde_json::Value;

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl ReceivedRequest {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// True if an independent Standard Webhooks library computes the same signature. Ignores the age of the timestamp: the
    /// tests move the clock.
    pub fn verifies(&self, secret: &str) -> bool {
        let webhook = standardwebhooks::Webhook::new(secret).unwrap();
        let at = self.header("webhook-timestamp").parse().unwrap();
        let expected = webhook.sign(self.header("webhook-id"), at, self.body.as_bytes()).unwrap();
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

/// How a path responds.
#[derive(Debug, Clone, Copy)]
pub enum Behaviour {
    Status(u16),
    /// With a status and `Retry-After` in seconds.
    Later(u16, u64),
    /// With a status and `Retry-After` as a date, this many seconds after that of the response.
    LaterAt(u16, i64),
    /// With a status and this `Retry-After`.
    LaterAs(u16, &'static str),
    /// Never.
    Hang,
    /// With a body of one byte per second.
    Drip,
    /// With a redirect to an internal path.
    Redirect,
    /// With a body that does not end.
    Endless,
    /// With headers of 100 KB.
    HugeHeaders,
}

#[derive(Default)]
struct Shared {
    arrivals: Mutex<Vec<ReceivedRequest>>,
    behaviours: Mutex<BTreeMap<String, Behaviour>>,
    concurrency: Mutex<BTreeMap<String, Concurrency>>,
}

/// The concurrent requests of a path.
#[derive(Default, Clone, Copy)]
struct Concurrency {
    now: usize,
    most: usize,
}

/// A request in progress. It ends with the response, or when the client disconnects.
struct InProgress {
    shared: Arc<Shared>,
    path: String,
}

impl InProgress {
    fn enter(shared: &Arc<Shared>, path: &str) -> Self {
        let mut concurrency = shared.concurrency.lock().unwrap();
        let of_path = concurrency.entry(path.to_owned()).or_default();
        of_path.now += 1;
        of_path.most = of_path.most.max(of_path.now);
        Self { shared: Arc::clone(shared), path: path.to_owned() }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        if let Some(of_path) = self.shared.concurrency.lock().unwrap().get_mut(&self.path) {
            of_path.now -= 1;
        }
    }
}

/// The endpoint. It stops when it is dropped.
pub struct WebhookEndpoint {
    base: String,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

impl WebhookEndpoint {
    /// Starts the endpoint. It responds to every request with 200.
    #[expect(clippy::disallowed_methods, reason = "the server runs beside the test; it is not a function")]
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let shared = Arc::new(Shared::default());
        let app = axum::Router::new().fallback(respond).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, shared, server }
    }

    /// The URL of a path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sets the behaviour of a path.
    pub fn behave(&self, path: &str, behaviour: Behaviour) {
        self.shared.behaviours.lock().unwrap().insert(path.to_owned(), behaviour);
    }

    /// The requests that have arrived at a path, in order.
    pub fn arrivals(&self, path: &str) -> Vec<ReceivedRequest> {
        let all = self.shared.arrivals.lock().unwrap();
        all.iter().filter(|arrival| arrival.path == path).cloned().collect()
    }

    /// The largest number of concurrent requests of a path.
    pub fn most_at_once(&self, path: &str) -> usize {
        self.shared.concurrency.lock().unwrap().get(path).map_or(0, |of_path| of_path.most)
    }
}

impl Drop for WebhookEndpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn respond(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path().to_owned();
    let _in_progress = InProgress::enter(&shared, &path);
    let behaviour = shared.behaviours.lock().unwrap().get(&path).copied().unwrap_or(Behaviour::Status(200));
    let body = String::from_utf8(body.to_vec()).unwrap();
    shared.arrivals.lock().unwrap().push(ReceivedRequest { path, headers, body });
    let plain = Response::builder();
    match behaviour {
        Behaviour::Status(status) => plain.status(status).body(Body::from("noted")),
        Behaviour::Later(status, seconds) => {
            plain.status(status).header("retry-after", seconds).body(Body::empty())
        }
        Behaviour::LaterAt(status, seconds) => {
            let date = |after| {
                let at = jiff::Timestamp::from_second(1_900_000_000 + after).unwrap();
                at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
            };
            plain
                .status(status)
                .header("date", date(0))
                .header("retry-after", date(seconds))
                .body(Body::empty())
        }
        Behaviour::LaterAs(status, text) => {
            plain.status(status).header("retry-after", text).body(Body::empty())
        }
        Behaviour::Hang => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            plain.body(Body::empty())
        }
        Behaviour::Drip => {
            let bytes = futures_util::stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b"a")), ()))
            });
            plain.body(Body::from_stream(bytes))
        }
        Behaviour::Redirect => plain.status(307).header("location", "/inside").body(Body::empty()),
        Behaviour::Endless => {
            let chunks = futures_util::stream::repeat(Bytes::from(vec![b'a'; 1_024]));
            plain.body(Body::from_stream(chunks.map(Ok::<_, std::io::Error>)))
        }
        Behaviour::HugeHeaders => {
            let many = (0..100).fold(plain, |plain, at| plain.header(format!("x-{at}"), "a".repeat(1_024)));
            many.body(Body::empty())
        }
    }
    .unwrap()
}
