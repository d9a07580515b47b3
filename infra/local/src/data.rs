//! The data folder keeps the state of all parts together. One stack can use it at a time.

use anyhow::{Context, Result, anyhow, bail};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Locks the folder until it is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// The operating system releases the lock when the process ends.
    lock: File,
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that is being started has a copy of it until its program runs.
        let _ = self.lock.unlock();
    }
}

impl DataFolder {
    /// Creates the folder if it does not exist, and locks it. If another stack has locked it, the error names its process.
    pub fn open(path: &Path) -> Result<Self> {
        let cannot = || format!("the data folder {} cannot be used", path.display());
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(cannot)?;
        }
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&file).unwrap_or_default();
                bail!("the data folder {} is in use by the stack with pid {}", path.display(), pid.trim());
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        // An absolute path stays valid if the working directory changes.
        let path = path.canonicalize().with_context(cannot)?;
        Ok(Self { path, lock })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A one-line error for state that cannot be restored, with what to do about it.
#[must_use]
pub fn not_restored(folder: Option<&Path>, error: &anyhow::Error) -> anyhow::Error {
    let why = format!("{error:#}").replace('\n', " ");
    match folder {
        Some(folder) => anyhow!(
            "{} cannot be restored: {why}; delete {} to start from scratch",
            folder.display(),
            folder.display()
        ),
        None => anyhow!("{why}"),
    }
}
