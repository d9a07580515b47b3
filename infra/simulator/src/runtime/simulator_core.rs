//! The state behind a lock, the clock, and the signals between tasks.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context;
use tokio::sync::{Notify, mpsc, watch};

use crate::platform::clock::{Millis, SimulatorClock};
use crate::platform::events::WebhookEvent;
use crate::platform::state::PlatformState;
use crate::platform::urls::BaseUrls;

tokio::task_local! {
    /// The base URL that the current request was sent to.
    static REQUEST_BASE_URL: String;
}

/// Shared by all requests and tasks.
pub struct SimulatorCore {
    state: Mutex<PlatformState>,
    pub clock: SimulatorClock,
    /// The base URL that clients use.
    pub public_url: String,
    /// The same server under another host name.
    pub second_url: String,
    /// Another server, for content that is behind a redirect.
    pub storage_url: String,
    /// Redirect URIs of the seed apps, for a reset.
    pub redirect_uris: Vec<String>,
    http: OnceLock<reqwest::Client>,
    /// Notified when the state changed and should be saved.
    pub changed: Notify,
    /// Notified when the next due time may have changed.
    reschedule: Notify,
    /// Counts changes, for the live view.
    pub changes: watch::Sender<u64>,
    events: mpsc::UnboundedSender<WebhookEvent>,
    /// Events that are queued or being sent.
    pending: watch::Sender<usize>,
    stopped: watch::Sender<bool>,
}

impl std::fmt::Debug for SimulatorCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatorCore").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

impl SimulatorCore {
    /// Events go to `events`.
    pub fn new(
        state: PlatformState,
        public_url: &str,
        storage_url: String,
        redirect_uris: Vec<String>,
        events: mpsc::UnboundedSender<WebhookEvent>,
    ) -> anyhow::Result<Arc<Self>> {
        let public_url = public_url.trim_end_matches('/').to_owned();
        let mut second = url::Url::parse(&public_url).context("the simulator's base URL is invalid")?;
        let other = if second.host_str() == Some("localhost") { "127.0.0.1" } else { "localhost" };
        second.set_host(Some(other)).context("the simulator's base URL has no host")?;
        Ok(Arc::new(Self {
            clock: SimulatorClock::with_offset(state.clock_offset),
            state: Mutex::new(state),
            second_url: second.as_str().trim_end_matches('/').to_owned(),
            public_url,
            storage_url,
            redirect_uris,
            http: OnceLock::new(),
            changed: Notify::new(),
            reschedule: Notify::new(),
            changes: watch::Sender::new(0),
            events,
            pending: watch::Sender::new(0),
            stopped: watch::Sender::new(false),
        }))
    }

    /// The client for handshakes and events. It follows no redirects. It is created on first use, because reading the
    /// system's certificates takes a noticeable time.
    pub fn http(&self) -> anyhow::Result<&reqwest::Client> {
        if self.http.get().is_none() {
            let client = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .user_agent("RingCentral-Webhook/8.3")
                .build()
                .context("the HTTP client for webhooks cannot be created")?;
            // If another task created one meanwhile, that one is used.
            let _ = self.http.set(client);
        }
        self.http.get().context("the HTTP client for webhooks cannot be created")
    }

    /// Applies what has fallen due, then runs `operation` on the state with the current time, then queues its events.
    pub fn update<T>(&self, operation: impl FnOnce(&mut PlatformState, Millis) -> T) -> T {
        let result = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.now();
            state.apply_due(now);
            let result = operation(&mut state, now);
            state.clock_offset = self.clock.offset();
            for event in state.queued_events.drain(..) {
                // Counted before it is sent, so that the count is never zero in between.
                self.pending.send_modify(|n| *n += 1);
                if self.events.send(event).is_err() {
                    self.finish_event();
                }
            }
            result
        };
        self.changes.send_modify(|n| *n += 1);
        self.changed.notify_one();
        self.reschedule.notify_one();
        result
    }

    /// Reads the state without applying what has fallen due.
    pub fn read<T>(&self, operation: impl FnOnce(&PlatformState) -> T) -> T {
        operation(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Advances the clock and applies what falls due.
    pub fn advance(&self, seconds: i64) {
        self.clock.advance(seconds);
        self.update(|_, _| ());
    }

    /// Reports that an event was delivered, dropped, or failed.
    pub fn finish_event(&self) {
        self.pending.send_modify(|n| *n = n.saturating_sub(1));
    }

    /// Returns when no event is pending.
    pub async fn idle(&self) {
        let mut pending = self.pending.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = pending.wait_for(|n| *n == 0).await;
    }

    pub fn is_idle(&self) -> bool {
        *self.pending.borrow() == 0
    }

    /// Applies what falls due, until the simulator stops. Without it, events would wait for the next request.
    pub async fn apply_due_effects(self: Arc<Self>) {
        loop {
            let due = self.read(PlatformState::next_due);
            let wait = due.map(|at| (at - self.clock.now()).max(0).unsigned_abs());
            let sleep = async {
                match wait {
                    Some(ms) => tokio::time::sleep(std::time::Duration::from_millis(ms)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stopped() => return,
                () = self.reschedule.notified() => {}
                () = sleep => self.update(|_, _| ()),
            }
        }
    }

    /// Runs `work` for a request to `host`. URLs of the reply have the same host: the second host name stands for a
    /// separate environment, such as AT&T's and Verizon's.
    pub async fn with_request_host<T>(&self, host: Option<&str>, work: impl Future<Output = T>) -> T {
        let second_host = self.second_url.split_once("://").map(|(_, host)| host);
        let base = if host.is_some() && host == second_host { &self.second_url } else { &self.public_url };
        REQUEST_BASE_URL.scope(base.clone(), work).await
    }

    /// The absolute URL of a path, on the host of the current request.
    pub fn url(&self, path: &str) -> String {
        REQUEST_BASE_URL
            .try_with(|base| format!("{base}{path}"))
            .unwrap_or_else(|_| format!("{}{path}", self.public_url))
    }

    /// The base URL of the same server under another host name than that of the current request.
    pub fn other_url(&self) -> &str {
        if self.url("") == self.second_url { &self.public_url } else { &self.second_url }
    }

    /// The base URLs for the reply to the current request.
    pub fn urls(&self, state: &PlatformState) -> BaseUrls {
        let api = self.url("");
        let media =
            if state.settings.media_on_second_host { self.other_url().to_owned() } else { api.clone() };
        BaseUrls { api, media }
    }

    /// Ends every task.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Returns when the simulator stops.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Runs work to completion even if the client disconnects; `None` if the simulator stops meanwhile.
    pub async fn run_detached<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let core = Arc::clone(self);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = core.stopped() => None,
                result = work => Some(result),
            }
        });
        task.await.ok().flatten()
    }
}
