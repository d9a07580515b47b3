//! A tenant's program that receives events, on loopback, with the manners that a test gives it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use futures_util::StreamExt;
use serde_json::Value;

/// What arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Arrival {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// What an independent Standard Webhooks library says of it. Whether the time is near is another question: the
    /// tests move it.
    pub fn verifies(&self, secret: &str) -> bool {
        let webhook = standardwebhooks::Webhook::new(secret).unwrap();
        let at = self.header("webhook-timestamp").parse().unwrap();
        let expected = webhook.sign(self.header("webhook-id"), at, self.body.as_bytes()).unwrap();
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

/// How a path answers.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// With a status.
    Status(u16),
    /// With a status and `Retry-After`.
    Later(u16, u64),
    /// Never.
    Hang,
    /// Byte by byte, one in a second.
    Drip,
    /// With a redirect to this machine's inside.
    Redirect,
    /// With a body that does not end.
    Endless,
    /// With headers of 100 KB.
    HugeHeaders,
}

#[derive(Default)]
struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    manners: Mutex<BTreeMap<String, Manner>>,
    crowds: Mutex<BTreeMap<String, Crowd>>,
}

/// How many requests a path has at once, and has had.
#[derive(Default, Clone, Copy)]
struct Crowd {
    now: usize,
    most: usize,
}

/// A request that is being answered; it ends with its answer, or with whoever asked.
struct Guest {
    shared: Arc<Shared>,
    path: String,
}

impl Guest {
    fn enter(shared: &Arc<Shared>, path: &str) -> Self {
        let mut crowds = shared.crowds.lock().unwrap();
        let crowd = crowds.entry(path.to_owned()).or_default();
        crowd.now += 1;
        crowd.most = crowd.most.max(crowd.now);
        Self { shared: Arc::clone(shared), path: path.to_owned() }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(crowd) = self.shared.crowds.lock().unwrap().get_mut(&self.path) {
            crowd.now -= 1;
        }
    }
}

/// The program. It stops when it is dropped.
pub struct Receiver {
    base: String,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Listens, and answers 200 to everything.
    #[expect(clippy::disallowed_methods, reason = "the receiver is a server beside the test, not a function")]
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let shared = Arc::new(Shared::default());
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, shared, server }
    }

    /// An address of it.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// From now on a path answers so.
    pub fn behave(&self, path: &str, manner: Manner) {
        self.shared.manners.lock().unwrap().insert(path.to_owned(), manner);
    }

    /// What has arrived at a path, in order.
    pub fn arrivals(&self, path: &str) -> Vec<Arrival> {
        let all = self.shared.arrivals.lock().unwrap();
        all.iter().filter(|arrival| arrival.path == path).cloned().collect()
    }

    /// How many requests a path has had at once at most.
    pub fn most_at_once(&self, path: &str) -> usize {
        self.shared.crowds.lock().unwrap().get(path).map_or(0, |crowd| crowd.most)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path().to_owned();
    let _guest = Guest::enter(&shared, &path);
    let manner = shared.manners.lock().unwrap().get(&path).copied().unwrap_or(Manner::Status(200));
    let body = String::from_utf8(body.to_vec()).unwrap();
    shared.arrivals.lock().unwrap().push(Arrival { path, headers, body });
    let plain = Response::builder();
    match manner {
        Manner::Status(status) => plain.status(status).body(Body::from("noted")),
        Manner::Later(status, seconds) => {
            plain.status(status).header("retry-after", seconds).body(Body::empty())
        }
        Manner::Hang => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            plain.body(Body::empty())
        }
        Manner::Drip => {
            let bytes = futures_util::stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b"a")), ()))
            });
            plain.body(Body::from_stream(bytes))
        }
        Manner::Redirect => plain.status(307).header("location", "/inside").body(Body::empty()),
        Manner::Endless => {
            let chunks = futures_util::stream::repeat(Bytes::from(vec![b'a'; 1_024]));
            plain.body(Body::from_stream(chunks.map(Ok::<_, std::io::Error>)))
        }
        Manner::HugeHeaders => {
            let many = (0..100).fold(plain, |plain, at| plain.header(format!("x-{at}"), "a".repeat(1_024)));
            many.body(Body::empty())
        }
    }
    .unwrap()
}
