//! Runs the real `ringbridge` binary in a separate folder, beside a local stack.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::world::{World, binaries};

/// What a run of the program has printed.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// A folder with the program's configuration.
pub struct CliFolder {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl CliFolder {
    /// Without any configuration.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// In a folder in which the stack runs.
    pub fn beside(world: &World) -> Self {
        let cli = Self::empty();
        let data = cli.path(".local");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("stack.json"), serde_json::to_vec(world.stack.info()).unwrap()).unwrap();
        cli
    }

    /// The same folder with a variable set.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command
            .env("RINGBRIDGE_CONFIG", self.path("config/config.toml"))
            .env("TZ", "UTC")
            .env("PATH", self.folder.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments).output().await.unwrap())
    }

    /// Runs the program with a text on stdin.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        ran(child.wait_with_output().await.unwrap())
    }

    /// Starts the program with one file for its output and its messages, in their order, as a terminal shows them.
    pub fn start_on_terminal(&self, arguments: &[&str]) -> Running {
        let shown = self.path("terminal");
        let file = std::fs::File::create(&shown).unwrap();
        let mut command = self.command(arguments);
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Running { child: command.spawn().unwrap(), out: shown.clone(), err: shown }
    }

    /// Starts the program. Its output goes to files.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let name = format!("run-{}", std::fs::read_dir(self.folder.path()).unwrap().count());
        let (out, err) = (self.path(&format!("{name}.out")), self.path(&format!("{name}.err")));
        let mut command = self.command(arguments);
        command.stdout(std::fs::File::create(&out).unwrap()).stderr(std::fs::File::create(&err).unwrap());
        Running { child: command.spawn().unwrap(), out, err }
    }
}

pub fn program() -> PathBuf {
    binaries().join("ringbridge")
}

fn ran(output: std::process::Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: code(output.status), out: text(output.stdout), err: text(output.stderr) }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// A program that is running.
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    pub fn out(&self) -> String {
        Self::read(&self.out)
    }

    pub fn err(&self) -> String {
        Self::read(&self.err)
    }

    /// Waits until the output and the messages of the program are as expected.
    pub async fn until(&mut self, is_expected: impl Fn(&str, &str) -> bool) {
        for _ in 0..1_500 {
            if is_expected(&self.out(), &self.err()) {
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the program ended with {status}:\n{}\n{}", self.out(), self.err());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the program still shows\n{}\n{}", self.out(), self.err());
    }

    /// Kills the program at once, as a power failure would.
    pub async fn kill(mut self) -> (String, String) {
        self.child.kill().await.unwrap();
        (self.out(), self.err())
    }

    /// Presses Ctrl-C, and waits for the end.
    pub async fn interrupt(self) -> Ran {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().await.unwrap();
        assert!(sent.success());
        self.end().await
    }

    /// Waits for the end.
    pub async fn end(mut self) -> Ran {
        let status = self.child.wait().await.unwrap();
        Ran { code: code(status), out: self.out(), err: self.err() }
    }
}
