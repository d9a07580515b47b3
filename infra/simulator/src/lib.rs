//! A RingCentral simulator: the part of the platform that an SMS gateway uses, on loopback, with a clock that tests can
//! advance and faults that they can inject.
//!
//! It is for development and tests and never part of a deployment. A client cannot distinguish it from the platform by
//! documented behaviour, except by `/_sim`, the control API, which accepts only local requests. The simulator knows
//! nothing about the gateway that uses it.
//!
//! `README.md` of this crate describes the control API, and the decisions where RingCentral's sources disagree.
//!
//! Layers, each of which imports only those before it:
//! - `platform`: the records, as one state that can be saved;
//! - `rules`: what the platform does with the state;
//! - `runtime`: the lock, the tasks, the webhook calls, the file;
//! - `server`: HTTP.

#![expect(
    clippy::disallowed_methods,
    reason = "a server for development: it owns its clock, and its tasks outlive a request"
)]

mod platform;
mod rules;
mod runtime;
mod server;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

pub use platform::clock::parse_time;
pub use rules::seed::{SeedUser, SimulatorSeed};
pub use server::local_only::is_local_request;
pub use server::parse_advance_seconds;

use platform::clock::SECOND;
use rules::seed::{seed_of, seeded_state};
use runtime::simulator_core::SimulatorCore;
use runtime::{delivery, persistence};
use server::{listener, routes};

#[derive(Debug)]
pub struct SimulatorOptions {
    /// See [`listen`].
    pub listener: TcpListener,
    /// The base URL that clients use, for example `http://localhost:9410`. See [`public_url`].
    pub public_url: String,
    /// Redirect URIs of the seed apps, compared character for character.
    pub redirect_uris: Vec<String>,
    /// The folder that keeps the state between runs; `None`: memory only.
    pub data: Option<PathBuf>,
}

/// Listens on loopback. Port 0 selects a free port.
pub async fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await
}

/// The base URL of a listener with the host name `localhost`. To browsers it is another site than `127.0.0.1`, so cookies
/// and content security policies are tested across sites.
pub fn public_url(listener: &TcpListener) -> std::io::Result<String> {
    Ok(format!("http://localhost:{}", listener.local_addr()?.port()))
}

/// A running simulator. Dropping it stops it, without the last save that [`Simulator::stop`] waits for.
#[derive(Debug)]
pub struct Simulator {
    core: Arc<SimulatorCore>,
    server: tokio::task::JoinHandle<()>,
    saver: Option<tokio::task::JoinHandle<()>>,
}

impl Simulator {
    /// Fails if the state of an earlier run cannot be restored.
    pub async fn start(options: SimulatorOptions) -> anyhow::Result<Self> {
        let state = match &options.data {
            Some(folder) => persistence::load_state(folder, &options.redirect_uris).await?,
            None => seeded_state(&options.redirect_uris),
        };
        let (sender, events) = tokio::sync::mpsc::unbounded_channel();
        let storage = listen(0).await.context("the simulator's storage cannot listen")?;
        let storage_url = format!("http://{}", storage.local_addr()?);
        let core =
            SimulatorCore::new(state, &options.public_url, storage_url, options.redirect_uris, sender)?;
        tokio::spawn(delivery::deliver_events(Arc::clone(&core), events));
        tokio::spawn(Arc::clone(&core).apply_due_effects());
        let saver =
            options.data.map(|folder| tokio::spawn(persistence::save_changes(Arc::clone(&core), folder)));
        let router = routes::router(&core);
        let server = tokio::spawn(listener::serve(Arc::clone(&core), options.listener, router));
        let router = routes::storage_router(&core);
        tokio::spawn(listener::serve(Arc::clone(&core), storage, router));
        Ok(Self { core, server, saver })
    }

    /// The apps and users, for `stack.json`.
    #[must_use]
    pub fn seed(&self) -> SimulatorSeed {
        self.core.update(|state, _| seed_of(state))
    }

    /// The base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.core.public_url
    }

    /// Advances the clock. What falls due is applied before this returns.
    pub fn advance(&self, seconds: i64) {
        self.core.advance(seconds);
    }

    /// Returns when no webhook event is pending.
    pub async fn idle(&self) {
        self.core.idle().await;
    }

    /// Whether no webhook event is pending.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.core.is_idle()
    }

    /// How far the clock is ahead of the machine's, in seconds.
    #[must_use]
    pub fn clock_offset(&self) -> i64 {
        self.core.clock.offset() / SECOND
    }

    /// Stops serving, closes every connection and saves the state.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.core.stop();
        (&mut self.server).await.context("the simulator's server failed")?;
        if let Some(saver) = self.saver.take() {
            saver.await.context("the simulator's state could not be saved")?;
        }
        Ok(())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.core.stop();
    }
}
