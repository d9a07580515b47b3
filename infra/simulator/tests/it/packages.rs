//! Installs packages of other languages and runs their programs, for tests of code that is not ours.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Reports that a test cannot run because a tool is missing. With `CI=true` the test fails; elsewhere a line is written
/// directly to stderr, because the test harness hides the output of tests that pass.
pub fn skipped(what: &str, why: &str) {
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_ci, "{what} must be tested in CI: {why}");
    let line = format!("\n*** SKIPPED: {what}: {why} ***\n\n");
    std::io::stderr().lock().write_all(line.as_bytes()).unwrap();
}

/// Whether a program is on the path.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The stdout of a program. If it fails, the error has its stdout and stderr.
pub async fn run(command: &mut Command) -> Result<String, String> {
    feed(command, "").await
}

/// Like [`run`], with `input` on stdin.
pub async fn feed(command: &mut Command, input: &str) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.map_err(|error| error.to_string())?;
    let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() { Ok(stdout) } else { Err(stdout + &stderr) }
}

/// Installs the packages of a `package.json` into a folder that is kept between runs. The error says why it cannot.
pub async fn npm(folder: &Path, package_json: &str) -> Result<(), String> {
    if let Some(tool) = ["npm", "node"].into_iter().find(|tool| !has(tool)) {
        return Err(format!("{tool} is missing"));
    }
    if is_installed(folder, package_json) {
        return Ok(());
    }
    std::fs::write(folder.join("package.json"), package_json).unwrap();
    let mut install = Command::new("npm");
    install.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]);
    install.current_dir(folder);
    run(&mut install).await.map_err(|text| format!("npm install failed:\n{text}"))?;
    mark_installed(folder, package_json);
    Ok(())
}

/// Installs the packages of a `requirements.txt` into the subfolder `packages` in the same way.
pub async fn pip(folder: &Path, requirements: &str) -> Result<(), String> {
    run(Command::new("python3").args(["-m", "pip", "--version"]))
        .await
        .map_err(|_| "python3 or pip is missing".to_owned())?;
    if is_installed(folder, requirements) {
        return Ok(());
    }
    let list = folder.join("requirements.txt");
    std::fs::write(&list, requirements).unwrap();
    let mut install = Command::new("python3");
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"]);
    install.arg(folder.join("packages")).arg("-r").arg(list);
    run(&mut install).await.map_err(|text| format!("pip install failed:\n{text}"))?;
    mark_installed(folder, requirements);
    Ok(())
}

/// Whether exactly these packages are installed in the folder, which is created if needed.
fn is_installed(folder: &Path, packages: &str) -> bool {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::read_to_string(folder.join("installed")).is_ok_and(|installed| installed == packages)
}

fn mark_installed(folder: &Path, packages: &str) {
    std::fs::write(folder.join("installed"), packages).unwrap();
}
