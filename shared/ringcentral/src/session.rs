//! A user who stays signed in.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use crate::api::{Api, Authority};
use crate::client::Client;
use crate::error::{Error, Kind, Result};
use crate::keeper::{Keeper, Origin, State};
use crate::limiter::Limiter;
use crate::oauth::{Revocable, TokenOptions};
use crate::secret::Secret;
use crate::store::{MemoryStore, Replaced, TokenStore};
use crate::tokens::TokenSet;

pub(super) type Observer = Box<dyn Fn(&TokenSet) + Send + Sync>;

/// A user who stays signed in: all calls of [`Api`], with tokens that renew themselves.
///
/// * A token is renewed before it ends, once for any number of callers; all others wait for that one call.
/// * New tokens are stored before they are used; see [`TokenStore`].
/// * A 401 is answered by one repeat, and only with another token.
/// * A failed renewal never drops tokens. As long as the old access token lives, it stays in use; a lost answer
///   is followed by the same refresh token again; after 429 there is silence for as long as RingCentral asks.
///
/// Cheap to clone; clones share everything. It starts no task and no timer: renewing is done by the callers.
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
    keeper: Arc<Keeper>,
    api: Api,
}

/// Collects what a [`Session`] needs.
pub struct SessionBuilder {
    pub(super) client: Client,
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) options: TokenOptions,
    pub(super) margin: SignedDuration,
    pub(super) tries: u32,
    pub(super) pause: Duration,
    pub(super) automatic: bool,
    pub(super) limiter: Option<Limiter>,
    pub(super) jwt: Option<Secret>,
    pub(super) observers: Vec<Observer>,
}

