//! The RingCentral simulator as a part of the stack: what the stack needs of it, in one place.

use anyhow::Result;
use serde_json::Value;
use std::path::PathBuf;
use tokio::net::TcpListener;

/// A running simulator.
pub struct RingCentral {
    _listener: TcpListener,
}

impl RingCentral {
    /// Starts it; `gateway` is where its seed app may send browsers back to.
    #[expect(clippy::unused_async, reason = "starting the real one waits")]
    pub async fn start(
        listener: TcpListener,
        _url: &str,
        _gateway: &str,
        _data: Option<PathBuf>,
    ) -> Result<Self> {
        Ok(Self { _listener: listener })
    }

    /// The `rc` object of stack.json.
    #[must_use]
    pub fn seed(&self) -> Value {
        serde_json::json!({ "clientId": "local", "clientSecret": "local", "users": [] })
    }

    /// Moves its clock to this many seconds ahead of real time.
    pub fn move_clock_to(&self, _offset_seconds: i64) {}

    /// Stops it and writes its state.
    #[expect(clippy::unused_async, reason = "stopping the real one waits")]
    pub async fn stop(self) -> Result<()> {
        Ok(())
    }
}
