//! RingCentral's own SDKs, unchanged, against the simulator.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::packages::{npm, pip, run, skipped};
use crate::test_simulator;

fn source_folder(client: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(client)
}

/// The folder of installed packages, kept between runs.
fn install_folder(client: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(client)
}

async fn exercise(what: &str, mut program: Command) {
    let sim = test_simulator::start().await;
    program.arg(&sim.url);
    match run(&mut program).await {
        Ok(text) => assert!(text.contains("all done"), "{what}: {text}"),
        Err(text) => panic!("{what} failed:\n{text}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_javascript_sdk_works_with_only_the_server_url_changed() {
    let what = "npm @ringcentral/sdk against the simulator";
    let folder = install_folder("js");
    let packages = std::fs::read_to_string(source_folder("js").join("package.json")).unwrap();
    if let Err(why) = npm(&folder, &packages).await {
        return skipped(what, &why);
    }
    std::fs::copy(source_folder("js").join("sdk.mjs"), folder.join("sdk.mjs")).unwrap();
    let mut program = Command::new("node");
    program.arg("sdk.mjs").current_dir(&folder);
    exercise(what, program).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_works_with_only_the_server_url_changed() {
    let what = "PyPI ringcentral against the simulator";
    let folder = install_folder("python");
    let packages = std::fs::read_to_string(source_folder("python").join("requirements.txt")).unwrap();
    if let Err(why) = pip(&folder, &packages).await {
        return skipped(what, &why);
    }
    let mut program = Command::new("python3");
    program
        .arg(source_folder("python").join("sdk.py"))
        .env("PYTHONPATH", folder.join("packages"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    exercise(what, program).await;
}
