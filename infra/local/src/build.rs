//! Builds the function binaries with Cargo, its progress shown; a function that does not build leaves the others alone.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// What a build left behind.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// Folder with the binaries.
    pub folder: PathBuf,
    /// Names of the binaries that are up to date.
    pub binaries: BTreeSet<String>,
    /// Everything built.
    pub complete: bool,
}

/// Builds the default members of the workspace at `root`.
pub async fn functions(root: &Path, release: bool) -> Result<Built> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(&cargo);
    command.current_dir(root).args(["build", "--keep-going", "--message-format", "json-render-diagnostics"]);
    if release {
        command.arg("--release");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{cargo} is missing: install Rust from https://rustup.rs"))?;
    let mut built = Built::default();
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            let message: Value = serde_json::from_str(&line).unwrap_or_default();
            let Some(executable) = message["executable"].as_str().map(Path::new) else { continue };
            if let (Some(folder), Some(name)) = (executable.parent(), executable.file_name()) {
                built.folder = folder.to_owned();
                built.binaries.insert(name.to_string_lossy().into_owned());
            }
        }
    }
    built.complete = child.wait().await?.success();
    if built.binaries.is_empty() {
        bail!("no function could be built");
    }
    Ok(built)
}
