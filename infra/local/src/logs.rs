//! The log lines of the functions: the newest are kept in memory for `GET /_local/logs`, and the terminal shows them.

use crate::log_line;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const MAX_LINES: usize = 20_000;

/// How the terminal shows log lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogDisplay {
    #[default]
    Hidden,
    /// Short lines for people.
    Short,
    /// The lines as the functions wrote them.
    Raw,
}

/// Clones share the lines.
#[derive(Clone, Default)]
pub struct FunctionLogs {
    log: Arc<Mutex<Log>>,
}

/// Called with each line.
type LogObserver = Arc<dyn Fn(&str) + Send + Sync>;

#[derive(Default)]
struct Log {
    lines: VecDeque<LogLine>,
    next: u64,
    display: LogDisplay,
    observer: Option<LogObserver>,
}

struct LogLine {
    seq: u64,
    function: String,
    line: String,
}

impl FunctionLogs {
    /// From now on, writes log lines to stderr. Of the earlier lines, `Raw` writes all and `Short` those that report a
    /// problem.
    pub fn show(&self, display: LogDisplay) {
        let mut log = self.lock();
        log.display = display;
        for LogLine { function, line, .. } in &log.lines {
            if display == LogDisplay::Raw || log_line::reports_problem(line) {
                write(display, function, line);
            }
        }
    }

    /// From now on, calls this with each line.
    pub fn observe(&self, observer: impl Fn(&str) + Send + Sync + 'static) {
        self.lock().observer = Some(Arc::new(observer));
    }

    pub fn add(&self, function: &str, line: &str) {
        let observer = self.lock().observer.clone();
        if let Some(observe) = observer {
            observe(line);
        }
        let mut log = self.lock();
        write(log.display, function, line);
        let seq = log.next;
        log.next += 1;
        log.lines.push_back(LogLine { seq, function: function.to_owned(), line: line.to_owned() });
        if log.lines.len() > MAX_LINES {
            log.lines.pop_front();
        }
    }

    /// The lines with a number of at least `since`: `{lines: [{seq, function, line}], next}`.
    #[must_use]
    pub fn since(&self, since: u64) -> Value {
        let log = self.lock();
        let lines: Vec<Value> = log
            .lines
            .iter()
            .filter(|line| line.seq >= since)
            .map(|line| json!({ "seq": line.seq, "function": line.function, "line": line.line }))
            .collect();
        json!({ "lines": lines, "next": log.next })
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::print_stderr, reason = "the runner shows the functions' logs on stderr")]
fn write(display: LogDisplay, function: &str, line: &str) {
    match display {
        LogDisplay::Hidden => {}
        LogDisplay::Raw => eprintln!("{line}"),
        LogDisplay::Short => {
            if let Some(line) = log_line::format(function, line, Timestamp::now(), &TimeZone::system()) {
                eprintln!("{line}");
            }
        }
    }
}
