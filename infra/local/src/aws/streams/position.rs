//! How far a function has come in a shard, and the file that remembers it.

use crate::state_file::StateFile;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A place in a shard.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Position {
    /// Before its first record.
    Start,
    /// Behind its last record, whichever that is when it is first read.
    End,
    /// Behind the record with this sequence number.
    After(String),
}

impl Position {
    /// Where a function begins. An engine that says where the shard ends now is taken by its word, so that nothing is
    /// missed that is written before the first read.
    #[must_use]
    pub fn first(from_start: bool, range: &Value) -> Self {
        let number = |key: &str| range[key].as_str().map(str::to_owned);
        match (number("StartingSequenceNumber"), number("EndingSequenceNumber")) {
            _ if from_start => Self::Start,
            (_, Some(end)) => Self::After(end),
            (None, None) => Self::Start,
            (Some(_), None) => Self::End,
        }
    }

    /// What GetShardIterator takes for it.
    #[must_use]
    pub fn request(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Start => vec![("ShardIteratorType", "TRIM_HORIZON")],
            Self::End => vec![("ShardIteratorType", "LATEST")],
            Self::After(number) => {
                vec![("ShardIteratorType", "AFTER_SEQUENCE_NUMBER"), ("SequenceNumber", number)]
            }
        }
    }
}

type State = BTreeMap<String, BTreeMap<String, Position>>;

/// The positions of all functions, by function and shard.
pub struct Positions {
    state: Mutex<State>,
    file: StateFile,
}

impl Positions {
    /// Loads them.
    pub fn open(file: StateFile) -> Result<Self> {
        Ok(Self { state: Mutex::new(file.load()?), file })
    }

    pub(super) fn get(&self, mapping: &str, shard: &str) -> Option<Position> {
        self.lock().get(mapping)?.get(shard).cloned()
    }

    /// All of a function, as the control API shows them.
    pub(super) fn of(&self, mapping: &str) -> BTreeMap<String, Position> {
        self.lock().get(mapping).cloned().unwrap_or_default()
    }

    pub(super) fn set(&self, mapping: &str, shard: &str, position: &Position) {
        let mut state = self.lock();
        state.entry(mapping.to_owned()).or_default().insert(shard.to_owned(), position.clone());
        if let Err(error) = self.file.save(&*state) {
            tracing::warn!(error = %format!("{error:#}"), "the positions in the streams could not be saved");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
