//! Where `listen` is in the list of events: a file that survives the program.
//!
//! The list is read page by page, and a cursor leads to the next page. The file has the cursor of the page in work, and the last event of
//! it that was handled. It is written after each event, so an event is forwarded again only if the program was killed between the response and
//! the write: with the same `webhook-id`, by which receivers recognize it.

use std::fs::File;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{self, ProfileStore};
use crate::error::{CliError, CliResult};

/// How many failed events are remembered.
const FAILED: usize = 1_000;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    /// For people who read the file.
    forward_to: String,
    cursor: Option<String>,
    /// Where to start without a cursor.
    from: Option<String>,
    /// The last handled event.
    last_event: Option<String>,
    /// Events that the receiver did not accept.
    failed: Vec<String>,
}

pub struct Place {
    path: PathBuf,
    state: State,
    /// Locked while the program runs: two programs must not forward the same events.
    _lock: File,
}

impl Place {
    /// The place of a tenant's events that are forwarded to a URL.
    ///
    /// # Errors
    /// If another program forwards them.
    pub fn open(gateway: &str, tenant: &str, forward_to: &str) -> CliResult<Self> {
        let path = file(gateway, tenant, forward_to)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| CliError::file(folder, &error))?;
        let lock_path = path.with_extension("lock");
        let lock = File::create(&lock_path).map_err(|error| CliError::file(&lock_path, &error))?;
        if lock.try_lock().is_err() {
            return Err(CliError::usage(format!(
                "another `ringbridge listen` forwards events to {forward_to}"
            )));
        }
        let state = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| {
                CliError::usage(format!("{} cannot be read", path.display()))
                    .advice("Delete it to start at the present.")
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(CliError::file(&path, &error)),
        };
        Ok(Self { path, state: State { forward_to: forward_to.to_owned(), ..state }, _lock: lock })
    }

    pub fn is_new(&self) -> bool {
        self.state.cursor.is_none() && self.state.from.is_none()
    }

    /// Starts at a time, without a cursor.
    pub fn start_at(&mut self, time: String) -> CliResult<()> {
        (self.state.cursor, self.state.last_event, self.state.from) = (None, None, Some(time));
        self.save()
    }

    pub fn cursor(&self) -> Option<String> {
        self.state.cursor.clone()
    }

    pub fn from(&self) -> Option<String> {
        self.state.from.clone()
    }

    /// Whether an event of the page in work was handled before. Ids are in the order of events.
    pub fn is_done(&self, event: &str) -> bool {
        self.state.last_event.as_deref().is_some_and(|last| event <= last)
    }

    /// The event was handled: accepted, or left out.
    pub fn done(&mut self, event: &str) -> CliResult<()> {
        self.state.last_event = Some(event.to_owned());
        self.state.failed.retain(|failed| failed != event);
        self.save()
    }

    /// The receiver did not accept the event.
    pub fn failed(&mut self, event: &str) -> CliResult<()> {
        self.state.last_event = Some(event.to_owned());
        self.state.failed.push(event.to_owned());
        let excess = self.state.failed.len().saturating_sub(FAILED);
        self.state.failed.drain(..excess);
        self.save()
    }

    /// The page is done.
    pub fn next_page(&mut self, cursor: Option<String>) -> CliResult<()> {
        if cursor.is_none() || cursor == self.state.cursor {
            return Ok(());
        }
        self.state.cursor = cursor;
        self.save()
    }

    /// The cursor is no longer valid: the last event says where to go on.
    pub fn without_cursor(&mut self) -> CliResult<()> {
        self.state.cursor = None;
        let last = self.state.last_event.as_deref().and_then(event_time);
        self.state.from = last.map(crate::times::iso).or(self.state.from.take());
        self.save()
    }

    pub fn failed_events(&self) -> &[String] {
        &self.state.failed
    }

    /// An event that failed was accepted later.
    pub fn resent(&mut self, event: &str) -> CliResult<()> {
        self.state.failed.retain(|failed| failed != event);
        self.save()
    }

    fn save(&self) -> CliResult<()> {
        let text = serde_json::to_vec_pretty(&self.state).unwrap_or_default();
        config::write_private(&self.path, &text)
    }
}

fn file(gateway: &str, tenant: &str, forward_to: &str) -> CliResult<PathBuf> {
    let config = ProfileStore::path()?;
    let name = digest(&SHA256, format!("{gateway}\n{tenant}\n{forward_to}").as_bytes());
    let folder = config.parent().unwrap_or(Path::new(".")).join("listen");
    Ok(folder.join(format!("{}.json", HEXLOWER.encode(&name.as_ref()[..12]))))
}

/// When an event happened: its id begins with the time.
pub fn event_time(id: &str) -> Option<Timestamp> {
    let milliseconds = i64::from_str_radix(id.strip_prefix("evt_")?.get(..12)?, 16).ok()?;
    Timestamp::from_millisecond(milliseconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_event_is_in_its_id() {
        assert_eq!(
            event_time("evt_0199c2f4d7b81c3e5a6f7089b1c2").map(Timestamp::as_millisecond),
            Some(0x0199_c2f4_d7b8)
        );
        assert_eq!(event_time("msg_0199c2f4d7b81c3e5a6f7089b1c2"), None);
        assert_eq!(event_time("evt_0199"), None);
    }
}
