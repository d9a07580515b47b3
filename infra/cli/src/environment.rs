//! Environment variables and the clock. No other module reads them.

use std::ffi::OsString;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

#[expect(clippy::disallowed_methods, reason = "a separate program, without the gateway's configuration")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from)
}

/// The file with the profiles. What commands remember is in the same folder.
pub fn config_file() -> Option<PathBuf> {
    if let Some(file) = path("RINGBRIDGE_CONFIG") {
        return Some(file);
    }
    let folder = path("XDG_CONFIG_HOME")
        .or_else(|| path("HOME").map(|home| home.join(".config")))
        .or_else(|| path("APPDATA"))?;
    Some(folder.join("ringbridge").join("config.toml"))
}

/// The time. On the local stack, whose clock can be moved, it is moved by the variable that its functions read too.
#[expect(clippy::disallowed_methods, reason = "the one clock of this program")]
pub fn now() -> Timestamp {
    let offset = variable("RINGBRIDGE_CLOCK_OFFSET_SECONDS").and_then(|text| text.parse().ok()).unwrap_or(0);
    Timestamp::now().saturating_add(SignedDuration::from_secs(offset)).unwrap_or(Timestamp::MAX)
}
