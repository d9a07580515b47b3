//! Keeps one user's tokens fresh: the part of a session that renews.
//!
//! Whoever renews holds the flight; all others wait for it, and share its outcome. The order is always: ask the
//! store, call RingCentral, store, use. A caller may give up at any point; the next one goes on from there.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use crate::api::Group;
use crate::error::{Error, Kind, Result, Retry};
use crate::oauth::{Revocable, Told};
use crate::secret::Secret;
use crate::session::SessionBuilder;
use crate::store::{Replaced, same};
use crate::tokens::TokenSet;

/// A token with less than this left is not handed out, even if no other can be had.
const LAST_SECONDS: SignedDuration = SignedDuration::from_secs(10);

/// A token that was issued less than this long ago is not renewed, neither for a 401 nor for a strange life.
const NEW_TOKEN: SignedDuration = SignedDuration::from_secs(60);

/// How long a refused grant is left alone. After the second refusal only the store is asked.
const AFTER_REFUSAL: Duration = Duration::from_secs(30);

/// After a refusal the store is asked at once, and once more after this: another process may have renewed with
/// the same refresh token, and be about to store what it got.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Keeps one user's tokens fresh.
pub(crate) struct Keeper {
    pub setup: SessionBuilder,
    /// Names the user to the limiter until RingCentral's answer does.
    fallback_user: Arc<str>,
    state: Mutex<State>,
    /// Held by the one caller who renews.
    pub flight: tokio::sync::Mutex<()>,
}

/// Where tokens come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The token endpoint, just now.
    Issued,
    /// The caller.
    Given,
    /// The store.
    Found,
}

#[derive(Default)]
pub(super) struct State {
    pub current: Option<Arc<TokenSet>>,
    /// When `current` was issued, if this session saw it.
    issued: Option<Timestamp>,
    /// Renew `current` when less than this is left.
    margin: SignedDuration,
    /// Tokens that RingCentral has issued and the store has not taken yet, and what they shall replace.
    unsaved: Option<(Option<Arc<TokenSet>>, TokenSet)>,
    /// How many renewals have ended; tells those who waited that theirs is over.
    pub ended: u64,
    failure: Option<Failure>,
}

struct Failure {
    error: Error,
    quiet_until: Instant,
    /// How often the same grant was refused.
    refusals: u32,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper(…)")
    }
}

impl Keeper {
    pub fn new(setup: SessionBuilder) -> Self {
        Self {
            setup,
            fallback_user: format!("session {}", &Secret::random().digest()[..16]).into(),
            state: Mutex::default(),
            flight: tokio::sync::Mutex::default(),
        }
    }

    /// Tokens for a call.
    pub async fn tokens(&self) -> Result<Arc<TokenSet>> {
        if let Some(tokens) = self.ready() {
            return Ok(tokens);
        }
        let seen = self.locked(|state| state.ended);
        let _flight = self.flight.lock().await;
        if let Some(tokens) = self.ready() {
            return Ok(tokens);
        }
        // A renewal that ended while this caller waited was this caller's too; and during the silence after a
        // failure there is no other.
        let failed = self.locked(|state| {
            let quiet = |failure: &&Failure| state.ended != seen || failure.quiet_until > Instant::now();
            state.failure.as_ref().filter(quiet).map(|failure| failure.error.clone())
        });
        let result = match failed {
            Some(error) => Err(error),
            None if self.setup.automatic => self.renew(None).await,
            None => self.load("tokens").await.and_then(|found| found.ok_or(Error::signed_out("tokens"))),
        };
        result.or_else(|error| self.last_resort().ok_or(error))
    }

    /// Other tokens than those that a call was refused with; `None` if there are none to be had.
    pub async fn after_401(&self, used: &TokenSet) -> Result<Option<Arc<TokenSet>>> {
        if !self.setup.automatic {
            return Ok(None);
        }
        let seen = self.locked(|state| state.ended);
        let _flight = self.flight.lock().await;
        let other = |tokens: &Arc<TokenSet>| tokens.access_token != used.access_token;
        if let Some(tokens) = self.locked(|state| state.current.clone()).filter(other) {
            return Ok(Some(tokens));
        }
        let now = self.setup.client.now();
        let (new, failed) = self.locked(|state| {
            let quiet = |failure: &&Failure| state.ended != seen || failure.quiet_until > Instant::now();
            (is_new(state, now), state.failure.as_ref().filter(quiet).map(|failure| failure.error.clone()))
        });
        match failed {
            Some(error) => Err(error),
            None if new => Ok(None),
            None => self.renew(Some(used)).await.map(|tokens| Some(tokens).filter(other)),
        }
    }

    /// The user's name for the limiter.
    pub fn user(&self, tokens: &TokenSet) -> Arc<str> {
        tokens.owner_id.map_or_else(|| Arc::clone(&self.fallback_user), |id| id.to_string().into())
    }

