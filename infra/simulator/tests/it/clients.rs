//! RingCentral's own SDKs, unchanged, against the simulator.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::kit;
use crate::packages::{npm, pip, run, skipped};

fn here(client: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(client)
}

/// A folder for what is installed, kept between runs.
fn installed(client: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(client)
}

async fn exercise(what: &str, mut program: Command) {
    let kit = kit::start().await;
    program.arg(&kit.url);
    match run(&mut program).await {
        Ok(text) => assert!(text.contains("all done"), "{what}: {text}"),
        Err(text) => panic!("{what} failed:\n{text}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_javascript_sdk_works_with_nothing_but_the_server_changed() {
    let what = "npm @ringcentral/sdk against the simulator";
    let folder = installed("js");
    let wanted = std::fs::read_to_string(here("js").join("package.json")).unwrap();
    if let Err(why) = npm(&folder, &wanted).await {
        return skipped(what, &why);
    }
    std::fs::copy(here("js").join("sdk.mjs"), folder.join("sdk.mjs")).unwrap();
    let mut program = Command::new("node");
    program.arg("sdk.mjs").current_dir(&folder);
    exercise(what, program).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_works_with_nothing_but_the_server_changed() {
    let what = "PyPI ringcentral against the simulator";
    let folder = installed("python");
    let wanted = std::fs::read_to_string(here("python").join("requirements.txt")).unwrap();
    if let Err(why) = pip(&folder, &wanted).await {
        return skipped(what, &why);
    }
    let mut program = Command::new("python3");
    program
        .arg(here("python").join("sdk.py"))
        .env("PYTHONPATH", folder.join("packages"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    exercise(what, program).await;
}
