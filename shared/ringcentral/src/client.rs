//! The client of one app on one RingCentral platform.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::server::Server;
use crate::tokens::ClientSecret;

/// The timeout of a connection attempt.
const CONNECT_TIMEOUT_SECONDS: u64 = 2;

/// The default timeout of a whole call.
const DEFAULT_TIMEOUT_SECONDS: u64 = 10;

/// The credentials of an app that is registered in the Developer Console.
#[derive(Debug, Clone)]
pub enum AppCredentials {
    /// An app that can keep a secret (server-side web app, JWT app). It authenticates with HTTP Basic.
    Confidential {
        /// The client id from the Developer Console.
        client_id: String,
        /// The client secret from the Developer Console.
        client_secret: ClientSecret,
    },
    /// An app that cannot keep a secret (browser, mobile or desktop app). It uses PKCE, and sends its client id in the
    /// body instead of HTTP Basic.
    Public {
        /// The client id from the Developer Console.
        client_id: String,
    },
}

impl AppCredentials {
    /// The credentials of an app with a client secret.
    #[must_use]
    pub fn confidential(client_id: impl Into<String>, client_secret: impl Into<ClientSecret>) -> Self {
        Self::Confidential { client_id: client_id.into(), client_secret: client_secret.into() }
    }

    /// The credentials of an app without a client secret.
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

/// The client of one app on one RingCentral platform. Cheap to clone; clones share their HTTP connections.
///
/// It does not hold any user's tokens: the OAuth calls return them, [`Client::api`] makes calls with one access token,
/// and a [`Session`](crate::Session) keeps and refreshes them.
#[derive(Clone)]
pub struct Client {
    inner: Arc<ClientInner>,
    timeout: Duration,
}

struct ClientInner {
    http: reqwest::Client,
    server: Server,
    app: AppCredentials,
    redirect_uri: Option<String>,
    clock: Arc<dyn Clock>,
}

impl Client {
    /// Starts to build a client for the platform at `server`: [`Server::PRODUCTION`], [`Server::SEGREGATED`], or the
    /// URL of a simulator.
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

    /// The same client with another timeout for a whole call, from connecting to the end of the response.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { inner: Arc::clone(&self.inner), timeout }
    }

    /// The platform that the client calls.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.inner.server
    }

    /// The credentials of the app.
    #[must_use]
    pub fn app(&self) -> &AppCredentials {
        &self.inner.app
    }

    /// The default redirect URI.
    #[must_use]
    pub fn redirect_uri(&self) -> Option<&str> {
        self.inner.redirect_uri.as_deref()
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.inner.http
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.inner.server)
            .field("client_id", &self.inner.app.client_id())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Client`].
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
    /// Uses this HTTP client, to share its connections. It must not follow redirects, and needs a connect timeout. The
    /// default client is built like that, with a connect timeout of 2 seconds.
    #[must_use]
    pub fn http(mut self, http: reqwest::Client) -> Self {
        self.http = Some(http);
        self
    }

    /// Downloads attachments also from this URL, for a simulator with a separate media host.
    #[must_use]
    pub fn media_server(mut self, url: impl Into<String>) -> Self {
        self.media = Some(url.into());
        self
    }

    /// The default redirect URI, for requests that set none.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// Reads the time from this clock instead of the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The timeout of a whole call. The default is 10 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Creates the client, without any call.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) if a URL is neither https nor on a loopback host, or if the
    /// TLS library cannot be initialised.
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
                .map_err(|_| Error::refused("client", "the HTTP client could not be created"))?,
        };
        let inner = ClientInner {
            http,
            server,
            app: self.app,
            redirect_uri: self.redirect_uri,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::default())),
        };
        Ok(Client { inner: Arc::new(inner), timeout: self.timeout })
    }
}
