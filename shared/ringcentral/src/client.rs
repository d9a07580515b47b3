//! The client: one app at one platform.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::server::Server;
use crate::tokens::ClientSecret;

/// The time allowed for a connection, in seconds.
const CONNECT_TIMEOUT_SECONDS: u64 = 2;

/// The time allowed for a whole call, if nothing else is said, in seconds.
const DEFAULT_TIMEOUT_SECONDS: u64 = 10;

/// Who the app is, as registered in the Developer Console.
#[derive(Debug, Clone)]
pub enum AppCredentials {
    /// An app that can keep a secret (server-side web, JWT). Sends HTTP Basic.
    Confidential {
        /// The client id.
        client_id: String,
        /// The client secret.
        client_secret: ClientSecret,
    },
    /// An app that cannot (browser, mobile, desktop): uses PKCE, sends its client id in the body, never Basic.
    Public {
        /// The client id.
        client_id: String,
    },
}

impl AppCredentials {
    /// An app with a secret.
    #[must_use]
    pub fn confidential(client_id: impl Into<String>, client_secret: impl Into<ClientSecret>) -> Self {
        Self::Confidential { client_id: client_id.into(), client_secret: client_secret.into() }
    }

    /// An app without a secret.
    #[must_use]
    pub fn public(client_id: impl Into<String>) -> Self {
        Self::Public { client_id: client_id.into() }
    }

    /// The client id.
    #[must_use]
    pub fn client_id(&self) -> &str {
        match self {
            Self::Confidential { client_id, .. } | Self::Public { client_id } => client_id,
        }
    }
}

/// One app at one platform. Cheap to clone; all clones share connections.
///
/// It holds no user's tokens: the OAuth calls yield them, [`Client::api`] takes one, and a
/// [`Session`](super::Session) keeps them.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    timeout: Duration,
}

struct Shared {
    http: reqwest::Client,
    server: Server,
    app: AppCredentials,
    redirect_uri: Option<String>,
    clock: Arc<dyn Clock>,
}

impl Client {
    /// Begins a client for the platform at `server`: [`Server::PRODUCTION`], [`Server::SEGREGATED`], or a
    /// simulator's address.
    #[must_use]
    pub fn builder(server: impl Into<String>, app: AppCredentials) -> ClientBuilder {
        ClientBuilder {
            server: server.into(),
            media: None,
            app,
            http: None,
            redirect_uri: None,
            clock: None,
            timeout: Duration::from_secs(DEFAULT_TIMEOUT_SECONDS),
        }
    }

    /// The same client with another limit for a whole call: connection, sending, waiting and reading.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), timeout }
    }

    /// The platform.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.shared.server
    }

    /// The app.
    #[must_use]
    pub fn app(&self) -> &AppCredentials {
        &self.shared.app
    }

    /// The redirect URI that is used where none is given.
    #[must_use]
    pub fn redirect_uri(&self) -> Option<&str> {
        self.shared.redirect_uri.as_deref()
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.shared.http
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.shared.server)
            .field("client_id", &self.shared.app.client_id())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Collects what a [`Client`] needs.
#[derive(Debug)]
pub struct ClientBuilder {
    server: String,
    media: Option<String>,
    app: AppCredentials,
    http: Option<reqwest::Client>,
    redirect_uri: Option<String>,
    clock: Option<Arc<dyn Clock>>,
    timeout: Duration,
}

impl ClientBuilder {
    /// Uses this HTTP client, to share its connections. It must have redirects switched off and a connect
    /// timeout; without it, one is made so (2 seconds).
    #[must_use]
    pub fn http(mut self, http: reqwest::Client) -> Self {
        self.http = Some(http);
        self
    }

    /// Takes binary content also from this address, for a simulator whose media host is another one.
    #[must_use]
    pub fn media_server(mut self, address: impl Into<String>) -> Self {
        self.media = Some(address.into());
        self
    }

    /// The redirect URI that is used where none is given.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// Asks this clock for the time instead of the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The limit for a whole call, 10 seconds if not given.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the client. No call is made.
    ///
    /// # Errors
    /// [`Kind::Refused`](super::Kind::Refused) if an address is not https (or loopback), or if the TLS library
    /// cannot be started.
    pub fn build(self) -> Result<Client> {
        let mut server = Server::new(&self.server)?;
        if let Some(media) = &self.media {
            server = server.with_media(media)?;
        }
        let http = match self.http {
            Some(http) => http,
            None => reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(CONNECT_TIMEOUT_SECONDS))
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("ringbridge/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|_| Error::refused("client", "the HTTP client could not be made"))?,
        };
        let shared = Shared {
            http,
            server,
            app: self.app,
            redirect_uri: self.redirect_uri,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::default())),
        };
        Ok(Client { shared: Arc::new(shared), timeout: self.timeout })
    }
}
