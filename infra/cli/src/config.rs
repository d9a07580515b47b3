//! Profiles: where a gateway is, and the key for it. They are in one file that only its owner may read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::environment;
use crate::error::{CliError, CliResult};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Profile {
    pub url: String,
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ProfileStore {
    /// The profile that is used without `--profile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

impl ProfileStore {
    pub fn path() -> CliResult<PathBuf> {
        let missing = || CliError::usage("there is no home directory; set RINGBRIDGE_CONFIG to a file");
        environment::config_file().ok_or_else(missing)
    }

    /// The profiles; none if there is no file.
    pub fn load() -> CliResult<Self> {
        let path = Self::path()?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(CliError::file(&path, &error)),
        };
        check_permissions(&path)?;
        toml::from_str(&text).map_err(|error| {
            CliError::usage(format!("{} cannot be read: {}", path.display(), error.message()))
        })
    }

    pub fn save(&self) -> CliResult<PathBuf> {
        let path = Self::path()?;
        let text = toml::to_string(self)
            .map_err(|error| CliError::usage(format!("the profiles cannot be written: {error}")))?;
        write_private(&path, text.as_bytes())?;
        Ok(path)
    }

    /// The name of the profile to use, if one is named or set as the default.
    pub fn name<'a>(&'a self, wanted: Option<&'a str>) -> Option<&'a str> {
        wanted.or(self.default.as_deref())
    }

    pub fn profile(&self, name: &str) -> CliResult<&Profile> {
        self.profiles.get(name).ok_or_else(|| {
            CliError::usage(format!("there is no profile {name}"))
                .advice(format!("Create it with: ringbridge --profile {name} login"))
        })
    }
}

#[cfg(unix)]
fn check_permissions(path: &Path) -> CliResult<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_err(|error| CliError::file(path, &error))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(CliError::usage(format!("{} contains keys, and others may read it", path.display()))
        .advice(format!("chmod 600 {}", path.display())))
}

#[cfg(not(unix))]
fn check_permissions(_: &Path) -> CliResult<()> {
    Ok(())
}

/// Replaces a file with one that only its owner may read, so that it is complete even after a power failure.
pub fn write_private(path: &Path, content: &[u8]) -> CliResult<()> {
    let failed = |error| CliError::file(path, &error);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}
