//! Ends the function processes when the runner ends, even if it is killed. The functions run in the process group of a
//! small shell that reads from a pipe held only by the runner. When the pipe closes, the shell kills its whole group.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// `read` returns when the runner has ended.
const SCRIPT: &str = "read -r _; kill -9 0";

/// Starts its shell with the first function.
#[derive(Debug, Default)]
pub struct ProcessGuard {
    shell: Mutex<Option<Child>>,
}

impl ProcessGuard {
    /// The process group for a new function.
    pub fn group(&self) -> io::Result<i32> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = match shell.as_mut() {
            Some(child) => child.try_wait()?.is_none(),
            None => false,
        };
        if !alive {
            *shell = None;
        }
        let child = match shell.as_mut() {
            Some(child) => child,
            None => shell.insert(
                Command::new("/bin/sh")
                    .args(["-c", SCRIPT])
                    .env_clear()
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .process_group(0)
                    .spawn()?,
            ),
        };
        i32::try_from(child.id()).map_err(io::Error::other)
    }

    /// Kills every process of the group.
    pub fn kill_group(&self) {
        if let Some(mut child) = self.shell.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        self.kill_group();
    }
}
