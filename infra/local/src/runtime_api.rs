//! The Lambda Runtime API for one instance of a function: its own port, so that an instance needs no name, and one that
//! outlives the runner finds nobody there and exits.

use crate::server::{self, Answer, Call, Server};
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{Method, Response, StatusCode};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// Lambda takes answers of up to 6 MB; base64 and JSON make them longer.
const LARGEST_ANSWER: usize = 9 * 1024 * 1024;

/// One call of a function.
pub struct Invocation {
    /// Its id, which the answer repeats.
    pub request_id: String,
    /// The event.
    pub payload: Bytes,
    /// When the function is killed, in milliseconds of the stack's clock.
    pub deadline_ms: i64,
    /// ARN of the function.
    pub function_arn: String,
}

/// What an instance says.
#[derive(Debug)]
pub enum Said {
    /// It asks for the next invocation: it is initialised, or done with the one before.
    Next,
    /// The answer to the invocation with this id.
    Answer(String, Bytes),
    /// The invocation with this id failed; an error document.
    Failure(String, Bytes),
    /// Initialising failed; an error document.
    InitFailure(Bytes),
}

/// The server for one instance.
pub struct RuntimeApi {
    /// `host:port` for `AWS_LAMBDA_RUNTIME_API`.
    pub address: SocketAddr,
    /// Invocations for the instance.
    pub invocations: mpsc::Sender<Invocation>,
    /// What the instance says, in order.
    pub said: mpsc::Receiver<Said>,
    _server: Server,
}

struct Channels {
    invocations: Mutex<mpsc::Receiver<Invocation>>,
    said: mpsc::Sender<Said>,
}

impl RuntimeApi {
    /// Starts to listen on a free port.
    pub async fn start() -> Result<Self> {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("no free port for the Lambda Runtime API")?;
        let address = listener.local_addr()?;
        let (invocations, receiver) = mpsc::channel(1);
        let (sender, said) = mpsc::channel(8);
        let channels = Arc::new(Channels { invocations: Mutex::new(receiver), said: sender });
        let server = server::serve(
            listener,
            LARGEST_ANSWER,
            || server::status(StatusCode::PAYLOAD_TOO_LARGE),
            move |call| {
                let channels = Arc::clone(&channels);
                async move { channels.answer(call).await }
            },
        );
        Ok(Self { address, invocations, said, _server: server })
    }
}

impl Channels {
    async fn answer(&self, call: Call) -> Answer {
        let path = call.uri.path().strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
        let parts: Vec<&str> = path.split('/').collect();
        let said = match (&call.method, parts.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => return self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => Said::Answer((*id).to_owned(), call.body),
            (&Method::POST, ["invocation", id, "error"]) => Said::Failure((*id).to_owned(), call.body),
            (&Method::POST, ["init", "error"]) => Said::InitFailure(call.body),
            _ => return server::status(StatusCode::NOT_FOUND),
        };
        let _ = self.said.send(said).await;
        server::json(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
    }

    async fn next(&self) -> Answer {
        let _ = self.said.send(Said::Next).await;
        let Some(invocation) = self.invocations.lock().await.recv().await else {
            return server::status(StatusCode::GONE);
        };
        let mut answer = Response::new(Full::new(invocation.payload));
        let trace = format!(
            "Root=1-{:08x}-{}",
            invocation.deadline_ms / 1000,
            &invocation.request_id.replace('-', "")[..24]
        );
        for (name, value) in [
            ("content-type", "application/json".to_owned()),
            ("lambda-runtime-aws-request-id", invocation.request_id),
            ("lambda-runtime-deadline-ms", invocation.deadline_ms.to_string()),
            ("lambda-runtime-invoked-function-arn", invocation.function_arn),
            ("lambda-runtime-trace-id", trace),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }
}
