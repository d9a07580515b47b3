//! The data folder: one stack at a time, all parts of its state together.

use anyhow::{Context, Result, anyhow, bail};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A data folder that this process holds until this is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// The lock ends with the file, however the process ends.
    _lock: File,
}

impl DataFolder {
    /// Takes the folder, making it if need be; one that another stack holds is refused with its process id.
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
        // SQLite and the tables need the real path, whatever the working directory becomes.
        let path = path.canonicalize().with_context(cannot)?;
        Ok(Self { path, _lock: lock })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What to say when a part of the state cannot be restored: one line.
#[must_use]
pub fn not_restored(folder: Option<&Path>, error: &anyhow::Error) -> anyhow::Error {
    let why = format!("{error:#}").replace('\n', " ");
    match folder {
        Some(folder) => anyhow!(
            "{} cannot be restored: {why}; delete {} to start afresh",
            folder.display(),
            folder.display()
        ),
        None => anyhow!("{why}"),
    }
}
