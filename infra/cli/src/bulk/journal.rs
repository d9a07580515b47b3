//! The journal: a file beside the CSV file, with a line before each request and one after its response.
//!
//! The line before a request is on the disk before the request is sent. Of a line that was not completely written, because the program or the
//! machine stopped, the request was not sent.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::error::{CliError, CliResult};

/// The code of a request that was certainly not processed, for a reason that is not in the row. The next run sends it.
pub const NOT_PROCESSED: &str = "not_processed";

/// What is known about a message.
#[derive(Debug, Clone)]
pub struct Entry {
    pub request: JournaledRequest,
    /// The first request with the key since the gateway last rejected it.
    pub first_attempt: Timestamp,
    pub last_attempt: Timestamp,
    pub state: State,
}

/// What a request has besides the key's recipient and text. A repeated request must be equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JournaledRequest {
    pub to: String,
    pub from: String,
    pub priority: String,
    pub message_class: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A request may have been sent. Its outcome is not known.
    Sending,
    Accepted {
        message_id: String,
        status: String,
    },
    Rejected {
        code: String,
        error: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Event {
    Sending {
        #[serde(flatten)]
        request: JournaledRequest,
    },
    Accepted {
        message_id: String,
        status: String,
    },
    Rejected {
        code: String,
        error: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    key: String,
    campaign: String,
    at: Timestamp,
    #[serde(flatten)]
    event: Event,
}

pub struct Journal {
    file: File,
    path: PathBuf,
    campaign: String,
    entries: HashMap<String, Entry>,
    /// The messages of all accepted requests, of other campaigns too.
    messages: HashSet<String>,
}

impl Journal {
    /// # Errors
    /// If another program uses it, or it cannot be read.
    pub fn open(csv: &Path, campaign: &str) -> CliResult<Self> {
        let mut path = csv.as_os_str().to_owned();
        path.push(".journal");
        let path = PathBuf::from(path);
        let failed = |error: std::io::Error| CliError::file(&path, &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        if file.try_lock().is_err() {
            return Err(CliError::usage(format!("another program uses {}", path.display())));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(complete as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            // The name of a new file has to be on the disk too.
            _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        let mut journal = Self {
            file,
            path: path.clone(),
            campaign: campaign.to_owned(),
            entries: HashMap::new(),
            messages: HashSet::new(),
        };
        for (at, line) in
            text[..complete].split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty())
        {
            let line: Line = serde_json::from_slice(line).map_err(|_| {
                CliError::usage(format!("line {} of {} cannot be read", at + 1, path.display()))
                    .advice("Without the journal, messages could be sent twice. Restore it from a backup.")
            })?;
            journal.apply(line);
        }
        Ok(journal)
    }

    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub fn entries(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }

    /// Whether a message is that of a known request.
    pub fn knows_message(&self, id: &str) -> bool {
        self.messages.contains(id)
    }

    /// To be called before a request is sent: it returns when the line is on the disk.
    pub fn begin(&mut self, key: &str, request: JournaledRequest) -> CliResult<()> {
        self.append(key, Event::Sending { request })?;
        self.file.sync_data().map_err(|error| CliError::file(&self.path, &error))
    }

    /// The loss of this line does no harm: the request is repeated with the same key.
    pub fn accepted(&mut self, key: &str, message_id: &str, status: &str) -> CliResult<()> {
        self.append(key, Event::Accepted { message_id: message_id.to_owned(), status: status.to_owned() })
    }

    pub fn rejected(&mut self, key: &str, code: &str, error: &str) -> CliResult<()> {
        self.append(key, Event::Rejected { code: code.to_owned(), error: error.to_owned() })
    }

    fn append(&mut self, key: &str, event: Event) -> CliResult<()> {
        let line =
            Line { key: key.to_owned(), campaign: self.campaign.clone(), at: environment::now(), event };
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        self.file.write_all(&text).map_err(|error| CliError::file(&self.path, &error))?;
        self.apply(line);
        Ok(())
    }

    fn apply(&mut self, line: Line) {
        if let Event::Accepted { message_id, .. } = &line.event {
            self.messages.insert(message_id.clone());
        }
        if line.campaign != self.campaign {
            return;
        }
        match line.event {
            Event::Sending { request } => {
                let known = self.entries.get(&line.key).filter(|known| known.state == State::Sending);
                let first_attempt = known.map_or(line.at, |known| known.first_attempt);
                let entry = Entry { request, first_attempt, last_attempt: line.at, state: State::Sending };
                self.entries.insert(line.key, entry);
            }
            Event::Accepted { message_id, status } => {
                self.set(&line.key, State::Accepted { message_id, status });
            }
            Event::Rejected { code, error } => self.set(&line.key, State::Rejected { code, error }),
        }
    }

    fn set(&mut self, key: &str, state: State) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> JournaledRequest {
        JournaledRequest {
            to: "+16505550111".into(),
            from: "+14155550100".into(),
            priority: "bulk".into(),
            message_class: "transactional".into(),
        }
    }

    #[test]
    fn what_was_written_is_read_again_and_half_a_line_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let csv = folder.path().join("list.csv");
        {
            let mut journal = Journal::open(&csv, "spring").unwrap();
            assert!(Journal::open(&csv, "spring").is_err(), "one program at a time");
            journal.begin("a", request()).unwrap();
            journal.accepted("a", "msg_1", "queued").unwrap();
            journal.begin("b", request()).unwrap();
            journal.begin("b", request()).unwrap();
            journal.begin("c", request()).unwrap();
            journal.rejected("c", "recipient_opted_out", "Recipient has opted out").unwrap();
        }
        let path = folder.path().join("list.csv.journal");
        let whole = std::fs::read(&path).unwrap();
        let torn = [whole.as_slice(), br#"{"key":"d","campa"#].concat();
        std::fs::write(&path, torn).unwrap();
        {
            let journal = Journal::open(&csv, "spring").unwrap();
            assert!(
                matches!(&journal.get("a").unwrap().state, State::Accepted { message_id, .. } if message_id == "msg_1")
            );
            let b = journal.get("b").unwrap();
            assert_eq!((&b.state, &b.request), (&State::Sending, &request()));
            assert!(b.first_attempt <= b.last_attempt);
            assert!(matches!(&journal.get("c").unwrap().state, State::Rejected { .. }));
            assert!(journal.get("d").is_none());
        }
        assert_eq!(std::fs::read(&path).unwrap(), whole, "the next line begins a line");
        let other = Journal::open(&csv, "summer").unwrap();
        assert!(other.get("a").is_none() && other.knows_message("msg_1"));
    }

    #[test]
    fn a_damaged_line_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let csv = folder.path().join("list.csv");
        std::fs::write(folder.path().join("list.csv.journal"), "{\"key\"\n").unwrap();
        assert!(Journal::open(&csv, "spring").err().unwrap().text.contains("line 1"));
    }
}
