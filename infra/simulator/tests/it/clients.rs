//! RingCentral's own SDKs, unchanged, against the simulator.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::kit;

/// Says past the test harness, which hides the output of tests that pass, that something was not tested.
fn skipped(what: &str, why: &str) {
    let line = format!("\n*** NOT TESTED: {what} against the simulator: {why} ***\n\n");
    std::io::stderr().lock().write_all(line.as_bytes()).unwrap();
}

async fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(|e| e.to_string())?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(text) } else { Err(text) }
}

fn here(client: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(client)
}

/// A folder for what is installed, kept between runs.
fn installed(client: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(client);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Is the same list of packages installed already?
fn is_current(folder: &Path, wanted: &str) -> bool {
    std::fs::read_to_string(folder.join("installed")).is_ok_and(|done| done == wanted)
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
    let what = "npm @ringcentral/sdk";
    if run(Command::new("npm").arg("--version")).await.is_err()
        || run(Command::new("node").arg("--version")).await.is_err()
    {
        return skipped(what, "npm or node is missing");
    }
    let folder = installed("js");
    let wanted = std::fs::read_to_string(here("js").join("package.json")).unwrap();
    std::fs::copy(here("js").join("sdk.mjs"), folder.join("sdk.mjs")).unwrap();
    if !is_current(&folder, &wanted) {
        std::fs::write(folder.join("package.json"), &wanted).unwrap();
        let mut install = Command::new("npm");
        install.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]);
        if let Err(text) = run(install.current_dir(&folder)).await {
            return skipped(what, &format!("npm install failed:\n{text}"));
        }
        std::fs::write(folder.join("installed"), &wanted).unwrap();
    }
    let mut program = Command::new("node");
    program.arg("sdk.mjs").current_dir(&folder);
    exercise(what, program).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_works_with_nothing_but_the_server_changed() {
    let what = "PyPI ringcentral";
    if run(Command::new("python3").args(["-m", "pip", "--version"])).await.is_err() {
        return skipped(what, "python3 or pip is missing");
    }
    let folder = installed("python");
    let wanted = std::fs::read_to_string(here("python").join("requirements.txt")).unwrap();
    let packages = folder.join("packages");
    if !is_current(&folder, &wanted) {
        let mut install = Command::new("python3");
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--upgrade",
            "--target",
        ]);
        install.arg(&packages).arg("-r").arg(here("python").join("requirements.txt"));
        if let Err(text) = run(&mut install).await {
            return skipped(what, &format!("pip install failed:\n{text}"));
        }
        std::fs::write(folder.join("installed"), &wanted).unwrap();
    }
    let mut program = Command::new("python3");
    program
        .arg(here("python").join("sdk.py"))
        .env("PYTHONPATH", &packages)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    exercise(what, program).await;
}
