//! A progress line on stderr. A terminal shows it in place; elsewhere it is printed from time to time.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
const PRINT_INTERVAL: Duration = Duration::from_secs(15);
/// Longer lines would wrap, and a wrapped line cannot be redrawn in place.
const MAX_WIDTH: usize = 79;
const CLEAR_LINE: &str = "\r\x1b[2K";

pub struct ProgressLine {
    is_terminal: bool,
    /// When the line was last written. Elsewhere than on a terminal, the first line waits too, so that short work is silent.
    written: Option<Instant>,
    is_drawn: bool,
}

impl ProgressLine {
    #[must_use]
    pub fn on_stderr() -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { is_terminal, written: (!is_terminal).then(Instant::now), is_drawn: false }
    }

    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Shows the current state, unless the previous one was shown a moment ago.
    pub fn update(&mut self, state: &str) {
        let interval = if self.is_terminal { REDRAW_INTERVAL } else { PRINT_INTERVAL };
        if self.written.is_none_or(|written| written.elapsed() >= interval) {
            self.show(state);
        }
    }

    /// Shows the current state at once on a terminal.
    pub fn step(&mut self, state: &str) {
        if self.is_terminal {
            self.show(state);
        }
    }

    /// Prints a line above the progress line.
    pub fn print(&mut self, line: &str) {
        self.clear();
        write(&format!("{line}\n"));
    }

    /// Removes the progress line from a terminal.
    pub fn clear(&mut self) {
        if self.is_drawn {
            write(CLEAR_LINE);
            self.is_drawn = false;
        }
    }

    fn show(&mut self, state: &str) {
        let line: String = state.chars().take(MAX_WIDTH).collect();
        self.written = Some(Instant::now());
        if self.is_terminal {
            write(&format!("{CLEAR_LINE}{line}"));
            self.is_drawn = true;
        } else {
            write(&format!("{line}\n"));
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A closed stderr is no reason to stop.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
