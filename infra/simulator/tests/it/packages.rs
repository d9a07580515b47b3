//! Packages of other languages, for tests that run programs which are not ours.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Says past the test harness, which hides the output of tests that pass, that something was not tested.
pub fn skipped(what: &str, why: &str) {
    let line = format!("\n*** NOT TESTED: {what}: {why} ***\n\n");
    std::io::stderr().lock().write_all(line.as_bytes()).unwrap();
}

/// Is there such a program on this machine?
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// What a program writes; if it ends badly, with its complaints.
pub async fn run(command: &mut Command) -> Result<String, String> {
    feed(command, "").await
}

/// The same for a program that reads.
pub async fn feed(command: &mut Command, input: &str) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.map_err(|error| error.to_string())?;
    let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, complained) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() { Ok(told) } else { Err(told + &complained) }
}

/// Installs the packages of a `package.json` into a folder that is kept between runs; if that can't be, says why.
pub async fn npm(folder: &Path, wanted: &str) -> Result<(), String> {
    if let Some(tool) = ["npm", "node"].into_iter().find(|tool| !has(tool)) {
        return Err(format!("{tool} is missing"));
    }
    if is_current(folder, wanted) {
        return Ok(());
    }
    std::fs::write(folder.join("package.json"), wanted).unwrap();
    let mut install = Command::new("npm");
    install.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]);
    install.current_dir(folder);
    run(&mut install).await.map_err(|text| format!("npm install failed:\n{text}"))?;
    keep(folder, wanted);
    Ok(())
}

/// Installs the packages of a `requirements.txt` into `packages` of a folder, in the same way.
pub async fn pip(folder: &Path, wanted: &str) -> Result<(), String> {
    run(Command::new("python3").args(["-m", "pip", "--version"]))
        .await
        .map_err(|_| "python3 or pip is missing".to_owned())?;
    if is_current(folder, wanted) {
        return Ok(());
    }
    let list = folder.join("requirements.txt");
    std::fs::write(&list, wanted).unwrap();
    let mut install = Command::new("python3");
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"]);
    install.arg(folder.join("packages")).arg("-r").arg(list);
    run(&mut install).await.map_err(|text| format!("pip install failed:\n{text}"))?;
    keep(folder, wanted);
    Ok(())
}

/// Is the same list of packages installed already?
fn is_current(folder: &Path, wanted: &str) -> bool {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::read_to_string(folder.join("installed")).is_ok_and(|done| done == wanted)
}

fn keep(folder: &Path, wanted: &str) {
    std::fs::write(folder.join("installed"), wanted).unwrap();
}
