//! The Lambda Runtime API for one instance of a function. Every instance gets a separate port. So an instance needs no
//! name, and one that outlives the runner cannot connect and exits.

use crate::server::{self, HttpRequest, HttpResponse, HttpServer};
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

/// Lambda accepts responses of up to 6 MB; base64 and JSON make them longer.
const MAX_RESPONSE_BYTES: usize = 9 * 1024 * 1024;

pub struct RuntimeInvocation {
    /// The function repeats it in its response.
    pub request_id: String,
    pub payload: Bytes,
    /// When the runner kills the function, in milliseconds of the stack's clock.
    pub deadline_ms: i64,
    pub function_arn: String,
}

/// What an instance reports over its Runtime API.
#[derive(Debug)]
pub enum RuntimeMessage {
    /// It requests the next invocation: it has initialized, or has finished the previous one.
    Ready,
    /// The response to the invocation with this request id.
    Response(String, Bytes),
    /// An error document for the invocation with this request id.
    Error(String, Bytes),
    /// An error document: initialization failed.
    InitError(Bytes),
}

pub struct RuntimeApi {
    /// `host:port` for `AWS_LAMBDA_RUNTIME_API`.
    pub address: SocketAddr,
    pub invocations: mpsc::Sender<RuntimeInvocation>,
    /// In the order in which the instance sent them.
    pub messages: mpsc::Receiver<RuntimeMessage>,
    _server: HttpServer,
}

struct Channels {
    invocations: Mutex<mpsc::Receiver<RuntimeInvocation>>,
    messages: mpsc::Sender<RuntimeMessage>,
}

impl RuntimeApi {
    /// Listens on a free port.
    pub async fn start() -> Result<Self> {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("no free port for the Lambda Runtime API")?;
        let address = listener.local_addr()?;
        let (invocations, receiver) = mpsc::channel(1);
        let (sender, messages) = mpsc::channel(8);
        let channels = Arc::new(Channels { invocations: Mutex::new(receiver), messages: sender });
        let server = server::serve(
            listener,
            MAX_RESPONSE_BYTES,
            || server::empty(StatusCode::PAYLOAD_TOO_LARGE),
            move |request| {
                let channels = Arc::clone(&channels);
                async move { channels.handle(request).await }
            },
        );
        Ok(Self { address, invocations, messages, _server: server })
    }
}

impl Channels {
    async fn handle(&self, request: HttpRequest) -> HttpResponse {
        let path = request.uri.path().strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
        let segments: Vec<&str> = path.split('/').collect();
        let message = match (&request.method, segments.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => return self.next_invocation().await,
            (&Method::POST, ["invocation", id, "response"]) => {
                RuntimeMessage::Response((*id).to_owned(), request.body)
            }
            (&Method::POST, ["invocation", id, "error"]) => {
                RuntimeMessage::Error((*id).to_owned(), request.body)
            }
            (&Method::POST, ["init", "error"]) => RuntimeMessage::InitError(request.body),
            _ => return server::empty(StatusCode::NOT_FOUND),
        };
        let _ = self.messages.send(message).await;
        server::json(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
    }

    async fn next_invocation(&self) -> HttpResponse {
        let _ = self.messages.send(RuntimeMessage::Ready).await;
        let Some(invocation) = self.invocations.lock().await.recv().await else {
            return server::empty(StatusCode::GONE);
        };
        let mut response = Response::new(Full::new(invocation.payload));
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
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
