//! The webhook receiver of the demo. It listens on loopback and verifies signatures with a Standard Webhooks library, as any
//! receiver does.

use crate::server::{self, HttpServer};
use anyhow::{Context, Result, bail};
use hyper::StatusCode;
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;

const MAX_BODY_BYTES: usize = 1024 * 1024;

#[derive(Default)]
struct State {
    secret: String,
    events: Vec<Value>,
    rejected: usize,
}

/// Stops when it is dropped.
pub struct DemoReceiver {
    pub url: String,
    state: Arc<Mutex<State>>,
    _server: HttpServer,
}

impl DemoReceiver {
    /// Listens on a free port. Before it knows its secret, it rejects every event.
    pub async fn start() -> Result<Self> {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("no free port for the webhook receiver")?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let too_large = || server::empty(StatusCode::PAYLOAD_TOO_LARGE);
        let server = server::serve(listener, MAX_BODY_BYTES, too_large, move |request| {
            let mut state = lock(&shared);
            let verified = standardwebhooks::Webhook::new(&state.secret)
                .is_ok_and(|webhook| webhook.verify(&request.body, &request.headers).is_ok());
            let event = serde_json::from_slice(&request.body).ok().filter(|_| verified);
            let status = if event.is_some() { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED };
            match event {
                Some(event) => state.events.push(event),
                None => state.rejected += 1,
            }
            std::future::ready(server::empty(status))
        });
        Ok(Self { url, state, _server: server })
    }

    /// Accepts events that are signed with this secret from now on.
    pub fn set_secret(&self, secret: &str) {
        lock(&self.state).secret = secret.to_owned();
    }

    /// Waits up to 30 seconds for an event.
    pub async fn event(&self, is_wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        for _ in 0..300 {
            let found = lock(&self.state).events.iter().find(|event| is_wanted(event)).cloned();
            if let Some(event) = found {
                return Ok(event);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let state = lock(&self.state);
        bail!(
            "the event did not arrive; {} other events did, {} requests were rejected",
            state.events.len(),
            state.rejected
        )
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
