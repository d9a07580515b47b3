//! The listener: one task per connection, each with a handle that can reset it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::gate;
use crate::routes;
use crate::sim::Sim;

/// The connection that a request came over.
#[derive(Debug, Clone)]
pub struct Wire {
    /// Who is at the other end.
    pub peer: SocketAddr,
    reset: Arc<Notify>,
}

impl Wire {
    /// Resets the connection. Never returns: the request ends with it.
    pub async fn reset(&self) -> Infallible {
        self.reset.notify_one();
        std::future::pending().await
    }
}

/// Serves until the simulator stops; then every connection ends.
pub async fn serve(sim: Arc<Sim>, listener: TcpListener) {
    let router = routes::router(&sim);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = sim.stopped() => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(Arc::clone(&sim), router.clone(), stream, peer));
                }
                // Out of file descriptors, most likely: others may close some.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            },
        }
    }
}

async fn connection(sim: Arc<Sim>, router: axum::Router, stream: TcpStream, peer: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(Notify::new());
    let wire = Wire { peer, reset: Arc::clone(&reset) };
    let service = service_fn(move |request: Request<Incoming>| {
        let (sim, router, wire) = (Arc::clone(&sim), router.clone(), wire.clone());
        async move { Ok::<_, Infallible>(gate::answer(sim, router, wire, request.map(Body::new)).await) }
    });
    let mut connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let served = tokio::select! {
        // A client that breaks off is its own business.
        _ = &mut connection => true,
        () = reset.notified() => false,
    };
    if !served {
        let stream = connection.into_parts().io.into_inner();
        let _ = stream.set_zero_linger();
    }
}
