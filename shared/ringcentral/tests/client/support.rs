//! A simulator with an app, users, and one clock for both sides.

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

/// Everything that this process logs, at every level.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What was logged so far.
pub fn log() -> String {
    String::from_utf8_lossy(&LOG.lock().expect("not poisoned")).into_owned()
}

fn keep_log() {
    static KEPT: Once = Once::new();
    KEPT.call_once(|| {
        // The client and what carries its calls; the simulator's own log is not the client's affair.
        let layers = "off,ringbridge_ringcentral=trace,reqwest=trace,hyper=trace,hyper_util=trace,h2=trace,rustls=trace";
        let filter = tracing_subscriber::EnvFilter::new(layers);
        tracing_subscriber::fmt().with_writer(|| Log).with_ansi(false).with_env_filter(filter).init();
    });
}

/// The machine's clock, moved by hand: as the simulator's is.
#[derive(Debug, Default)]
pub struct MovedClock {
    offset_seconds: AtomicI64,
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        SystemClock { offset_seconds: self.offset_seconds.load(Ordering::SeqCst) }.now()
    }
}

/// A running simulator.
pub struct Rc {
    pub simulator: Simulator,
    pub seed: SimulatorSeed,
    clock: Arc<MovedClock>,
    http: reqwest::Client,
}

impl Rc {
    /// Starts one, without rate limits unless a test switches them on.
    pub async fn start() -> Self {
        keep_log();
        let listener = simulator::listen(0).await.expect("a free port");
        let options = SimulatorOptions {
            public_url: simulator::public_url(&listener).expect("an address"),
            listener,
            redirect_uris: vec![REDIRECT.to_owned()],
            data: None,
        };
        let simulator = Simulator::start(options).await.expect("a simulator");
        let seed = simulator.seed();
        let clock = Arc::new(MovedClock::default());
        let http = reqwest::Client::builder().build().expect("an HTTP client");
        let rc = Self { simulator, seed, clock, http };
        rc.settings(json!({"rateLimits": {"enabled": false}})).await;
        rc
    }

    /// The confidential seed app.
    pub fn client(&self) -> Client {
        let app = AppCredentials::confidential(&self.seed.client_id, self.seed.client_secret.as_str());
        self.client_as(app)
    }

    /// The public seed app.
    pub fn public_client(&self) -> Client {
        self.client_as(AppCredentials::public(&self.seed.public_client_id))
    }

    pub fn client_as(&self, app: AppCredentials) -> Client {
        let clock = Arc::<MovedClock>::clone(&self.clock);
        let builder = Client::builder(self.simulator.url(), app).redirect_uri(REDIRECT).clock(clock);
        builder.build().expect("a client")
    }

    /// The user with this short number in the first account.
    pub fn user(&self, extension: &str) -> &SeedUser {
        self.seed.users.iter().find(|user| user.extension == extension).expect("a seed user")
    }

    /// Fresh tokens of the first user.
    pub async fn tokens(&self) -> TokenSet {
        let assertion = self.user("101").jwt.as_str().into();
        self.client().sign_in_with_jwt(&assertion, &TokenOptions::default()).await.expect("signed in")
    }

    /// A session of the first user, whose pauses are short.
    pub async fn session(&self) -> Session {
        let session = Session::builder(self.client()).tries(3, std::time::Duration::ZERO).build();
        session.adopt(self.tokens().await).await.expect("adopted");
        session
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves both clocks.
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

    /// Entries of these kinds, in order.
    pub async fn ledger(&self, kinds: &[&str]) -> Vec<Value> {
        let ledger = self.control(reqwest::Method::GET, "ledger", Value::Null).await;
        let entries = ledger["entries"].as_array().expect("entries").clone();
        let wanted = |entry: &Value| kinds.contains(&entry["kind"].as_str().unwrap_or_default());
        entries.into_iter().filter(wanted).collect()
    }

    /// How many entries of this kind.
    pub async fn count(&self, kind: &str) -> usize {
        self.ledger(&[kind]).await.len()
    }

    pub async fn control(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let url = format!("{}/_sim/{path}", self.simulator.url());
        let mut request = self.http.request(method, url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the simulator answers");
        let status = response.status();
        let answer: Value = response.json().await.expect("JSON");
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// What a browser would be sent back to after the user signed in at this address.
    pub async fn sign_in_at(&self, url: &url::Url, extension: &str) -> url::Url {
        let body = json!({"url": url.as_str(), "username": self.user(extension).username});
        let answer = self.control(reqwest::Method::POST, "authorize", body).await;
        answer["redirect"].as_str().expect("a redirect").parse().expect("a URL")
    }
}

/// A parameter of the query.
pub fn parameter(url: &url::Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
