//! A RingCentral simulator: the part of the platform that an SMS gateway meets, on loopback, with a clock that can be
//! moved and faults that can be asked for.
//!
//! It is for development and tests and never part of a deployment. It keeps one invariant: a client cannot tell it
//! from the platform by what is documented, except through `/_sim`, the control API, which only loopback may call. It
//! knows nothing about the gateway that it serves.
//!
//! `README.md` beside this crate lists the control API and what is decided where RingCentral's texts disagree.
//!
//! Where to look: `state` is everything it knows, `gate` the way of a request (faults first), `routes` the
//! endpoints with their throttling groups and permissions, `oauth` the logins, `settings` the switches.

#![expect(
    clippy::disallowed_methods,
    reason = "a server for development: it owns its clock, and its tasks outlive a request"
)]

mod account;
mod caller;
mod clock;
mod consents;
mod control;
mod error;
mod events;
mod faults;
mod filters;
mod gate;
mod handshake;
mod inbound;
mod ledger;
mod limits;
mod messages;
mod multipart;
mod numbers;
mod oauth;
mod page;
mod paging;
mod routes;
mod save;
mod seed;
mod server;
mod settings;
mod sim;
mod sms;
mod state;
mod store;
mod subscriptions;
mod sync;
mod webhooks;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

pub use clock::parse_iso;
pub use control::{advance_seconds, is_from_this_machine};
pub use seed::{Seed, SeedUser};
use sim::Sim;

/// How to start a simulator.
#[derive(Debug)]
pub struct Options {
    /// Where it listens. See [`listen`].
    pub listener: TcpListener,
    /// Its address as clients write it, for example `http://localhost:9410`. See [`public_url`].
    pub public_url: String,
    /// Redirect URIs of the seed apps, matched character for character.
    pub redirect_uris: Vec<String>,
    /// The folder that keeps its state between runs; none: memory only.
    pub data: Option<PathBuf>,
}

/// Listens on loopback; port 0 takes any free one.
pub async fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await
}

/// The address of a listener under the name `localhost`: another site than `127.0.0.1`, so that cookies and content
/// security policies are tested across sites.
pub fn public_url(listener: &TcpListener) -> std::io::Result<String> {
    Ok(format!("http://localhost:{}", listener.local_addr()?.port()))
}

/// A running simulator. It stops when this is dropped, without the last flush that [`Simulator::stop`] does.
#[derive(Debug)]
pub struct Simulator {
    sim: Arc<Sim>,
    server: tokio::task::JoinHandle<()>,
    saver: Option<tokio::task::JoinHandle<()>>,
}

impl Simulator {
    /// Starts to serve. Fails if the state of an earlier run cannot be restored.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let world = match &options.data {
            Some(folder) => save::load(folder, &options.redirect_uris).await?,
            None => state::World::seeded(&options.redirect_uris),
        };
        let (sender, events) = tokio::sync::mpsc::unbounded_channel();
        let sim = Sim::new(world, &options.public_url, options.redirect_uris, sender)?;
        tokio::spawn(webhooks::deliver(Arc::clone(&sim), events));
        tokio::spawn(Arc::clone(&sim).tick());
        let saver = options.data.map(|folder| tokio::spawn(save::keep(Arc::clone(&sim), folder)));
        let server = tokio::spawn(server::serve(Arc::clone(&sim), options.listener));
        Ok(Self { sim, server, saver })
    }

    /// The app and the users, as `stack.json` shows them.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.sim.world(|world, _| seed::seed(world))
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.sim.public_url
    }

    /// Moves its clock; what falls due happens before this returns.
    pub fn advance(&self, seconds: i64) {
        self.sim.advance(seconds);
    }

    /// Returns when no webhook event is on its way any more.
    pub async fn idle(&self) {
        self.sim.idle().await;
    }

    /// Whether no webhook event is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sim.is_idle()
    }

    /// How far its clock is ahead, in seconds.
    #[must_use]
    pub fn clock_offset(&self) -> i64 {
        self.sim.clock.offset() / clock::SECOND
    }

    /// Stops serving, ends every connection and writes the state.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.sim.stop();
        (&mut self.server).await.context("the simulator's server failed")?;
        if let Some(saver) = self.saver.take() {
            saver.await.context("the simulator's state was not written")?;
        }
        Ok(())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.sim.stop();
    }
}