impl SessionBuilder {
    /// Keeps the tokens here; else in memory.
    #[must_use]
    pub fn store(mut self, store: impl TokenStore + 'static) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// Keeps the tokens in a store that others use too.
    #[must_use]
    pub fn shared_store(mut self, store: Arc<dyn TokenStore>) -> Self {
        self.store = store;
        self
    }

    /// Options of each renewal.
    #[must_use]
    pub fn options(mut self, options: TokenOptions) -> Self {
        self.options = options;
        self
    }

    /// Renews when less than this is left of the access token; two minutes if not given.
    #[must_use]
    pub fn margin(mut self, margin: SignedDuration) -> Self {
        self.margin = margin;
        self
    }

    /// How often a renewal is tried when no answer comes or RingCentral is unavailable, and the pause between
    /// tries: three times, 10 s apart, if not given. Each time it is the same refresh token.
    #[must_use]
    pub fn tries(mut self, tries: u32, pause: Duration) -> Self {
        self.tries = tries.max(1);
        self.pause = pause;
        self
    }

    /// Switches automatic renewal off (or on): then calls use the tokens as they are, and
    /// [`Session::refresh`] renews them.
    #[must_use]
    pub fn automatic(mut self, automatic: bool) -> Self {
        self.automatic = automatic;
        self
    }

    /// Waits before rate limits. Without this there is no limiter.
    #[must_use]
    pub fn limiter(mut self, limiter: Limiter) -> Self {
        self.limiter = Some(limiter);
        self
    }

    /// Signs in with this JWT credential whenever there is nothing to refresh, also the first time.
    #[must_use]
    pub fn jwt(mut self, assertion: impl Into<Secret>) -> Self {
        self.jwt = Some(assertion.into());
        self
    }

    /// Calls this with each new set of tokens, after it was stored and before it is used. It must be quick.
    #[must_use]
    pub fn on_new_tokens(mut self, observer: impl Fn(&TokenSet) + Send + Sync + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Makes the session. No call is made, and the store is not asked yet.
    #[must_use]
    pub fn build(self) -> Session {
        let (client, limiter) = (self.client.clone(), self.limiter.clone());
        let keeper = Arc::new(Keeper::new(self));
        let api = Api::new(client, Authority::Session(Arc::clone(&keeper)), limiter);
        Session { keeper, api }
    }
}

impl Session {
    /// Begins a session of this client.
    #[must_use]
    pub fn builder(client: Client) -> SessionBuilder {
        SessionBuilder {
            client,
            store: Arc::new(MemoryStore::new()),
            options: TokenOptions::default(),
            margin: SignedDuration::from_secs(120),
            tries: 3,
            pause: Duration::from_secs(10),
            automatic: true,
            limiter: None,
            jwt: None,
            observers: Vec::new(),
        }
    }

    /// Takes over tokens: of a grant, of another client instance, or of any other source. What was stored
    /// before is replaced, not revoked.
    ///
    /// # Errors
    /// [`Kind::Store`] if they could not be stored; they are not used then.
    pub async fn adopt(&self, tokens: TokenSet) -> Result<()> {
        let keeper = &self.keeper;
        let _flight = keeper.flight.lock().await;
        let store = &keeper.setup.store;
        let failed = |cause| Error::store("adopt", cause);
        let mut expected = store.load().await.map_err(failed)?;
        while let Replaced::Moved(stored) = store.replace(expected.as_ref(), &tokens).await.map_err(failed)? {
            expected = stored;
        }
        keeper.take(tokens, Origin::Given);
        Ok(())
    }

    /// Tokens that are good now, renewed if need be: to save them, or to load them into another client.
    ///
    /// # Errors
    /// [`Kind::SignedOut`] if there are none; else why they could not be renewed.
    pub async fn tokens(&self) -> Result<TokenSet> {
        self.keeper.tokens().await.map(|tokens| TokenSet::clone(&tokens))
    }

    /// The tokens in use, as they are: no call is made. `None` also before the first use of the store.
    #[must_use]
    pub fn current(&self) -> Option<TokenSet> {
        self.keeper.locked(|state| state.current.as_deref().cloned())
    }

    /// Renews now, however long the tokens would still live; during a penalty no call is made.
    ///
    /// # Errors
    /// [`Kind::SignedOut`] if there are none; else why they could not be renewed.
    pub async fn refresh(&self) -> Result<TokenSet> {
        let keeper = &self.keeper;
        let seen = keeper.locked(|state| state.ended);
        let _flight = keeper.flight.lock().await;
        if let Some(penalty) = keeper.penalty() {
            return Err(penalty);
        }
        let used = match keeper.locked(|state| (state.ended != seen, state.current.clone())) {
            // Another caller has just done it.
            (true, Some(current)) if keeper.fresh(&current) => return Ok(TokenSet::clone(&current)),
            (_, current) => match current {
                Some(current) => Some(current),
                None => keeper.load("refresh").await?,
            },
        };
        keeper.renew(used.as_deref()).await.map(|tokens| TokenSet::clone(&tokens))
    }

    /// Ends the session at RingCentral and forgets the tokens.
    ///
    /// # Errors
    /// If RingCentral could not be reached or the store failed; nothing is forgotten then, so call it again.
    pub async fn sign_out(&self) -> Result<()> {
        let keeper = &self.keeper;
        let _flight = keeper.flight.lock().await;
        let stored = keeper.load("sign_out").await?;
        if let Some(tokens) = stored.or_else(|| keeper.locked(|state| state.current.clone())) {
            let token = tokens.refresh_token.as_ref().map(Revocable::from);
            match keeper.setup.client.revoke(token.unwrap_or(Revocable::from(&tokens.access_token))).await {
                // A token that RingCentral refuses to revoke is dead already.
                Err(error) if !matches!(error.kind(), Kind::Grant(_) | Kind::Invalid) => return Err(error),
                _ => {}
            }
        }
        keeper.setup.store.clear().await.map_err(|cause| Error::store("sign_out", cause))?;
        keeper.locked(|state| *state = State::default());
        Ok(())
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
        f.debug_struct("Session").field("client", &self.keeper.setup.client).finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder").field("client", &self.client).finish_non_exhaustive()
    }
}
