//! Where tokens are kept between calls, processes and machines.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt};

use crate::tokens::TokenSet;

pub use self::file::FileStore;

#[path = "file_store.rs"]
mod file;

/// Why a store failed. It becomes the source of an [`Error`](super::Error), so it must not hold a token.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps the tokens of one user.
///
/// The contract is **persist before use**: a [`Session`](super::Session) uses new tokens only after
/// [`TokenStore::replace`] has returned, and `replace` returns only once they would survive a crash. Until a
/// new access token is used, RingCentral answers the same refresh again with the same pair, for up to an hour;
/// so nothing is lost by a crash before the write. About 10 s after the first use that is over.
///
/// `replace` is a compare-and-swap, which makes the store safe for any number of processes: whoever loses the
/// race adopts the winner's tokens.
///
/// What is stored is plain text unless the store encrypts it.
pub trait TokenStore: Send + Sync {
    /// The stored set, if there is one.
    fn load(&self) -> BoxFuture<'_, Result<Option<TokenSet>, StoreError>>;

    /// Stores `next` if what is stored [is](same) `expected`; durably, before it returns.
    fn replace<'a>(
        &'a self,
        expected: Option<&'a TokenSet>,
        next: &'a TokenSet,
    ) -> BoxFuture<'a, Result<Replaced, StoreError>>;

    /// Forgets what is stored.
    fn clear(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// How a [`TokenStore::replace`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one value for each renewal: a box would only burden stores")]
pub enum Replaced {
    /// `next` is stored.
    Stored,
    /// Something else than expected was stored, and still is: this, or nothing.
    Moved(Option<TokenSet>),
}

/// True if both are the same pair of tokens, or both nothing.
#[must_use]
pub fn same(one: Option<&TokenSet>, other: Option<&TokenSet>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one.access_token == other.access_token && one.refresh_token == other.refresh_token
        }
        _ => false,
    }
}

/// Keeps tokens in memory: for tests, and for programs that sign in anew each time they start.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tokens: Mutex<Option<TokenSet>>,
}

impl MemoryStore {
    /// A store with nothing in it.
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
    ) -> BoxFuture<'a, Result<Replaced, StoreError>> {
        let swap = move |tokens: &mut Option<TokenSet>| {
            if same(tokens.as_ref(), expected) {
                *tokens = Some(next.clone());
                Replaced::Stored
            } else {
                Replaced::Moved(tokens.clone())
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

/// The path with something appended to its last part.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
