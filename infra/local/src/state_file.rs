//! A JSON file in the data folder that keeps the state of one part between runs. Each save replaces the whole file.

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Without a path, nothing is kept.
#[derive(Clone, Debug, Default)]
pub struct StateFile {
    path: Option<PathBuf>,
}

impl StateFile {
    /// `folder` is the data folder, if there is one.
    #[must_use]
    pub fn new(folder: Option<&Path>, name: &str) -> Self {
        Self { path: folder.map(|folder| folder.join(name)) }
    }

    /// The saved state, or the default if there is none.
    pub fn load<T: DeserializeOwned + Default>(&self) -> Result<T> {
        let Some(path) = &self.path else { return Ok(T::default()) };
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| anyhow!("{} is damaged: {error}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(anyhow!("{} cannot be read: {error}", path.display())),
        }
    }

    /// The file is readable by its owner only, and never half-written.
    pub fn save<T: Serialize>(&self, state: &T) -> Result<()> {
        match &self.path {
            Some(path) => write_private(path, &serde_json::to_vec(state)?),
            None => Ok(()),
        }
    }
}

/// Replaces a file with one that only its owner can read. The new content survives a crash of the runner, but is not
/// synced to disk, since it is development data.
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
