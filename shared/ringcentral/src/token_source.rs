//! The tokens of a session: provides access tokens, and refreshes and stores them.
//!
//! One caller at a time holds the refresh lock and refreshes; the others wait for it and share the outcome. The order is
//! always: read the store, call RingCentral, store, use. Any caller may be dropped at an await point; the next one
//! continues from there.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::limiter::Limiter;
use crate::oauth::{RevocableToken, TokenOptions, TokenResponse};
use crate::rate_limit::UsageGroup;
use crate::secret::Secret;
use crate::token_store::{ReplaceOutcome, TokenStore, is_same_pair};
use crate::tokens::TokenSet;

/// A token with less time left than this is not used, even if no other one can be obtained.
const MIN_REMAINING: SignedDuration = SignedDuration::from_secs(10);

/// A token issued less than this long ago is not refreshed, neither after a 401 nor for a short lifetime.
const MIN_TOKEN_AGE: SignedDuration = SignedDuration::from_secs(60);

/// How long a rejected grant is not tried again. After the second rejection, only the store is read.
const REJECTED_GRANT_PAUSE: Duration = Duration::from_secs(30);

/// After a rejected refresh the store is read at once, and again after this time: another process may have refreshed
/// with the same refresh token, and may be about to store its new tokens.
const STORE_RECHECK_DELAY: Duration = Duration::from_secs(1);

/// Called with each new set of tokens.
pub(crate) type TokenObserver = Box<dyn Fn(&TokenSet) + Send + Sync>;

/// The settings of a session.
pub(crate) struct SessionSettings {
    pub client: Client,
    pub store: Arc<dyn TokenStore>,
    pub token_options: TokenOptions,
    pub refresh_margin: SignedDuration,
    pub refresh_attempts: u32,
    pub refresh_pause: Duration,
    pub automatic_refresh: bool,
    pub limiter: Option<Limiter>,
    pub jwt: Option<Secret>,
    pub observers: Vec<TokenObserver>,
}

/// The tokens of one user.
pub(crate) struct TokenSource {
    settings: SessionSettings,
    /// Identifies the user to the limiter until a token response does.
    fallback_user: Arc<str>,
    state: Mutex<TokenState>,
    /// Held while refreshing, setting tokens or signing out.
    refresh_lock: tokio::sync::Mutex<()>,
}

/// Where a set of tokens came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TokenOrigin {
    /// The token endpoint, just now.
    Issued,
    /// The caller.
    Provided,
    /// The store.
    Loaded,
}

#[derive(Default)]
struct TokenState {
    current: Option<Arc<TokenSet>>,
    /// When `current` was issued, if this session obtained it.
    issued_at: Option<Timestamp>,
    /// `current` is refreshed when less than this is left.
    margin: SignedDuration,
    unsaved: Option<UnsavedTokens>,
    /// The number of completed refreshes. A caller that waited compares it to learn whether one completed meanwhile.
    completed_refreshes: u64,
    failure: Option<RefreshFailure>,
}

/// Tokens that RingCentral has issued and that are not stored yet.
#[derive(Clone)]
struct UnsavedTokens {
    previous: Option<Arc<TokenSet>>,
    next: TokenSet,
}

struct RefreshFailure {
    error: Error,
    retry_at: Instant,
    /// How many times in a row the grant was rejected.
    rejections: u32,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("client", &self.settings.client).finish_non_exhaustive()
    }
}

impl TokenSource {
    pub fn new(settings: SessionSettings) -> Self {
        Self {
            settings,
            fallback_user: format!("session {}", &Secret::random().digest()[..16]).into(),
            state: Mutex::default(),
            refresh_lock: tokio::sync::Mutex::default(),
        }
    }

    /// Tokens for a call, refreshed if necessary.
    pub async fn tokens(&self) -> Result<Arc<TokenSet>> {
        if let Some(tokens) = self.usable_tokens() {
            return Ok(tokens);
        }
        let seen = self.locked(|state| state.completed_refreshes);
        let _lock = self.refresh_lock.lock().await;
        if let Some(tokens) = self.usable_tokens() {
            return Ok(tokens);
        }
        let result = match self.failure_since(seen) {
            Some(error) => Err(error),
            None if self.settings.automatic_refresh => self.refresh_and_record(None).await,
            None => {
                self.load_stored("tokens").await.and_then(|found| found.ok_or(Error::signed_out("tokens")))
            }
        };
        result.or_else(|error| self.remaining_tokens().ok_or(error))
    }

