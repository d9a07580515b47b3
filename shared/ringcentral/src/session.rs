//! A signed-in user whose tokens are refreshed automatically.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use crate::api::{Api, TokenProvider};
use crate::client::Client;
use crate::error::Result;
use crate::limiter::Limiter;
use crate::oauth::TokenOptions;
use crate::secret::Secret;
use crate::token_source::{SessionSettings, TokenSource};
use crate::token_store::{MemoryStore, TokenStore};
use crate::tokens::TokenSet;

/// A signed-in user: all calls of [`Api`], with tokens that are refreshed automatically.
///
/// * A token is refreshed before it expires, once for any number of concurrent callers.
/// * New tokens are stored before they are used; see [`TokenStore`].
/// * After a 401, a call is repeated once, and only with another token.
/// * A failed refresh discards no tokens: the old access token stays in use while it is valid. After a lost response
///   the refresh is repeated with the same refresh token. After a 429 no refresh is made for as long as RingCentral
///   asks.
///
/// Cheap to clone; clones share their tokens. A session starts no task and no timer: the calls refresh.
///
/// ```no_run
/// use ringbridge_ringcentral::{AppCredentials, Client, FileStore, Server, Session};
///
/// # async fn run() -> ringbridge_ringcentral::Result<()> {
/// let app = AppCredentials::confidential("client id", "client secret");
/// let client = Client::builder(Server::PRODUCTION, app).build()?;
/// let session = Session::builder(client).store(FileStore::new("tokens.json")).build();
/// println!("{:?}", session.extension().await?.name);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session {
    source: Arc<TokenSource>,
    api: Api,
}

/// Builds a [`Session`].
pub struct SessionBuilder {
    settings: SessionSettings,
}

impl SessionBuilder {
    /// The store of the tokens. The default is a [`MemoryStore`].
    #[must_use]
    pub fn store(self, store: impl TokenStore + 'static) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// A store that is shared with other parts of the program.
    #[must_use]
    pub fn shared_store(mut self, store: Arc<dyn TokenStore>) -> Self {
        self.settings.store = store;
        self
    }

    /// The options of each refresh and JWT sign-in.
    #[must_use]
    pub fn token_options(mut self, options: TokenOptions) -> Self {
        self.settings.token_options = options;
        self
    }

    /// Refreshes when the access token expires in less than `margin`. The default is two minutes.
    #[must_use]
    pub fn refresh_margin(mut self, margin: SignedDuration) -> Self {
        self.settings.refresh_margin = margin;
        self
    }

    /// How many times a refresh is attempted when no response arrives or RingCentral is unavailable, and the pause
    /// between the attempts. The default is three attempts, 10 s apart. All attempts use the same refresh token.
    #[must_use]
    pub fn refresh_attempts(mut self, attempts: u32, pause: Duration) -> Self {
        self.settings.refresh_attempts = attempts.max(1);
        self.settings.refresh_pause = pause;
        self
    }

    /// Switches automatic refresh off: calls use the tokens as they are, and only [`Session::refresh`] refreshes them.
    #[must_use]
    pub fn manual_refresh(mut self) -> Self {
        self.settings.automatic_refresh = false;
        self
    }

    /// Delays calls to stay below the rate limits. By default there is no limiter.
    #[must_use]
    pub fn limiter(mut self, limiter: Limiter) -> Self {
        self.settings.limiter = Some(limiter);
        self
    }

    /// Signs in with this JWT credential whenever there are no tokens to refresh, including the first time.
    #[must_use]
    pub fn jwt(mut self, assertion: impl Into<Secret>) -> Self {
        self.settings.jwt = Some(assertion.into());
        self
    }

    /// Calls `observer` with each new set of tokens, after it is stored and before it is used. `observer` must not
    /// block.
    #[must_use]
    pub fn on_new_tokens(mut self, observer: impl Fn(&TokenSet) + Send + Sync + 'static) -> Self {
        self.settings.observers.push(Box::new(observer));
        self
    }

    /// Creates the session, without any call and without reading the store.
    #[must_use]
    pub fn build(self) -> Session {
        let (client, limiter) = (self.settings.client.clone(), self.settings.limiter.clone());
        let source = Arc::new(TokenSource::new(self.settings));
        let api = Api::new(client, TokenProvider::Session(Arc::clone(&source)), limiter);
        Session { source, api }
    }
}

impl Session {
    /// Starts to build a session of this client.
    #[must_use]
    pub fn builder(client: Client) -> SessionBuilder {
        SessionBuilder {
            settings: SessionSettings {
                client,
                store: Arc::new(MemoryStore::new()),
                token_options: TokenOptions::default(),
                refresh_margin: SignedDuration::from_secs(120),
                refresh_attempts: 3,
                refresh_pause: Duration::from_secs(10),
                automatic_refresh: true,
                limiter: None,
                jwt: None,
                observers: Vec::new(),
            },
        }
    }

    /// Stores and uses these tokens: those of a grant, of another client, or of any other source. Tokens that were
    /// stored before are replaced, not revoked.
    ///
    /// # Errors
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the tokens could not be stored. They are not used then.
    pub async fn set_tokens(&self, tokens: TokenSet) -> Result<()> {
        self.source.set_tokens(tokens).await
    }

    /// Valid tokens, refreshed if necessary: to save them, or to load them into another client.
    ///
    /// # Errors
    /// [`ErrorKind::SignedOut`](crate::ErrorKind::SignedOut) if there are none; otherwise the error of the refresh.
    pub async fn tokens(&self) -> Result<TokenSet> {
        self.source.tokens().await.map(|tokens| TokenSet::clone(&tokens))
    }

    /// The tokens in use, without any call. `None` also before the store is read for the first time.
    #[must_use]
    pub fn current_tokens(&self) -> Option<TokenSet> {
        self.source.current().as_deref().cloned()
    }

    /// Refreshes now, even if the access token is still valid. During a rate-limit penalty no call is made.
    ///
    /// # Errors
    /// [`ErrorKind::SignedOut`](crate::ErrorKind::SignedOut) if there are no tokens; otherwise the error of the
    /// refresh.
    pub async fn refresh(&self) -> Result<TokenSet> {
        self.source.refresh().await.map(|tokens| TokenSet::clone(&tokens))
    }

    /// Ends the session at RingCentral and removes the tokens from the store.
    ///
    /// # Errors
    /// If RingCentral could not be reached or the store failed. Nothing is removed then, so the call can be repeated.
    pub async fn sign_out(&self) -> Result<()> {
        self.source.sign_out().await
    }
}

impl Deref for Session {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("client", self.api.client()).finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder").field("client", &self.settings.client).finish_non_exhaustive()
    }
}
