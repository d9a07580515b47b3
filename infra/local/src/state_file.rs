//! A small piece of state that survives the runner: one JSON file in the data folder, replaced as a whole.

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where a part keeps its state; `None` keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct StateFile {
    path: Option<PathBuf>,
}

impl StateFile {
    /// A file of the data folder, or nothing without one.
    #[must_use]
    pub fn new(folder: Option<&Path>, name: &str) -> Self {
        Self { path: folder.map(|folder| folder.join(name)) }
    }

    /// What was saved; the default if nothing was.
    pub fn load<T: DeserializeOwned + Default>(&self) -> Result<T> {
        let Some(path) = &self.path else { return Ok(T::default()) };
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| anyhow!("{} is damaged: {error}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(anyhow!("{} cannot be read: {error}", path.display())),
        }
    }

    /// Saves; readable by the owner alone, and never half-written.
    pub fn save<T: Serialize>(&self, state: &T) -> Result<()> {
        match &self.path {
            Some(path) => write_private(path, &serde_json::to_vec(state)?),
            None => Ok(()),
        }
    }
}

/// Replaces a file with one that only its owner may read. It is there even if the runner is killed right after; against
/// a power cut nothing is done, since nobody's data is in it.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .with_context(|| format!("cannot write {}", temporary.display()))?;
    file.write_all(bytes)?;
    fs::rename(&temporary, path).with_context(|| format!("cannot write {}", path.display()))
}
