//! What the functions write: kept in memory (bounded) for whoever asks, and shown in the terminal on request.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Lines kept.
const KEPT_LINES: usize = 20_000;

/// The lines of all functions; copies share them.
#[derive(Clone, Default)]
pub struct Logs {
    kept: Arc<Mutex<Kept>>,
    show: bool,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<(u64, String, String)>,
    next: u64,
}

impl Logs {
    /// Keeps lines, and writes them to stderr if `show`.
    #[must_use]
    pub fn new(show: bool) -> Self {
        Self { kept: Arc::default(), show }
    }

    /// Adds a line.
    #[expect(clippy::print_stderr, reason = "this is where the runner shows what its functions write")]
    pub fn add(&self, function: &str, line: &str) {
        if self.show {
            eprintln!("{function} | {line}");
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = kept.next;
        kept.next += 1;
        kept.lines.push_back((seq, function.to_owned(), line.to_owned()));
        if kept.lines.len() > KEPT_LINES {
            kept.lines.pop_front();
        }
    }

    /// The lines from `since` on: `{lines: [{seq, function, line}], next}`.
    #[must_use]
    pub fn since(&self, since: u64) -> Value {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<Value> = kept
            .lines
            .iter()
            .filter(|(seq, ..)| *seq >= since)
            .map(|(seq, function, line)| json!({ "seq": seq, "function": function, "line": line }))
            .collect();
        json!({ "lines": lines, "next": kept.next })
    }
}
