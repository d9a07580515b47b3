//! A network between a client and the gateway that fails on demand.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Works,
    /// No request arrives.
    Cut,
    /// Requests arrive, and their responses are lost.
    LosesResponses,
    /// This is the response to every request.
    Responds(&'static str),
}

struct Shared {
    network: Mutex<Network>,
    failures: AtomicUsize,
}

impl Shared {
    fn network(&self) -> Network {
        *self.network.lock().unwrap()
    }

    fn fail(&self) {
        self.failures.fetch_add(1, Ordering::SeqCst);
    }
}

/// The proxy. It stops when it is dropped.
pub struct TcpProxy {
    url: String,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

impl TcpProxy {
    #[expect(clippy::disallowed_methods, reason = "the proxy runs beside the test; it is not a function")]
    pub async fn to(upstream: &str) -> Self {
        let upstream = upstream.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { network: Mutex::new(Network::Works), failures: AtomicUsize::new(0) });
        let of_server = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (shared, upstream) = (Arc::clone(&of_server), upstream.clone());
                tokio::spawn(async move {
                    if shared.network() == Network::Cut {
                        return shared.fail();
                    }
                    let Ok(server) = TcpStream::connect(&upstream).await else { return };
                    connect(client, server, &shared).await;
                });
            }
        });
        Self { url, shared, server }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn set(&self, network: Network) {
        *self.shared.network.lock().unwrap() = network;
    }

    /// How many requests have failed on the way.
    pub fn failures(&self) -> usize {
        self.shared.failures.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Copies both directions until one ends, or the network fails.
async fn connect(client: TcpStream, server: TcpStream, shared: &Shared) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let to_client = tokio::sync::Mutex::new(to_client);
    tokio::select! {
        () = copy_requests(from_client, to_server, &to_client, shared) => {}
        () = copy_responses(from_server, &to_client, shared) => {}
    }
}

async fn copy_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    back: &tokio::sync::Mutex<OwnedWriteHalf>,
    shared: &Shared,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        match shared.network() {
            Network::Cut => return shared.fail(),
            Network::Responds(response) => {
                shared.fail();
                let _ = back.lock().await.write_all(response.as_bytes()).await;
                return;
            }
            Network::Works | Network::LosesResponses => {
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn copy_responses(mut from: OwnedReadHalf, to: &tokio::sync::Mutex<OwnedWriteHalf>, shared: &Shared) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if shared.network() == Network::LosesResponses {
            return shared.fail();
        }
        if to.lock().await.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