    pub(super) fn locked<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn fresh(&self, tokens: &TokenSet) -> bool {
        tokens.is_fresh(self.setup.client.now(), self.locked(|state| state.margin))
    }

    fn ready(&self) -> Option<Arc<TokenSet>> {
        let now = self.setup.client.now();
        let (current, new) = self.locked(|state| (state.current.clone(), is_new(state, now)));
        current.filter(|current| !self.setup.automatic || new || self.fresh(current))
    }

    /// The failure that asked for silence until a moment still to come.
    pub(super) fn penalty(&self) -> Option<Error> {
        let now = Instant::now();
        self.locked(|state| {
            let quiet = |failure: &&Failure| {
                failure.quiet_until > now && matches!(failure.error.retry(), Retry::After(_))
            };
            state.failure.as_ref().filter(quiet).map(|failure| failure.error.clone())
        })
    }

    /// The old access token, if it has some life left and no successor is known to have killed it.
    fn last_resort(&self) -> Option<Arc<TokenSet>> {
        let now = self.setup.client.now();
        self.locked(|state| state.current.clone().filter(|_| state.unsaved.is_none()))
            .filter(|tokens| tokens.is_fresh(now, LAST_SECONDS))
    }

    /// Begins to use tokens that are stored.
    pub(super) fn take(&self, tokens: TokenSet, origin: Origin) -> Arc<TokenSet> {
        let tokens = Arc::new(tokens);
        // A margin longer than the life of a token would renew it with every call.
        let now = self.setup.client.now();
        let half_life = tokens.expires_at.duration_since(now) / 2;
        let margin = match origin {
            Origin::Issued => self.setup.margin.min(half_life),
            Origin::Given | Origin::Found => self.setup.margin,
        };
        if origin != Origin::Found {
            for observer in &self.setup.observers {
                observer(&tokens);
            }
        }
        self.locked(|state| {
            state.current = Some(Arc::clone(&tokens));
            state.issued = (origin == Origin::Issued).then_some(now);
            state.margin = margin;
            state.unsaved = None;
            state.failure = None;
        });
        tokens
    }

    /// Asks the store, and uses what it holds if that is something else than what is in use.
    pub(super) async fn load(&self, operation: &'static str) -> Result<Option<Arc<TokenSet>>> {
        let stored = self.setup.store.load().await.map_err(|cause| Error::store(operation, cause))?;
        let current = self.locked(|state| state.current.clone());
        Ok(match stored {
            Some(stored) if same(Some(&stored), current.as_deref()) => current,
            Some(stored) => Some(self.take(stored, Origin::Found)),
            None => None,
        })
    }

    /// Renews, as the one caller who holds the flight, and notes how it ended.
    pub(super) async fn renew(&self, used: Option<&TokenSet>) -> Result<Arc<TokenSet>> {
        let result = self.try_renew(used).await;
        let pause = self.setup.pause;
        self.locked(|state| {
            state.ended += 1;
            state.failure = result.as_ref().err().map(|error| {
                let refused = matches!(error.kind(), Kind::Grant(_));
                let before = state.failure.as_ref().map_or(0, |failure| failure.refusals);
                let quiet = match error.retry() {
                    Retry::After(wait) => wait.max(pause),
                    _ if refused => AFTER_REFUSAL,
                    // Nothing is called then, so nothing has to be spared.
                    _ if matches!(error.kind(), Kind::Store | Kind::SignedOut) => Duration::ZERO,
                    _ => pause,
                };
                Failure {
                    error: error.clone(),
                    quiet_until: Instant::now() + quiet,
                    refusals: if refused { before + 1 } else { 0 },
                }
            });
        });
        result
    }

