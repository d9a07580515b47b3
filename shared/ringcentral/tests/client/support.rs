//! A simulator, and clients that share its clock.

use std::io::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Once};

use jiff::Timestamp;
use ringbridge_ringcentral::clock::{Clock, SystemClock};
use ringbridge_ringcentral::oauth::TokenOptions;
use ringbridge_ringcentral::{AppCredentials, Client, Session, TokenSet};
use serde_json::{Value, json};
use simulator::{SeedUser, Simulator, SimulatorOptions, SimulatorSeed};

/// The redirect URI that the app is registered with.
pub const REDIRECT: &str = "http://localhost/callback";

/// Everything that this process logs, at all levels.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that was logged so far.
pub fn log() -> String {
    String::from_utf8_lossy(&LOG.lock().expect("not poisoned")).into_owned()
}

fn record_log() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // The client and its HTTP stack, not the simulator.
        let layers = "off,ringbridge_ringcentral=trace,reqwest=trace,hyper=trace,hyper_util=trace,h2=trace,rustls=trace";
        let filter = tracing_subscriber::EnvFilter::new(layers);
        tracing_subscriber::fmt().with_writer(|| LogWriter).with_ansi(false).with_env_filter(filter).init();
    });
}

/// The system's clock with an offset, like that of the simulator.
#[derive(Debug, Default)]
pub struct OffsetClock {
    offset_seconds: AtomicI64,
}

impl Clock for OffsetClock {
    fn now(&self) -> Timestamp {
        SystemClock { offset_seconds: self.offset_seconds.load(Ordering::SeqCst) }.now()
    }
}

/// A running simulator.
pub struct Rc {
    pub simulator: Simulator,
    pub seed: SimulatorSeed,
    clock: Arc<OffsetClock>,
    http: reqwest::Client,
}

impl Rc {
    /// Starts a simulator. Rate limits are off until a test switches them on.
    pub async fn start() -> Self {
        record_log();
        let listener = simulator::listen(0).await.expect("a free port");
        let options = SimulatorOptions {
            public_url: simulator::public_url(&listener).expect("an address"),
            listener,
            redirect_uris: vec![REDIRECT.to_owned()],
            data: None,
        };
        let simulator = Simulator::start(options).await.expect("a simulator");
        let seed = simulator.seed();
        let clock = Arc::new(OffsetClock::default());
        let http = reqwest::Client::builder().build().expect("an HTTP client");
        let rc = Self { simulator, seed, clock, http };
        rc.settings(json!({"rateLimits": {"enabled": false}})).await;
        rc
    }

    /// A client of the confidential app.
    pub fn client(&self) -> Client {
        let app = AppCredentials::confidential(&self.seed.client_id, self.seed.client_secret.as_str());
        self.client_as(app)
    }

    /// A client of the public app.
    pub fn public_client(&self) -> Client {
        self.client_as(AppCredentials::public(&self.seed.public_client_id))
    }

    pub fn client_as(&self, app: AppCredentials) -> Client {
        let clock = Arc::<OffsetClock>::clone(&self.clock);
        let builder = Client::builder(self.simulator.url(), app).redirect_uri(REDIRECT).clock(clock);
        builder.build().expect("a client")
    }

    /// The user with this extension number in the first account.
    pub fn user(&self, extension: &str) -> &SeedUser {
        self.seed.users.iter().find(|user| user.extension == extension).expect("a seed user")
    }

    /// New tokens of the first user.
    pub async fn tokens(&self) -> TokenSet {
        let assertion = self.user("101").jwt.as_str().into();
        self.client().sign_in_with_jwt(&assertion, &TokenOptions::default()).await.expect("signed in")
    }

    /// A session of the first user, without pauses between refresh attempts.
    pub async fn session(&self) -> Session {
        let session = Session::builder(self.client()).refresh_attempts(3, std::time::Duration::ZERO).build();
        session.set_tokens(self.tokens().await).await.expect("stored");
        session
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Advances the clocks of the simulator and the clients.
    pub fn advance(&self, seconds: i64) {
        self.simulator.advance(seconds);
        self.clock.offset_seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    pub async fn settings(&self, settings: Value) {
        self.control(reqwest::Method::PUT, "settings", settings).await;
    }

    pub async fn faults(&self, faults: Value) {
        self.control(reqwest::Method::PUT, "faults", faults).await;
    }

    /// A fault on the token endpoint, `times` times.
    pub async fn token_fault(&self, times: u32, fault: Value) {
        self.faults(json!([{"match": {"path": "/restapi/oauth/token"}, "times": times, "do": fault}])).await;
    }

    /// The ledger entries of these kinds, in order.
    pub async fn ledger(&self, kinds: &[&str]) -> Vec<Value> {
        let ledger = self.control(reqwest::Method::GET, "ledger", Value::Null).await;
        let entries = ledger["entries"].as_array().expect("entries").clone();
        let wanted = |entry: &Value| kinds.contains(&entry["kind"].as_str().unwrap_or_default());
        entries.into_iter().filter(wanted).collect()
    }

    /// The number of ledger entries of this kind.
    pub async fn count(&self, kind: &str) -> usize {
        self.ledger(&[kind]).await.len()
    }

    pub async fn control(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let url = format!("{}/_sim/{path}", self.simulator.url());
        let mut request = self.http.request(method, url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await.expect("a response of the simulator");
        let status = response.status();
        let body: Value = response.json().await.expect("JSON");
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    /// Signs the user in on the login page, and returns the URL that the browser is redirected to.
    pub async fn sign_in_at(&self, url: &url::Url, extension: &str) -> url::Url {
        let body = json!({"url": url.as_str(), "username": self.user(extension).username});
        let response = self.control(reqwest::Method::POST, "authorize", body).await;
        response["redirect"].as_str().expect("a redirect").parse().expect("a URL")
    }
}

/// A query parameter.
pub fn parameter(url: &url::Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
