//! `cargo local`: see `cargo local --help`.

use std::path::Path;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    // Compiled and run in the same workspace, by Cargo.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    local::cli::run(&root.canonicalize().unwrap_or(root)).await
}