    async fn try_renew(&self, used: Option<&TokenSet>) -> Result<Arc<TokenSet>> {
        let operation = "refresh";
        if let Some((previous, next)) = self.locked(|state| state.unsaved.clone()) {
            let saved = self.save(previous, next).await?;
            if self.fresh(&saved) {
                return Ok(saved);
            }
        }
        // A store that cannot be read will not take the new tokens either: then nothing is spent.
        let refusals = self.locked(|state| state.failure.as_ref().map_or(0, |failure| failure.refusals));
        let before = self.locked(|state| state.current.clone());
        let stored = self.load(operation).await?;
        let moved = !same(stored.as_deref(), before.as_deref());
        if let Some(tokens) = &stored
            && self.fresh(tokens)
            && used.is_none_or(|used| used.access_token != tokens.access_token)
        {
            return Ok(Arc::clone(tokens));
        }
        if refusals >= 2
            && !moved
            && self.setup.jwt.is_none()
            && let Some(failure) = self.locked(|state| state.failure.as_ref().map(|f| f.error.clone()))
        {
            return Err(failure);
        }
        let next = match &stored {
            Some(tokens) if tokens.can_refresh(self.setup.client.now()) => {
                match self.call_refresh(tokens).await {
                    Ok(next) => next.succeeding(tokens),
                    Err(error) if matches!(error.kind(), Kind::Grant(_)) => {
                        // Another process may have renewed meanwhile, which kills this refresh token.
                        let mut again = self.load(operation).await?;
                        if same(again.as_deref(), Some(tokens)) {
                            sleep(SECOND_LOOK).await;
                            again = self.load(operation).await?;
                        }
                        if let Some(other) = again.filter(|other| !same(Some(other), Some(tokens))) {
                            return Ok(other);
                        }
                        match &self.setup.jwt {
                            Some(assertion) => self.call_jwt(assertion).await?,
                            None => return Err(error),
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            _ => match &self.setup.jwt {
                Some(assertion) => self.call_jwt(assertion).await?,
                None => return Err(Error::signed_out(operation)),
            },
        };
        self.save(stored, next).await
    }

    /// Calls the token endpoint, and after a lost answer again with the same refresh token.
    async fn call_refresh(&self, tokens: &TokenSet) -> Result<TokenSet> {
        let token = tokens.refresh_token.as_ref().ok_or_else(|| Error::signed_out("refresh"))?;
        let mut tried = 0;
        loop {
            tried += 1;
            self.admit("refresh").await?;
            let told = self.setup.client.refresh_told(token, &self.setup.options).await;
            match self.learn("refresh", told) {
                Err(error) if tried < self.setup.tries && is_passing(&error, self.setup.pause) => {
                    tracing::debug!(error = %error, tried, "the refresh will be tried again");
                    sleep(self.setup.pause).await;
                }
                result => return result,
            }
        }
    }

    async fn call_jwt(&self, assertion: &Secret) -> Result<TokenSet> {
        self.admit("sign_in_with_jwt").await?;
        let told = self.setup.client.jwt_told(assertion, &self.setup.options).await;
        self.learn("sign_in_with_jwt", told)
    }

    /// Stores new tokens, and only then uses them.
    async fn save(&self, previous: Option<Arc<TokenSet>>, next: TokenSet) -> Result<Arc<TokenSet>> {
        // Noted first: if this future is dropped in the middle, the next caller goes on from here.
        self.locked(|state| state.unsaved = Some((previous.clone(), next.clone())));
        let replaced = self.setup.store.replace(previous.as_deref(), &next).await;
        match replaced.map_err(|cause| Error::store("refresh", cause))? {
            Replaced::Stored => Ok(self.take(next, Origin::Issued)),
            // What this very call stored before it was dropped, or what another process stored.
            Replaced::Moved(Some(other)) => Ok(self.take(other, Origin::Issued)),
            Replaced::Moved(None) => {
                self.locked(|state| *state = State { ended: state.ended, ..State::default() });
                // Signed out meanwhile: these tokens are nobody's, and must not live on. Best effort.
                let token = next.refresh_token.as_ref().map(Revocable::from);
                let _revoked =
                    self.setup.client.revoke(token.unwrap_or(Revocable::from(&next.access_token))).await;
                Err(Error::signed_out("refresh"))
            }
        }
    }

    async fn admit(&self, operation: &'static str) -> Result<()> {
        match &self.setup.limiter {
            Some(limiter) => limiter.admit(&self.app(), Group::Auth, operation).await,
            None => Ok(()),
        }
    }

    fn learn(&self, operation: &'static str, result: Result<Told>) -> Result<TokenSet> {
        if let Some(limiter) = &self.setup.limiter {
            let told = match &result {
                Ok((_, told)) => told.as_ref(),
                Err(error) => error.rate_limit(),
            };
            limiter.learn(&self.app(), Group::Auth, operation, told, &result);
        }
        result.map(|(tokens, _)| tokens)
    }

    /// The token endpoint may count calls for the app as a whole, so they wait for each other.
    fn app(&self) -> Arc<str> {
        format!("app {}", self.setup.client.app().client_id()).into()
    }
}

/// True if the tokens in use have just been issued.
fn is_new(state: &State, now: Timestamp) -> bool {
    let age = state.issued.map(|issued| now.duration_since(issued));
    age.is_some_and(|age| !age.is_negative() && age < NEW_TOKEN)
}

/// True if the same call may succeed after the pause.
fn is_passing(error: &Error, pause: Duration) -> bool {
    match error.kind() {
        Kind::Connect | Kind::Timeout | Kind::Interrupted | Kind::Unreadable => true,
        Kind::Unavailable => match error.retry() {
            Retry::Backoff => true,
            Retry::After(wait) => wait <= pause,
            _ => false,
        },
        _ => false,
    }
}