    /// Tokens other than those that a call was rejected with; `None` if none can be obtained.
    pub async fn replace_rejected(&self, rejected: &TokenSet) -> Result<Option<Arc<TokenSet>>> {
        if !self.settings.automatic_refresh {
            return Ok(None);
        }
        let seen = self.locked(|state| state.completed_refreshes);
        let _lock = self.refresh_lock.lock().await;
        let is_other = |tokens: &Arc<TokenSet>| tokens.access_token != rejected.access_token;
        if let Some(tokens) = self.current().filter(is_other) {
            return Ok(Some(tokens));
        }
        if let Some(error) = self.failure_since(seen) {
            return Err(error);
        }
        let now = self.settings.client.now();
        if self.locked(|state| is_newly_issued(state, now)) {
            return Ok(None);
        }
        self.refresh_and_record(Some(rejected)).await.map(|tokens| Some(tokens).filter(is_other))
    }

    /// Stores these tokens in place of those that are stored, and uses them.
    pub async fn set_tokens(&self, tokens: TokenSet) -> Result<()> {
        let _lock = self.refresh_lock.lock().await;
        let store = &self.settings.store;
        let failed = |cause| Error::store("set_tokens", cause);
        let mut expected = store.load().await.map_err(failed)?;
        while let ReplaceOutcome::Conflict(stored) =
            store.replace(expected.as_ref(), &tokens).await.map_err(failed)?
        {
            expected = stored;
        }
        self.activate(tokens, TokenOrigin::Provided);
        Ok(())
    }

    /// Refreshes even if the access token is still valid. During a penalty no call is made.
    pub async fn refresh(&self) -> Result<Arc<TokenSet>> {
        let seen = self.locked(|state| state.completed_refreshes);
        let _lock = self.refresh_lock.lock().await;
        if let Some(penalty) = self.active_penalty() {
            return Err(penalty);
        }
        let (refreshed, current) =
            self.locked(|state| (state.completed_refreshes != seen, state.current.clone()));
        let used = match current {
            // Another caller refreshed while this one waited.
            Some(current) if refreshed && self.is_fresh(&current) => return Ok(current),
            Some(current) => Some(current),
            None => self.load_stored("refresh").await?,
        };
        self.refresh_and_record(used.as_deref()).await
    }

    /// Revokes the tokens and removes them.
    pub async fn sign_out(&self) -> Result<()> {
        let _lock = self.refresh_lock.lock().await;
        let stored = self.load_stored("sign_out").await?;
        if let Some(tokens) = stored.or_else(|| self.current()) {
            match self.revoke(&tokens).await {
                // RingCentral rejects the revocation of a token that has already ended.
                Err(error) if !matches!(error.kind(), ErrorKind::Grant(_) | ErrorKind::Invalid) => {
                    return Err(error);
                }
                _ => {}
            }
        }
        self.settings.store.clear().await.map_err(|cause| Error::store("sign_out", cause))?;
        self.locked(|state| *state = TokenState::default());
        Ok(())
    }

    /// The tokens in use, without any call.
    pub fn current(&self) -> Option<Arc<TokenSet>> {
        self.locked(|state| state.current.clone())
    }

    /// The name that the limiter counts the user's calls under.
    pub fn limiter_user(&self, tokens: &TokenSet) -> Arc<str> {
        tokens.owner_id.map_or_else(|| Arc::clone(&self.fallback_user), |id| id.to_string().into())
    }

