//! What the commands print: results on stdout, progress and notes on stderr. Colours, tables with aligned columns and progress lines are
//! for terminals.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use crate::environment;
use crate::error::CliError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy)]
pub enum Color {
    Green,
    Yellow,
    Red,
    Dim,
    Bold,
}

impl Color {
    fn code(self) -> &'static str {
        match self {
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
            Self::Dim => "2",
            Self::Bold => "1",
        }
    }

    /// The colour of a status of a message, a delivery, an extension or a finding.
    fn of_status(status: &str) -> Option<Self> {
        Some(match status {
            "delivered" | "active" | "received" | "passed" | "accepted" | "ok" => Self::Green,
            "queued" | "sending" | "sent" | "scheduled" | "pending" | "refresh_failed" | "held"
            | "unknown" | "suspended" => Self::Yellow,
            "failed" | "canceled" | "expired" | "revoked" | "deleting" | "rejected" => Self::Red,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
    colors_out: bool,
    colors_err: bool,
    table: bool,
    progress: bool,
}

impl Output {
    pub fn new(json: bool, choice: ColorChoice) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let allowed = |terminal: bool| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let dumb = environment::variable("TERM").is_some_and(|term| term == "dumb");
                terminal && !dumb && environment::variable("NO_COLOR").is_none()
            }
        };
        Self { json, colors_out: allowed(out), colors_err: allowed(err), table: out, progress: err && !json }
    }

    /// A line of the result. A closed pipe ends the program quietly, as `head` expects.
    pub fn line(&self, text: &str) {
        if writeln!(io::stdout(), "{text}").is_err() {
            std::process::exit(0);
        }
    }

    /// A line for people.
    pub fn note(&self, text: &str) {
        _ = writeln!(io::stderr(), "{text}");
    }

    pub fn warning(&self, text: &str) {
        let label = self.paint_err(Color::Yellow, "warning:");
        self.note(&format!("{label} {text}"));
    }

    pub fn json(&self, value: &impl Serialize) {
        self.line(&serde_json::to_string_pretty(value).unwrap_or_default());
    }

    /// A line of JSON, for results that come one after another.
    pub fn json_line(&self, value: &impl Serialize) {
        self.line(&serde_json::to_string(value).unwrap_or_default());
    }

    pub fn paint(&self, color: Color, text: &str) -> String {
        painted(self.colors_out, color, text)
    }

    pub fn paint_err(&self, color: Color, text: &str) -> String {
        painted(self.colors_err, color, text)
    }

    pub fn status(&self, status: &str) -> String {
        Color::of_status(status).map_or_else(|| status.to_owned(), |color| self.paint(color, status))
    }

    /// Rows with a heading. If the output is not a terminal, they are separated by tabs and have no heading, for other programs.
    pub fn table(&self, heading: &[&str], rows: &[Vec<String>]) {
        if !self.table {
            for row in rows {
                let cells: Vec<String> = row.iter().map(|cell| cell.replace(['\t', '\n'], " ")).collect();
                self.line(&cells.join("\t"));
            }
            return;
        }
        let mut widths: Vec<usize> = heading.iter().map(|text| text.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let pad = |cells: Vec<String>| {
            let padded: Vec<String> = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}", width = *width))
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        self.line(&self.paint(Color::Bold, &pad(heading.iter().map(|text| (*text).to_owned()).collect())));
        for row in rows {
            let plain = pad(row.clone());
            // Painted after it is aligned: the codes of colours have no width.
            let painted = row.iter().find_map(|cell| Color::of_status(cell).map(|color| (cell, color)));
            match painted {
                Some((cell, color)) => {
                    self.line(&plain.replacen(cell.as_str(), &self.paint(color, cell), 1));
                }
                None => self.line(&plain),
            }
        }
    }

    pub fn error(&self, error: &CliError) {
        if self.json {
            let text = json!({ "error": error.text, "code": error.code, "advice": error.advice,
                "requestId": error.request_id, "exitCode": error.exit as i32 });
            self.note(&text.to_string());
            return;
        }
        self.note(&format!("{} {}", self.paint_err(Color::Red, "error:"), error.text));
        if let Some(advice) = &error.advice {
            self.note(&format!("  {advice}"));
        }
        if let Some(id) = &error.request_id {
            self.note(&self.paint_err(Color::Dim, &format!("  request {id}")));
        }
    }

    pub fn progress(&self) -> Progress {
        Progress { output: *self, shown: None, noted: Instant::now(), width: 0 }
    }
}

fn painted(colors: bool, color: Color, text: &str) -> String {
    if colors { format!("\x1b[{}m{text}\x1b[0m", color.code()) } else { text.to_owned() }
}

/// A line on the terminal that changes. It disappears at the end.
pub struct Progress {
    output: Output,
    shown: Option<Instant>,
    /// When the last line was printed where there is no terminal.
    noted: Instant,
    width: usize,
}

impl Progress {
    const INTERVAL: Duration = Duration::from_millis(100);
    const NOTE_INTERVAL: Duration = Duration::from_secs(30);

    /// Shows a line, at most ten times a second.
    pub fn update(&mut self, text: impl FnOnce() -> String) {
        if self.output.progress && self.shown.is_none_or(|at| at.elapsed() >= Self::INTERVAL) {
            self.show(&text());
        }
    }

    /// Shows how much of a long work is done. Without a terminal, it prints a line now and then.
    pub fn bar(&mut self, done: usize, total: usize, text: impl FnOnce() -> String) {
        if !self.output.progress && !self.output.json && self.noted.elapsed() >= Self::NOTE_INTERVAL {
            self.noted = Instant::now();
            self.output.note(&format!("{done}/{total} {}", text()));
            return;
        }
        self.update(|| {
            let filled = (done * 24).checked_div(total).unwrap_or(24).min(24);
            format!("[{}{}] {done}/{total} {}", "=".repeat(filled), " ".repeat(24 - filled), text())
        });
    }

    fn show(&mut self, text: &str) {
        let width = text.chars().count();
        let blank = " ".repeat(self.width.saturating_sub(width));
        _ = write!(io::stderr(), "\r{text}{blank}");
        _ = io::stderr().flush();
        (self.shown, self.width) = (Some(Instant::now()), width);
    }

    pub fn clear(&mut self) {
        if self.shown.take().is_some() {
            _ = write!(io::stderr(), "\r{}\r", " ".repeat(self.width));
            _ = io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The text of an optional field.
pub fn text(value: Option<&str>) -> String {
    value.unwrap_or("-").to_owned()
}

/// A number with its noun: `1 event`, `2 events`.
pub fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
