//! A small HTTP/1 server with one handler. Dropping it closes the listener and every connection.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

pub type HttpResponse = Response<Full<Bytes>>;

/// A request whose body has been read.
pub struct HttpRequest {
    pub method: Method,
    /// Path and query as they were sent.
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub peer: SocketAddr,
}

impl HttpRequest {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first value of a query parameter.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.uri.query()?.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The body of a control call: an object of known fields, empty without a body.
    pub fn fields(&self, known: &[&str]) -> Result<Value, String> {
        if self.body.is_empty() {
            return Ok(Value::Object(Map::new()));
        }
        let value: Value =
            serde_json::from_slice(&self.body).map_err(|error| format!("the body is not JSON: {error}"))?;
        let object = value.as_object().ok_or("the body must be an object")?;
        match object.keys().find(|key| !known.contains(&key.as_str())) {
            Some(unknown) => Err(format!("{unknown}: unknown field")),
            None => Ok(value),
        }
    }

    /// Control APIs accept requests from this machine only: not through a rebound host name, and not from a page of
    /// another site.
    #[must_use]
    pub fn is_from_this_machine(&self) -> bool {
        simulator::is_local_request(self.peer, &self.headers)
    }
}

/// A response extension that makes the server close the connection instead of sending the response.
#[derive(Clone, Copy)]
pub struct CloseConnection;

/// A response that is never sent, because the server closes the connection.
#[must_use]
pub fn close_connection() -> HttpResponse {
    let mut response = empty(StatusCode::OK);
    response.extensions_mut().insert(CloseConnection);
    response
}

pub struct HttpServer {
    task: AbortHandle,
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves every request of `listener` with `handler`. A body over `body_limit` bytes gets the response of `too_large`.
pub fn serve<Handler, Reply>(
    listener: TcpListener,
    body_limit: usize,
    too_large: fn() -> HttpResponse,
    handler: Handler,
) -> HttpServer
where
    Handler: Fn(HttpRequest) -> Reply + Send + Sync + 'static,
    Reply: Future<Output = HttpResponse> + Send + 'static,
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
                // Most likely out of file descriptors: wait until other connections have closed.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            };
            // Without this, a small response waits for the acknowledgement of the previous one.
            let _ = stream.set_nodelay(true);
            let handler = Arc::clone(&handler);
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    handle(request, peer, body_limit, too_large, Arc::clone(&handler))
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    HttpServer { task: task.abort_handle() }
}

async fn handle<Handler, Reply>(
    request: Request<Incoming>,
    peer: SocketAddr,
    body_limit: usize,
    too_large: fn() -> HttpResponse,
    handler: Arc<Handler>,
) -> io::Result<HttpResponse>
where
    Handler: Fn(HttpRequest) -> Reply + Send + Sync + 'static,
    Reply: Future<Output = HttpResponse> + Send + 'static,
{
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, body_limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Ok(too_large()),
        Err(_) => return Ok(empty(StatusCode::BAD_REQUEST)),
    };
    let request = HttpRequest { method: head.method, uri: head.uri, headers: head.headers, body, peer };
    let response = handler(request).await;
    if response.extensions().get::<CloseConnection>().is_some() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(response)
}

/// A response without a body.
#[must_use]
pub fn empty(status: StatusCode) -> HttpResponse {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

#[must_use]
pub fn with_body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> HttpResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[must_use]
pub fn json(status: StatusCode, value: &Value) -> HttpResponse {
    with_body(status, "application/json", value.to_string())
}
