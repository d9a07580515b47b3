//! A small HTTP/1 server: one handler for everything, closed with all its connections when dropped.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// A whole answer.
pub type Answer = Response<Full<Bytes>>;

/// A request whose body was read.
pub struct Call {
    /// Method.
    pub method: Method,
    /// Path and query as they were sent.
    pub uri: Uri,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Who sent it.
    pub peer: SocketAddr,
}

impl Call {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A value of the query.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.uri.query()?.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// A control API answers only this machine: not through a rebound name, not to a page of another site.
    #[must_use]
    pub fn is_from_this_machine(&self) -> bool {
        simulator::is_local_request(self.peer, &self.headers)
    }
}

/// Put into the extensions of an answer: close the connection instead of answering.
#[derive(Clone, Copy)]
pub struct DropConnection;

/// An answer that never arrives: the connection is closed.
#[must_use]
pub fn dropped() -> Answer {
    let mut answer = status(StatusCode::OK);
    answer.extensions_mut().insert(DropConnection);
    answer
}

/// A running server; dropping it closes the listener and every connection.
pub struct Server {
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves every request of `listener` with `handler`; bodies over `limit` bytes are answered by `too_large`.
pub fn serve<Handler, Reply>(
    listener: TcpListener,
    limit: usize,
    too_large: fn() -> Answer,
    handler: Handler,
) -> Server
where
    Handler: Fn(Call) -> Reply + Send + Sync + 'static,
    Reply: Future<Output = Answer> + Send + 'static,
{
    let handler = Arc::new(handler);
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let Ok((stream, peer)) = accepted else {
                // Out of file descriptors, most likely: give others the time to close theirs.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            };
            // Without this, small answers wait for the acknowledgement of the one before.
            let _ = stream.set_nodelay(true);
            let handler = Arc::clone(&handler);
            connections.spawn(async move {
                let service =
                    service_fn(move |request| answer(request, peer, limit, too_large, Arc::clone(&handler)));
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Server { task: task.abort_handle() }
}

async fn answer<Handler, Reply>(
    request: Request<Incoming>,
    peer: SocketAddr,
    limit: usize,
    too_large: fn() -> Answer,
    handler: Arc<Handler>,
) -> io::Result<Answer>
where
    Handler: Fn(Call) -> Reply + Send + Sync + 'static,
    Reply: Future<Output = Answer> + Send + 'static,
{
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Ok(too_large()),
        Err(_) => return Ok(status(StatusCode::BAD_REQUEST)),
    };
    let answer =
        handler(Call { method: head.method, uri: head.uri, headers: head.headers, body, peer }).await;
    if answer.extensions().get::<DropConnection>().is_some() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(answer)
}

/// An answer without a body.
#[must_use]
pub fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// An answer with a body of the given type.
#[must_use]
pub fn body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// An answer in JSON.
#[must_use]
pub fn json(status: StatusCode, value: &Value) -> Answer {
    body(status, "application/json", value.to_string())
}
