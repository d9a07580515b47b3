//! Nothing outlives the runner, however it ends: the functions are in the process group of a small guard, which waits
//! for the end of a pipe that only the runner holds, and then kills its group, itself included.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// What the guard does: reading ends when the runner is gone.
const SCRIPT: &str = "read -r _; kill -9 0";

/// The guard of a stack's functions; started with the first of them.
#[derive(Debug, Default)]
pub struct Guard {
    process: Mutex<Option<Child>>,
}

impl Guard {
    /// The process group for a new function.
    pub fn group(&self) -> io::Result<i32> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = match process.as_mut() {
            Some(child) => child.try_wait()?.is_none(),
            None => false,
        };
        if !alive {
            *process = None;
        }
        let child = match process.as_mut() {
            Some(child) => child,
            None => process.insert(
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

    /// Ends the guard and everything in its group.
    pub fn end(&self) {
        if let Some(mut child) = self.process.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}