    fn locked<T>(&self, act: impl FnOnce(&mut TokenState) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_fresh(&self, tokens: &TokenSet) -> bool {
        tokens.is_fresh(self.settings.client.now(), self.locked(|state| state.margin))
    }

    /// The tokens in use, unless they have to be refreshed.
    fn usable_tokens(&self) -> Option<Arc<TokenSet>> {
        let now = self.settings.client.now();
        let (current, new) = self.locked(|state| (state.current.clone(), is_newly_issued(state, now)));
        current.filter(|current| !self.settings.automatic_refresh || new || self.is_fresh(current))
    }

    /// The failure of a refresh that completed while the caller waited, or after which no refresh may be made yet.
    fn failure_since(&self, seen: u64) -> Option<Error> {
        self.locked(|state| {
            let applies = |failure: &&RefreshFailure| {
                state.completed_refreshes != seen || failure.retry_at > Instant::now()
            };
            state.failure.as_ref().filter(applies).map(|failure| failure.error.clone())
        })
    }

    /// The last failure, if RingCentral asked for a pause that is not over yet.
    fn active_penalty(&self) -> Option<Error> {
        let now = Instant::now();
        self.locked(|state| {
            let applies = |failure: &&RefreshFailure| {
                failure.retry_at > now && matches!(failure.error.retry(), Retry::After(_))
            };
            state.failure.as_ref().filter(applies).map(|failure| failure.error.clone())
        })
    }

    /// The tokens in use after a failed refresh, if they are valid for a little longer and no successor replaced them.
    fn remaining_tokens(&self) -> Option<Arc<TokenSet>> {
        let now = self.settings.client.now();
        self.locked(|state| state.current.clone().filter(|_| state.unsaved.is_none()))
            .filter(|tokens| tokens.is_fresh(now, MIN_REMAINING))
    }

    /// Starts to use tokens that are stored.
    fn activate(&self, tokens: TokenSet, origin: TokenOrigin) -> Arc<TokenSet> {
        let tokens = Arc::new(tokens);
        // With a margin longer than the token's lifetime, every call would refresh.
        let now = self.settings.client.now();
        let half_life = tokens.expires_at.duration_since(now) / 2;
        let margin = match origin {
            TokenOrigin::Issued => self.settings.refresh_margin.min(half_life),
            TokenOrigin::Provided | TokenOrigin::Loaded => self.settings.refresh_margin,
        };
        if origin != TokenOrigin::Loaded {
            for observer in &self.settings.observers {
                observer(&tokens);
            }
        }
        self.locked(|state| {
            state.current = Some(Arc::clone(&tokens));
            state.issued_at = (origin == TokenOrigin::Issued).then_some(now);
            state.margin = margin;
            state.unsaved = None;
            state.failure = None;
        });
        tokens
    }

    /// Reads the store, and uses its tokens if they differ from those in use.
    async fn load_stored(&self, operation: &'static str) -> Result<Option<Arc<TokenSet>>> {
        let stored = self.settings.store.load().await.map_err(|cause| Error::store(operation, cause))?;
        let current = self.current();
        Ok(match stored {
            Some(stored) if is_same_pair(Some(&stored), current.as_deref()) => current,
            Some(stored) => Some(self.activate(stored, TokenOrigin::Loaded)),
            None => None,
        })
    }

    /// Refreshes and records the outcome. The caller holds the refresh lock.
    async fn refresh_and_record(&self, rejected: Option<&TokenSet>) -> Result<Arc<TokenSet>> {
        let result = self.refresh_or_load(rejected).await;
        let pause = self.settings.refresh_pause;
        self.locked(|state| {
            state.completed_refreshes += 1;
            state.failure = result.as_ref().err().map(|error| {
                let rejected = matches!(error.kind(), ErrorKind::Grant(_));
                let before = state.failure.as_ref().map_or(0, |failure| failure.rejections);
                let wait = match error.retry() {
                    Retry::After(wait) => wait.max(pause),
                    _ if rejected => REJECTED_GRANT_PAUSE,
                    // These make no call to RingCentral, so they need no pause.
                    _ if matches!(error.kind(), ErrorKind::Store | ErrorKind::SignedOut) => Duration::ZERO,
                    _ => pause,
                };
                RefreshFailure {
                    error: error.clone(),
                    retry_at: Instant::now() + wait,
                    rejections: if rejected { before + 1 } else { 0 },
                }
            });
        });
        result
    }

    async fn refresh_or_load(&self, rejected: Option<&TokenSet>) -> Result<Arc<TokenSet>> {
        let operation = "refresh";
        if let Some(unsaved) = self.locked(|state| state.unsaved.clone()) {
            let saved = self.save(unsaved).await?;
            if self.is_fresh(&saved) {
                return Ok(saved);
            }
        }
        // A store that cannot be read will not store the new tokens either, so no refresh token is spent then.
        let rejections = self.locked(|state| state.failure.as_ref().map_or(0, |failure| failure.rejections));
        let before = self.current();
        let stored = self.load_stored(operation).await?;
        let changed = !is_same_pair(stored.as_deref(), before.as_deref());
        if let Some(tokens) = &stored
            && self.is_fresh(tokens)
            && rejected.is_none_or(|rejected| rejected.access_token != tokens.access_token)
        {
            return Ok(Arc::clone(tokens));
        }
        if rejections >= 2
            && !changed
            && self.settings.jwt.is_none()
            && let Some(error) =
                self.locked(|state| state.failure.as_ref().map(|failure| failure.error.clone()))
        {
            return Err(error);
        }
        let next = match &stored {
            Some(tokens) if tokens.can_refresh(self.settings.client.now()) => {
                match self.call_refresh(tokens).await {
                    Ok(next) => next.inherit_from(tokens),
                    Err(error) if matches!(error.kind(), ErrorKind::Grant(_)) => {
                        // Another process may have refreshed meanwhile, which ends this refresh token.
                        let mut reloaded = self.load_stored(operation).await?;
                        if is_same_pair(reloaded.as_deref(), Some(tokens)) {
                            sleep(STORE_RECHECK_DELAY).await;
                            reloaded = self.load_stored(operation).await?;
                        }
                        if let Some(other) = reloaded.filter(|other| !is_same_pair(Some(other), Some(tokens)))
                        {
                            return Ok(other);
                        }
                        match &self.settings.jwt {
                            Some(assertion) => self.call_jwt(assertion).await?,
                            None => return Err(error),
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            _ => match &self.settings.jwt {
                Some(assertion) => self.call_jwt(assertion).await?,
                None => return Err(Error::signed_out(operation)),
            },
        };
        self.save(UnsavedTokens { previous: stored, next }).await
    }

    /// Calls the token endpoint. After a lost response it repeats the call with the same refresh token.
    async fn call_refresh(&self, tokens: &TokenSet) -> Result<TokenSet> {
        let token = tokens.refresh_token.as_ref().ok_or_else(|| Error::signed_out("refresh"))?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.acquire("refresh").await?;
            let response = self.settings.client.request_refresh(token, &self.settings.token_options).await;
            match self.record_outcome("refresh", response) {
                Err(error)
                    if attempt < self.settings.refresh_attempts
                        && is_transient(&error, self.settings.refresh_pause) =>
                {
                    tracing::debug!(error = %error, attempt, "token refresh failed, retrying");
                    sleep(self.settings.refresh_pause).await;
                }
                result => return result,
            }
        }
    }

    async fn call_jwt(&self, assertion: &Secret) -> Result<TokenSet> {
        self.acquire("sign_in_with_jwt").await?;
        let response = self.settings.client.request_jwt(assertion, &self.settings.token_options).await;
        self.record_outcome("sign_in_with_jwt", response)
    }

    /// Stores new tokens, then uses them.
    async fn save(&self, unsaved: UnsavedTokens) -> Result<Arc<TokenSet>> {
        // Recorded first: if this future is dropped before the write completes, the next caller repeats it.
        self.locked(|state| state.unsaved = Some(unsaved.clone()));
        let UnsavedTokens { previous, next } = unsaved;
        let outcome = self.settings.store.replace(previous.as_deref(), &next).await;
        match outcome.map_err(|cause| Error::store("refresh", cause))? {
            ReplaceOutcome::Stored => Ok(self.activate(next, TokenOrigin::Issued)),
            // Stored by this call before it was dropped, or by another process.
            ReplaceOutcome::Conflict(Some(other)) => Ok(self.activate(other, TokenOrigin::Issued)),
            ReplaceOutcome::Conflict(None) => {
                self.locked(|state| {
                    let completed_refreshes = state.completed_refreshes;
                    *state = TokenState { completed_refreshes, ..TokenState::default() };
                });
                // Another process signed out meanwhile, so these tokens must not stay valid. Best effort.
                let _ = self.revoke(&next).await;
                Err(Error::signed_out("refresh"))
            }
        }
    }

    async fn revoke(&self, tokens: &TokenSet) -> Result<()> {
        let refresh_token = tokens.refresh_token.as_ref().map(RevocableToken::from);
        let token = refresh_token.unwrap_or(RevocableToken::from(&tokens.access_token));
        self.settings.client.revoke(token).await
    }

    async fn acquire(&self, operation: &'static str) -> Result<()> {
        match &self.settings.limiter {
            Some(limiter) => limiter.acquire(&self.limiter_app(), UsageGroup::Auth, operation).await,
            None => Ok(()),
        }
    }

    fn record_outcome(&self, operation: &'static str, result: Result<TokenResponse>) -> Result<TokenSet> {
        if let Some(limiter) = &self.settings.limiter {
            let reported = match &result {
                Ok(response) => response.rate_limit.as_ref(),
                Err(error) => error.rate_limit(),
            };
            limiter.record_outcome(&self.limiter_app(), UsageGroup::Auth, operation, reported, &result);
        }
        result.map(|response| response.tokens)
    }

    /// The token endpoint may count the calls of the whole app, so the limiter counts them together.
    fn limiter_app(&self) -> Arc<str> {
        format!("app {}", self.settings.client.app().client_id()).into()
    }
}

fn is_newly_issued(state: &TokenState, now: Timestamp) -> bool {
    let age = state.issued_at.map(|issued_at| now.duration_since(issued_at));
    age.is_some_and(|age| !age.is_negative() && age < MIN_TOKEN_AGE)
}

/// Whether the same call may succeed after `pause`.
fn is_transient(error: &Error, pause: Duration) -> bool {
    match error.kind() {
        ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Interrupted | ErrorKind::Unreadable => true,
        ErrorKind::Unavailable | ErrorKind::Intermediary => match error.retry() {
            Retry::Backoff => true,
            Retry::After(wait) => wait <= pause,
            _ => false,
        },
        _ => false,
    }
}
