//! A host of pictures on the loopback interface, which misbehaves as its URLs ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, Uri};
use futures_util::StreamExt;

/// A picture of this many bytes, as far as its first bytes tell. `seed` makes pictures differ.
pub fn png(bytes: usize, seed: u8) -> Vec<u8> {
    let mut picture = b"\x89PNG\r\n\x1A\n".to_vec();
    picture.extend((0..bytes.saturating_sub(8)).map(|at| u8::try_from(at % 251).unwrap() ^ seed));
    picture
}

#[derive(Default)]
struct Hits(Mutex<BTreeMap<String, usize>>);

/// The host. It stops when it is dropped.
pub struct MediaHost {
    base: String,
    hits: Arc<Hits>,
    server: tokio::task::JoinHandle<()>,
}

impl MediaHost {
    #[expect(clippy::disallowed_methods, reason = "the server runs beside the test; it is not a function")]
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let hits = Arc::new(Hits::default());
        let app = axum::Router::new().fallback(respond).with_state(Arc::clone(&hits));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, hits, server }
    }

    /// The URL of a path:
    ///
    /// | path | response |
    /// | --- | --- |
    /// | `/png/BYTES/SEED` | [`png`] |
    /// | `/as/TYPE…` | a small picture with this media type |
    /// | `/status/STATUS` | this status |
    /// | `/failing/COUNT/STATUS/NAME` | this status for the first `COUNT` requests, then a picture |
    /// | `/hops/COUNT` | `COUNT` redirects, then a picture |
    /// | `/to/URL…` | a redirect to this URL |
    /// | `/empty`, `/html`, `/gzip`, `/cut` | no bytes; a page; a compressed body; fewer bytes than announced |
    /// | `/drip`, `/endless`, `/hang` | a byte a second; a body without an end; nothing |
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// How often a path was requested.
    pub fn hits(&self, path: &str) -> usize {
        self.hits.0.lock().unwrap().get(path).copied().unwrap_or_default()
    }
}

impl Drop for MediaHost {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn respond(State(hits): State<Arc<Hits>>, uri: Uri) -> Response<Body> {
    let path = uri.path().to_owned();
    let hit = {
        let mut hits = hits.0.lock().unwrap();
        let count = hits.entry(path.clone()).or_default();
        *count += 1;
        *count
    };
    let picture = |bytes| file("image/png", Body::from(bytes));
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (kind, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let numbers: Vec<usize> = rest.split('/').filter_map(|part| part.parse().ok()).collect();
    match (kind, numbers.as_slice()) {
        ("png", [bytes, seed]) => picture(png(*bytes, u8::try_from(*seed).unwrap())),
        ("as", _) => file(rest, Body::from(png(100, 0))),
        ("status", [status]) => status_of(*status),
        ("failing", [times, status, ..]) if hit <= *times => status_of(*status),
        ("failing", _) | ("hops", [0]) => picture(png(100, 0)),
        ("hops", [count]) => redirect(&format!("/hops/{}", count - 1)),
        ("to", _) => redirect(rest),
        ("empty", _) => picture(Vec::new()),
        ("html", _) => file("text/html; charset=utf-8", Body::from("<html>Please sign in</html>")),
        ("gzip", _) => {
            let mut response = picture(vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
            response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
            response
        }
        ("cut", _) => {
            let some = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from(png(100, 0)))]);
            let mut response = file("image/png", Body::from_stream(some));
            response.headers_mut().insert("content-length", "200".parse().unwrap());
            response
        }
        ("drip", _) => {
            let bytes = futures_util::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
            });
            file("image/png", Body::from_stream(bytes))
        }
        ("endless", _) => {
            let bytes = futures_util::stream::repeat(Bytes::from(vec![0; 65_536]));
            file("image/png", Body::from_stream(bytes.map(Ok::<_, std::io::Error>)))
        }
        ("hang", _) => std::future::pending().await,
        _ => status_of(404),
    }
}

fn file(content_type: &str, body: Body) -> Response<Body> {
    Response::builder().header("content-type", content_type).body(body).unwrap()
}

fn status_of(status: usize) -> Response<Body> {
    Response::builder().status(u16::try_from(status).unwrap()).body(Body::empty()).unwrap()
}

fn redirect(to: &str) -> Response<Body> {
    Response::builder().status(302).header("location", to).body(Body::empty()).unwrap()
}
