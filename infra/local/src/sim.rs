//! The RingCentral simulator as a part of the stack.

use anyhow::Result;
use serde_json::Value;
use simulator::{Simulator, SimulatorOptions};
use std::path::PathBuf;
use tokio::net::TcpListener;

/// The path of the OAuth redirect URI.
const CALLBACK: &str = "/v1/rc/callback";

#[derive(Debug)]
pub struct RunningSimulator {
    simulator: Simulator,
}

impl RunningSimulator {
    /// `functions_url` is where the functions are served; it is the base of the seed app's redirect URI.
    pub async fn start(
        listener: TcpListener,
        url: &str,
        functions_url: &str,
        data: Option<PathBuf>,
    ) -> Result<Self> {
        let options = SimulatorOptions {
            listener,
            public_url: url.to_owned(),
            redirect_uris: vec![format!("{functions_url}{CALLBACK}")],
            data: data.map(|folder| folder.join("simulator")),
        };
        Ok(Self { simulator: Simulator::start(options).await? })
    }

    /// The `rc` object of `stack.json`.
    pub fn seed(&self) -> Result<Value> {
        Ok(serde_json::to_value(self.simulator.seed())?)
    }

    /// Moves its clock forward until it has this offset from real time.
    pub fn move_clock_to(&self, offset_seconds: i64) {
        let behind = offset_seconds - self.simulator.clock_offset();
        if behind > 0 {
            self.simulator.advance(behind);
        }
    }

    pub fn advance(&self, seconds: i64) {
        self.simulator.advance(seconds);
    }

    /// Waits until no webhook delivery is in progress.
    pub async fn wait_until_idle(&self) {
        self.simulator.idle().await;
    }

    /// Whether no webhook delivery is in progress.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.simulator.is_idle()
    }

    /// Stops it and saves its state.
    pub async fn stop(self) -> Result<()> {
        self.simulator.stop().await
    }
}
