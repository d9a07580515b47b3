//! Stores of tokens, shared by the processes and machines that use one session.

use std::sync::{Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt};

use crate::tokens::TokenSet;

/// Why a store failed. It becomes the source of an [`Error`](crate::Error), so it must not contain a token.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// Stores the tokens of one user.
///
/// The contract is **store before use**: a [`Session`](crate::Session) uses new tokens only after
/// [`TokenStore::replace`] has returned, and `replace` returns only after the tokens are durable. Until a new access
/// token is used, and for up to an hour, RingCentral returns the same pair for the same refresh token, so a crash before
/// the write loses nothing. About 10 s after the first use it no longer does.
///
/// `replace` is a compare-and-swap, so any number of processes can share a store: the one that loses the race uses the
/// winner's tokens.
///
/// Tokens are stored in plain text unless the store encrypts them.
pub trait TokenStore: Send + Sync {
    /// Returns the stored set, if there is one.
    fn load(&self) -> BoxFuture<'_, Result<Option<TokenSet>, StoreError>>;

    /// Stores `next` if the stored set [is the same pair](is_same_pair) as `expected`. Returns after the write is
    /// durable.
    fn replace<'a>(
        &'a self,
        expected: Option<&'a TokenSet>,
        next: &'a TokenSet,
    ) -> BoxFuture<'a, Result<ReplaceOutcome, StoreError>>;

    /// Removes the stored set.
    fn clear(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// The outcome of [`TokenStore::replace`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one value per refresh: a box would only burden implementations"
)]
pub enum ReplaceOutcome {
    /// `next` is stored.
    Stored,
    /// The stored set was not the expected one, and is unchanged. Contains the stored set, if there is one.
    Conflict(Option<TokenSet>),
}

/// Whether both are the same access and refresh token, or both `None`.
#[must_use]
pub fn is_same_pair(one: Option<&TokenSet>, other: Option<&TokenSet>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one.access_token == other.access_token && one.refresh_token == other.refresh_token
        }
        _ => false,
    }
}

/// Stores tokens in memory: for tests, and for programs that sign in each time they start.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tokens: Mutex<Option<TokenSet>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A store with these tokens.
    #[must_use]
    pub fn with(tokens: TokenSet) -> Self {
        Self { tokens: Mutex::new(Some(tokens)) }
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Option<TokenSet>) -> T) -> T {
        act(&mut self.tokens.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TokenStore for MemoryStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<TokenSet>, StoreError>> {
        async { Ok(self.locked(|tokens| tokens.clone())) }.boxed()
    }

    fn replace<'a>(
        &'a self,
        expected: Option<&'a TokenSet>,
        next: &'a TokenSet,
    ) -> BoxFuture<'a, Result<ReplaceOutcome, StoreError>> {
        let swap = move |tokens: &mut Option<TokenSet>| {
            if is_same_pair(tokens.as_ref(), expected) {
                *tokens = Some(next.clone());
                ReplaceOutcome::Stored
            } else {
                ReplaceOutcome::Conflict(tokens.clone())
            }
        };
        async move { Ok(self.locked(swap)) }.boxed()
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async {
            self.locked(|tokens| *tokens = None);
            Ok(())
        }
        .boxed()
    }
}
