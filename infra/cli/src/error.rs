//! What can go wrong, and the exit code that says so.

use std::fmt;

/// The exit codes, which docs/cli.md lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Failed = 1,
    /// Wrong arguments, files or configuration. Clap uses it too.
    Usage = 2,
    /// No key, or one that may not do this.
    Unauthorized = 3,
    NotFound = 4,
    /// The gateway cannot be reached or used at the moment.
    Unavailable = 5,
    /// A message was not sent or not delivered.
    NotDelivered = 6,
    /// It is not known whether a message was sent.
    Unknown = 7,
    /// A check has found something.
    Findings = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

#[derive(Debug, Clone)]
pub struct CliError {
    pub exit: Exit,
    pub text: String,
    /// What to do.
    pub advice: Option<String>,
    /// The code of the API, if the API reported the error.
    pub code: Option<String>,
    pub request_id: Option<String>,
}

pub type CliResult<T> = Result<T, CliError>;

impl CliError {
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), advice: None, code: None, request_id: None }
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// A file that cannot be used.
    pub fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::usage(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
