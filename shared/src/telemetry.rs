//! Logs: JSON lines on standard output, with fields. A line reads alone. Tokens, codes, numbers, texts and bodies are
//! never in one: what is logged is named field by field, nothing is dumped.

use tracing_subscriber::EnvFilter;

/// Starts logging at a level: `error`, `warn`, `info`, `debug` or `trace`. Our libraries' own lines begin at `warn`.
pub fn init(level: &str) {
    let filter = EnvFilter::new(format!("warn,shared={level}"));
    let lines =
        tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_current_span(false);
    // A second call (in tests) leaves the first one's in place.
    let _ = lines.try_init();
}
