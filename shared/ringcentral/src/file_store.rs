//! A token store in a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use futures_util::future::{BoxFuture, FutureExt};
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::token_store::{ReplaceOutcome, StoreError, TokenStore, is_same_pair};
use crate::tokens::TokenSet;

/// Stores tokens in a file, in plain text, readable by its owner only. The processes of one machine can share it.
///
/// A write creates a new file, flushes it to the disk, and renames it over the old one. A lock file beside it (`.lock`)
/// makes reading, comparing and writing one atomic step.
#[derive(Debug, Clone)]
pub struct FileStore {
    path: PathBuf,
}

impl FileStore {
    /// A store in this file. Its folder must exist; the file is created when needed.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Runs on a blocking thread, under the lock. It completes even if the returned future is dropped.
    fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let path = self.path.clone();
        async move {
            let task = tokio::task::spawn_blocking(move || {
                let lock = open_private(&with_suffix(&path, ".lock"), Creation::IfMissing)?;
                lock.lock()?;
                // Closing the file releases the lock.
                act(&path)
            });
            Ok(task.await.map_err(io::Error::other)??)
        }
        .boxed()
    }
}

impl TokenStore for FileStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<TokenSet>, StoreError>> {
        self.run(read)
    }

    fn replace<'a>(
        &'a self,
        expected: Option<&'a TokenSet>,
        next: &'a TokenSet,
    ) -> BoxFuture<'a, Result<ReplaceOutcome, StoreError>> {
        let (expected, next) = (expected.cloned(), next.clone());
        self.run(move |path| {
            let stored = read(path)?;
            if !is_same_pair(stored.as_ref(), expected.as_ref()) {
                return Ok(ReplaceOutcome::Conflict(stored));
            }
            write(path, &next)?;
            Ok(ReplaceOutcome::Stored)
        })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.run(|path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }
}

fn read(path: &Path) -> io::Result<Option<TokenSet>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // The parser's message is dropped, because it can quote the tokens.
    let set = serde_json::from_slice(&bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the token file is damaged"))?;
    Ok(Some(set))
}

fn write(path: &Path, tokens: &TokenSet) -> io::Result<()> {
    let bytes = Zeroizing::new(serde_json::to_vec(&tokens.expose()).map_err(io::Error::other)?);
    let temporary = with_suffix(path, &format!(".{}", Secret::random().expose()));
    let written = open_private(&temporary, Creation::New)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The file may contain tokens. The write has failed either way.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_folder(path)
}

/// Whether opening a file may find an existing one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Creation {
    New,
    IfMissing,
}

/// Opens a file that only its owner can read.
fn open_private(path: &Path, creation: Creation) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).create_new(creation == Creation::New);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes a rename durable, on systems where folders can be flushed.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn set(name: &str) -> TokenSet {
        TokenSet::new(format!("access-{name}"), Timestamp::UNIX_EPOCH).with_refresh_token(name, None)
    }

    #[tokio::test]
    async fn a_set_is_replaced_only_if_it_is_the_expected_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let store = FileStore::new(&path);
        assert_eq!(store.load().await.expect("read"), None);
        assert_eq!(store.replace(None, &set("1")).await.expect("written"), ReplaceOutcome::Stored);
        let other = FileStore::new(&path);
        assert_eq!(other.load().await.expect("read"), Some(set("1")));
        assert_eq!(other.replace(Some(&set("1")), &set("2")).await.expect("written"), ReplaceOutcome::Stored);
        let lost = store.replace(Some(&set("1")), &set("3")).await.expect("compared");
        assert_eq!(lost, ReplaceOutcome::Conflict(Some(set("2"))));
        store.clear().await.expect("removed");
        store.clear().await.expect("nothing to remove");
        assert_eq!(other.load().await.expect("read"), None);
        let names = fs::read_dir(folder.path()).expect("listed").count();
        assert_eq!(names, 1, "only the lock file remains");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_its_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        FileStore::new(&path).replace(None, &set("1")).await.expect("written");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_damaged_file_is_an_error_that_does_not_quote_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        fs::write(&path, r#"{"access_token":["CANARY"]}"#).expect("written");
        let error = FileStore::new(&path).load().await.expect_err("damaged");
        assert!(!format!("{error} {error:?}").contains("CANARY"));
    }
}
