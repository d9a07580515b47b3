//! The `cargo local` command.

use std::path::Path;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    // Cargo compiles and runs it in the same workspace.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    local::cli::run(&root.canonicalize().unwrap_or(root)).await
}
