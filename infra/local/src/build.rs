//! Builds the function binaries with Cargo. A function that fails to build does not stop the others.

use crate::progress::ProgressLine;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BuildProfile {
    Debug,
    Release,
}

#[derive(Clone, Debug, Default)]
pub struct FunctionBuild {
    /// The folder of the binaries.
    pub folder: PathBuf,
    /// The names of the binaries that are up to date.
    pub binaries: BTreeSet<String>,
    /// Whether everything was built.
    pub complete: bool,
}

/// Builds the binaries of `functions`, packages of the workspace at `root`.
///
/// A debug build names the example `local` too, which runs already. So Cargo resolves one set of features for both, and
/// what was compiled for the example is not compiled again for the functions.
pub async fn functions(
    root: &Path,
    profile: BuildProfile,
    functions: &BTreeSet<String>,
    progress: &mut ProgressLine,
) -> Result<FunctionBuild> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(&cargo);
    command.current_dir(root).args(["build", "--keep-going", "--message-format", "json-render-diagnostics"]);
    command.args(["--color", if progress.is_terminal() { "always" } else { "never" }]);
    command.arg("--bins").args(functions.iter().flat_map(|name| ["--package", name]));
    match profile {
        BuildProfile::Release => _ = command.arg("--release"),
        BuildProfile::Debug if root.join("infra/local").is_dir() => {
            command.args(["--package", "local", "--example", "local"]);
        }
        BuildProfile::Debug => {}
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{cargo} is missing: install Rust from https://rustup.rs"))?;
    let mut state = BuildState { total: functions.len(), ..BuildState::default() };
    progress.step(&state.line());
    let mut build = FunctionBuild::default();
    let mut messages = BufReader::new(child.stdout.take().context("Cargo has no stdout")?).lines();
    let mut output = BufReader::new(child.stderr.take().context("Cargo has no stderr")?).lines();
    let (mut has_messages, mut has_output) = (true, true);
    while has_messages || has_output {
        tokio::select! {
            message = messages.next_line(), if has_messages => match message? {
                Some(message) => add_artifact(&message, functions, &mut build, &mut state),
                None => has_messages = false,
            },
            line = output.next_line(), if has_output => match line? {
                Some(line) => match CargoOutput::of(&line) {
                    CargoOutput::Finished => {}
                    CargoOutput::Waiting(reason) => state.waiting = Some(reason),
                    CargoOutput::Diagnostic => progress.print(&line),
                },
                None => has_output = false,
            },
        }
        progress.update(&state.line());
    }
    build.complete = child.wait().await?.success();
    if build.binaries.is_empty() {
        bail!("no function could be built");
    }
    Ok(build)
}

/// What the progress line shows.
#[derive(Debug, Default)]
struct BuildState {
    total: usize,
    built: usize,
    /// Crates that were compiled in this build.
    compiled: usize,
    last: String,
    /// What Cargo waits for before it compiles.
    waiting: Option<String>,
}

impl BuildState {
    fn line(&self) -> String {
        let Self { total, built, compiled, last, waiting } = self;
        let detail = match (waiting, compiled) {
            (Some(reason), _) => format!(" ({reason})"),
            (None, 0) => String::new(),
            (None, 1) => format!(" (1 crate compiled, last {last})"),
            (None, _) => format!(" ({compiled} crates compiled, last {last})"),
        };
        format!("Building functions… {built}/{total}{detail}")
    }
}

/// Reads a JSON message of Cargo about a crate that is compiled or was up to date.
fn add_artifact(
    message: &str,
    functions: &BTreeSet<String>,
    build: &mut FunctionBuild,
    state: &mut BuildState,
) {
    let message: Value = serde_json::from_str(message).unwrap_or_default();
    if message["reason"] != "compiler-artifact" {
        return;
    }
    state.waiting = None;
    if message["fresh"] == false {
        state.compiled += 1;
        message["target"]["name"].as_str().unwrap_or_default().clone_into(&mut state.last);
    }
    let Some(executable) = message["executable"].as_str().map(Path::new) else { return };
    if let (Some(folder), Some(name)) = (executable.parent(), executable.file_name()) {
        let name = name.to_string_lossy().into_owned();
        state.built += usize::from(functions.contains(&name));
        build.folder = folder.to_owned();
        build.binaries.insert(name);
    }
}

/// A line that Cargo writes to stderr.
#[derive(Debug, Eq, PartialEq)]
enum CargoOutput {
    /// ProgressLine that the JSON messages report as well.
    Finished,
    /// Cargo waits for the network or for another build.
    Waiting(String),
    /// A warning or an error.
    Diagnostic,
}

impl CargoOutput {
    fn of(line: &str) -> Self {
        let plain = without_colors(line);
        match plain.split_whitespace().next() {
            Some(
                "Adding" | "Compiling" | "Dirty" | "Downloaded" | "Finished" | "Fresh" | "Locking"
                | "Running",
            ) => Self::Finished,
            Some("Blocking" | "Downloading" | "Updating") => Self::Waiting(plain.trim().to_lowercase()),
            _ => Self::Diagnostic,
        }
    }
}

/// Removes ANSI escape sequences of colors.
fn without_colors(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut parts = line.split("\x1b[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, text)| text));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{BuildState, CargoOutput};

    #[test]
    fn cargos_own_progress_is_not_shown_as_a_diagnostic() {
        for (line, expected) in [
            ("   Compiling serde v1.0.0", CargoOutput::Finished),
            ("\x1b[1m\x1b[92m   Compiling\x1b[0m serde v1.0.0", CargoOutput::Finished),
            (
                "    Blocking waiting for file lock on build directory",
                CargoOutput::Waiting("blocking waiting for file lock on build directory".to_owned()),
            ),
            ("error[E0425]: cannot find value `x`", CargoOutput::Diagnostic),
            ("12 |     Compiling", CargoOutput::Diagnostic),
            ("", CargoOutput::Diagnostic),
        ] {
            assert_eq!(CargoOutput::of(line), expected, "{line}");
        }
    }

    #[test]
    fn the_progress_line_counts_functions_and_compiled_crates() {
        let mut state = BuildState { total: 53, built: 31, ..BuildState::default() };
        assert_eq!(state.line(), "Building functions… 31/53");
        state.compiled = 212;
        state.last = "send-sms".to_owned();
        assert_eq!(state.line(), "Building functions… 31/53 (212 crates compiled, last send-sms)");
    }
}
