//! Tokens in a file, shared by the processes of one machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use futures_util::future::{BoxFuture, FutureExt};
use zeroize::Zeroizing;

use super::{Replaced, StoreError, TokenStore, beside, same};
use crate::secret::Secret;
use crate::tokens::TokenSet;

/// Keeps tokens in a file, in plain text, readable by its owner only.
///
/// A write goes to a new file, is flushed to the disk, and takes the old one's place in one step. A lock file
/// beside it (`.lock`) makes reading, comparing and writing one step for all processes of the machine.
#[derive(Debug, Clone)]
pub struct FileStore {
    path: PathBuf,
}

impl FileStore {
    /// A store in this file. Its folder must exist; the file need not.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Runs off the async threads, since disks and locks block. It runs to its end even if nobody waits.
    fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let path = self.path.clone();
        async move {
            let done = tokio::task::spawn_blocking(move || {
                let lock = private(&beside(&path, ".lock"), false)?;
                lock.lock()?;
                // The lock ends with the file handle.
                act(&path)
            });
            Ok(done.await.map_err(io::Error::other)??)
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
    ) -> BoxFuture<'a, Result<Replaced, StoreError>> {
        let (expected, next) = (expected.cloned(), next.clone());
        self.run(move |path| {
            let stored = read(path)?;
            if !same(stored.as_ref(), expected.as_ref()) {
                return Ok(Replaced::Moved(stored));
            }
            write(path, &next)?;
            Ok(Replaced::Stored)
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
    // The parser's own message may quote what it read.
    let set = serde_json::from_slice(&bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the token file is damaged"))?;
    Ok(Some(set))
}

fn write(path: &Path, tokens: &TokenSet) -> io::Result<()> {
    let bytes = Zeroizing::new(serde_json::to_vec(&tokens.expose()).map_err(io::Error::other)?);
    let fresh = beside(path, &format!(".{}", Secret::random().expose()));
    let written = private(&fresh, true)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        // What remains is a file with tokens in it; whether it could be removed changes nothing here.
        let _removed = fs::remove_file(&fresh);
    }
    written?;
    sync_folder(path)
}

/// Opens a file that only its owner can read.
fn private(path: &Path, new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).create_new(new);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the new name of a file survive a crash, where folders can be flushed.
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
    async fn only_the_expected_set_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let store = FileStore::new(&path);
        assert_eq!(store.load().await.expect("read"), None);
        assert_eq!(store.replace(None, &set("1")).await.expect("written"), Replaced::Stored);
        let other = FileStore::new(&path);
        assert_eq!(other.load().await.expect("read"), Some(set("1")));
        assert_eq!(other.replace(Some(&set("1")), &set("2")).await.expect("written"), Replaced::Stored);
        let lost = store.replace(Some(&set("1")), &set("3")).await.expect("compared");
        assert_eq!(lost, Replaced::Moved(Some(set("2"))));
        store.clear().await.expect("removed");
        store.clear().await.expect("nothing to remove");
        assert_eq!(other.load().await.expect("read"), None);
        let names = fs::read_dir(folder.path()).expect("listed").count();
        assert_eq!(names, 1, "only the lock file remains");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_file_is_its_owners_only() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        FileStore::new(&path).replace(None, &set("1")).await.expect("written");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_damaged_file_is_an_error_that_does_not_quote_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        fs::write(&path, r#"{"access_token":["CANARY"]}"#).expect("written");
        let error = FileStore::new(&path).load().await.expect_err("damaged");
        assert!(!format!("{error} {error:?}").contains("CANARY"));
    }
}
