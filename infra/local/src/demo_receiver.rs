//! The tenant's program that the demo has told of a reply: it listens on loopback, and verifies what arrives with a
//! Standard Webhooks library, as any receiver would.

use crate::server::{self, Server};
use anyhow::{Context, Result, bail};
use hyper::StatusCode;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;

/// The most that it takes.
const LIMIT: usize = 1024 * 1024;

#[derive(Default)]
struct State {
    secret: String,
    events: Vec<Value>,
    refused: usize,
}

/// The program; it stops when it is dropped.
pub struct Receiver {
    /// Its address.
    pub url: String,
    state: Arc<Mutex<State>>,
    _server: Server,
}

impl Receiver {
    /// Listens on a free port. Until it knows its secret, it refuses everything.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a receiver can't listen")?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let too_large = || server::status(StatusCode::PAYLOAD_TOO_LARGE);
        let server = server::serve(listener, LIMIT, too_large, move |call| {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let genuine = standardwebhooks::Webhook::new(&state.secret)
                .is_ok_and(|webhook| webhook.verify(&call.body, &call.headers).is_ok());
            let event = serde_json::from_slice(&call.body).ok().filter(|_| genuine);
            let answer = if event.is_some() { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED };
            match event {
                Some(event) => state.events.push(event),
                None => state.refused += 1,
            }
            std::future::ready(server::status(answer))
        });
        Ok(Self { url, state, _server: server })
    }

    /// From now on it takes what this secret has signed.
    pub fn trust(&self, secret: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).secret = secret.to_owned();
    }

    /// Waits for an event, for at most 30 seconds.
    pub async fn event(&self, wished: impl Fn(&Value) -> bool) -> Result<Value> {
        for _ in 0..300 {
            let found = {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.events.iter().find(|event| wished(event)).cloned()
            };
            if let Some(event) = found {
                return Ok(event);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        bail!("the event has not arrived; {} others have, {} were refused", state.events.len(), state.refused)
    }
}
