//! Accepts connections. Each one runs as its own task and can be reset.

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

use crate::runtime::simulator_core::SimulatorCore;
use crate::server::connection::ClientConnection;
use crate::server::pipeline;

/// Serves until the simulator stops; then every connection ends.
pub async fn serve(core: Arc<SimulatorCore>, listener: TcpListener, router: axum::Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = core.stopped() => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(serve_connection(Arc::clone(&core), router.clone(), stream, peer));
                }
                // Most likely no file descriptor is free; closing connections frees some.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            },
        }
    }
}

async fn serve_connection(
    core: Arc<SimulatorCore>,
    router: axum::Router,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(Notify::new());
    let client = ClientConnection::new(peer, Arc::clone(&reset));
    let service = service_fn(move |request: Request<Incoming>| {
        let (core, router, client) = (Arc::clone(&core), router.clone(), client.clone());
        async move { Ok::<_, Infallible>(pipeline::handle(core, router, client, request.map(Body::new)).await) }
    });
    let mut connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // An error means that the client disconnected.
        _ = &mut connection => {}
        () = reset.notified() => {
            let stream = connection.into_parts().io.into_inner();
            let _ = stream.set_zero_linger();
        }
    }
}
