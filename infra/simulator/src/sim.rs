//! The running simulator: the state behind a lock, the clock, and what wakes its tasks.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context;
use tokio::sync::{Notify, mpsc, watch};

use crate::clock::{Clock, Millis};
use crate::events::Outgoing;
use crate::state::World;

tokio::task_local! {
    /// The address under which the request at hand came in.
    static HOST: String;
}

/// Shared by all requests and tasks.
pub struct Sim {
    world: Mutex<World>,
    /// The clock by which everything expires.
    pub clock: Clock,
    /// The address that clients use.
    pub public_url: String,
    /// The same server under another host name.
    pub second_url: String,
    /// Redirect URIs of the seed apps, for a reset.
    pub redirect_uris: Vec<String>,
    http: OnceLock<reqwest::Client>,
    /// The state changed and should be written.
    pub dirty: Notify,
    /// Something may have fallen due earlier than thought.
    pub wake: Notify,
    /// Counts changes, for those who watch.
    pub changes: watch::Sender<u64>,
    events: mpsc::UnboundedSender<Outgoing>,
    pending: watch::Sender<usize>,
    stopped: watch::Sender<bool>,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

impl Sim {
    /// A simulator that does not serve yet; its events go to `events`.
    pub fn new(
        world: World,
        public_url: &str,
        redirect_uris: Vec<String>,
        events: mpsc::UnboundedSender<Outgoing>,
    ) -> anyhow::Result<Arc<Self>> {
        let public_url = public_url.trim_end_matches('/').to_owned();
        let mut second = url::Url::parse(&public_url).context("the simulator's address is not a URL")?;
        let other = if second.host_str() == Some("localhost") { "127.0.0.1" } else { "localhost" };
        second.set_host(Some(other)).context("the simulator's address has no host")?;
        Ok(Arc::new(Self {
            clock: Clock::with_offset(world.clock_offset),
            world: Mutex::new(world),
            second_url: second.as_str().trim_end_matches('/').to_owned(),
            public_url,
            redirect_uris,
            http: OnceLock::new(),
            dirty: Notify::new(),
            wake: Notify::new(),
            changes: watch::Sender::new(0),
            events,
            pending: watch::Sender::new(0),
            stopped: watch::Sender::new(false),
        }))
    }

    /// The client for handshakes and events; it follows no redirects. Made when it is first needed, because reading the
    /// system's certificates takes its time.
    pub fn http(&self) -> anyhow::Result<&reqwest::Client> {
        if self.http.get().is_none() {
            let client = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .user_agent("RingCentral-Webhook/8.3")
                .build()
                .context("no HTTP client for webhooks")?;
            // Another task may have been first; one of the two is as good as the other.
            let _ = self.http.set(client);
        }
        self.http.get().context("no HTTP client for webhooks")
    }

    /// Works on the state, with the time. Whatever has fallen due by then happens first.
    pub fn world<T>(&self, work: impl FnOnce(&mut World, Millis) -> T) -> T {
        let result = {
            let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.now();
            world.settle(now);
            let result = work(&mut world, now);
            world.clock_offset = self.clock.offset();
            for event in world.outbox.drain(..) {
                // Counted before it is sent, so that nobody finds the count at zero in between.
                self.pending.send_modify(|n| *n += 1);
                if self.events.send(event).is_err() {
                    self.delivered();
                }
            }
            result
        };
        self.changes.send_modify(|n| *n += 1);
        self.dirty.notify_one();
        self.wake.notify_one();
        result
    }

    /// Looks at the state without touching it.
    pub fn peek<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves the clock and lets happen what falls due.
    pub fn advance(&self, seconds: i64) {
        self.clock.advance(seconds);
        self.world(|_, _| ());
    }

    /// An event was delivered, or given up.
    pub fn delivered(&self) {
        self.pending.send_modify(|n| *n = n.saturating_sub(1));
    }

    /// Returns when no event is on its way.
    pub async fn idle(&self) {
        let mut pending = self.pending.subscribe();
        // The sender lives as long as `self`, so waiting can't fail.
        let _ = pending.wait_for(|n| *n == 0).await;
    }

    /// Whether no event is on its way.
    pub fn is_idle(&self) -> bool {
        *self.pending.borrow() == 0
    }

    /// Wakes up whenever something falls due, so that events go out while nobody calls.
    pub async fn tick(self: Arc<Self>) {
        loop {
            let due = self.peek(World::next_due);
            let wait = due.map(|at| (at - self.clock.now()).max(0).unsigned_abs());
            let sleep = async {
                match wait {
                    Some(ms) => tokio::time::sleep(std::time::Duration::from_millis(ms)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stopped() => return,
                () = self.wake.notified() => {}
                () = sleep => self.world(|_, _| ()),
            }
        }
    }

    /// The address that serves the content of attachments.
    pub fn media(&self, world: &World) -> String {
        if world.settings.media_on_second_host { self.second_url.clone() } else { self.uri("") }
    }

    /// Works under the host name that a request used, so that its reply points back to the same one: the second name
    /// is an environment of its own, as AT&T's and Verizon's are.
    pub async fn under_host<T>(&self, host: Option<&str>, work: impl Future<Output = T>) -> T {
        let second = self.second_url.split_once("://").map(|(_, name)| name);
        let base = if host.is_some() && host == second { &self.second_url } else { &self.public_url };
        HOST.scope(base.clone(), work).await
    }

    /// The absolute address of a path.
    pub fn uri(&self, path: &str) -> String {
        HOST.try_with(|base| format!("{base}{path}")).unwrap_or_else(|_| format!("{}{path}", self.public_url))
    }

    /// Ends every task.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Returns when the simulator stops.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.subscribe();
        // The sender lives as long as `self`, so waiting can't fail.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Runs work to its end even if the client goes away; none if the simulator stops meanwhile.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let sim = Arc::clone(self);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = sim.stopped() => None,
                result = work => Some(result),
            }
        });
        task.await.ok().flatten()
    }
}
