//! Tools that some tests need.

use std::io::Write;

/// Reports that a tool is missing. In CI (`CI=true`) that fails the test; elsewhere the test is skipped.
#[expect(clippy::disallowed_methods, reason = "tests read the environment directly")]
pub fn skip(tool: &str, command: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{tool} is missing, and CI skips no test; install it: {command}"
    );
    // Written directly, because the test harness hides the output of `eprintln!` in tests that pass.
    let message = format!("\n*** SKIPPED: {tool} is not installed ({command}) ***\n\n");
    let _ = std::io::stderr().write_all(message.as_bytes());
}
