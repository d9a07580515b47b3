//! The connection that carries a request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Notify;

#[derive(Debug, Clone)]
pub struct ClientConnection {
    pub peer: SocketAddr,
    reset: Arc<Notify>,
}

impl ClientConnection {
    /// `reset` is notified when the connection must be reset.
    pub fn new(peer: SocketAddr, reset: Arc<Notify>) -> Self {
        Self { peer, reset }
    }

    /// Resets the connection. Never returns: the request ends with the connection.
    pub async fn reset(&self) -> Infallible {
        self.reset.notify_one();
        std::future::pending().await
    }
}
