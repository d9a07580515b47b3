//! The RingCentral simulator as a part of the stack: what the stack needs of it, in one place.

use anyhow::Result;
use serde_json::Value;
use simulator::{Simulator, SimulatorOptions};
use std::path::PathBuf;
use tokio::net::TcpListener;

/// Where RingCentral sends browsers back to, below the gateway's address.
const CALLBACK: &str = "/v1/rc/callback";

/// A running simulator.
#[derive(Debug)]
pub struct RingCentral {
    simulator: Simulator,
}

impl RingCentral {
    /// Starts it; its seed app may send browsers back to the callback of `gateway`.
    pub async fn start(
        listener: TcpListener,
        url: &str,
        gateway: &str,
        data: Option<PathBuf>,
    ) -> Result<Self> {
        let options = SimulatorOptions {
            listener,
            public_url: url.to_owned(),
            redirect_uris: vec![format!("{gateway}{CALLBACK}")],
            data: data.map(|folder| folder.join("simulator")),
        };
        Ok(Self { simulator: Simulator::start(options).await? })
    }

    /// The `rc` object of stack.json.
    pub fn seed(&self) -> Result<Value> {
        Ok(serde_json::to_value(self.simulator.seed())?)
    }

    /// Moves its clock to this many seconds ahead of real time; a clock never goes back.
    pub fn move_clock_to(&self, offset_seconds: i64) {
        let behind = offset_seconds - self.simulator.clock_offset();
        if behind > 0 {
            self.simulator.advance(behind);
        }
    }

    /// Moves its clock forward.
    pub fn advance(&self, seconds: i64) {
        self.simulator.advance(seconds);
    }

    /// Waits until no event is on its way to a webhook.
    pub async fn idle(&self) {
        self.simulator.idle().await;
    }

    /// Whether no event is on its way to a webhook.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.simulator.is_idle()
    }

    /// Stops it and writes its state.
    pub async fn stop(self) -> Result<()> {
        self.simulator.stop().await
    }
}
