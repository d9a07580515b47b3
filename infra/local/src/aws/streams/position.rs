//! How far functions have processed the shards of their streams.

use crate::state_file::StateFile;
use crate::template::StartingPosition;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ShardPosition {
    /// Before the first record.
    Start,
    /// After the last record at the time of the first read.
    End,
    /// After the record with this sequence number.
    After(String),
}

impl ShardPosition {
    /// Where a function begins. If the engine reports the current end of the shard, `Latest` begins there, so that no
    /// record is missed that is written before the first read.
    #[must_use]
    pub fn first(starting_position: StartingPosition, range: &Value) -> Self {
        let number = |key: &str| range[key].as_str().map(str::to_owned);
        match (starting_position, number("StartingSequenceNumber"), number("EndingSequenceNumber")) {
            (StartingPosition::TrimHorizon, ..) | (_, None, None) => Self::Start,
            (StartingPosition::Latest, _, Some(end)) => Self::After(end),
            (StartingPosition::Latest, Some(_), None) => Self::End,
        }
    }

    /// The parameters of GetShardIterator.
    #[must_use]
    pub fn iterator_parameters(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Start => vec![("ShardIteratorType", "TRIM_HORIZON")],
            Self::End => vec![("ShardIteratorType", "LATEST")],
            Self::After(number) => {
                vec![("ShardIteratorType", "AFTER_SEQUENCE_NUMBER"), ("SequenceNumber", number)]
            }
        }
    }
}

/// By mapping and shard id.
type State = BTreeMap<String, BTreeMap<String, ShardPosition>>;

/// The positions of all mappings, kept in the data folder.
pub struct ShardPositions {
    state: Mutex<State>,
    file: StateFile,
}

impl ShardPositions {
    pub fn open(file: StateFile) -> Result<Self> {
        Ok(Self { state: Mutex::new(file.load()?), file })
    }

    pub fn get(&self, mapping: &str, shard: &str) -> Option<ShardPosition> {
        self.lock().get(mapping)?.get(shard).cloned()
    }

    /// The positions of one mapping by shard id.
    pub fn of_mapping(&self, mapping: &str) -> BTreeMap<String, ShardPosition> {
        self.lock().get(mapping).cloned().unwrap_or_default()
    }

    pub fn set(&self, mapping: &str, shard: &str, position: &ShardPosition) {
        let mut state = self.lock();
        state.entry(mapping.to_owned()).or_default().insert(shard.to_owned(), position.clone());
        if let Err(error) = self.file.save(&*state) {
            tracing::warn!(error = %format!("{error:#}"), "stream positions could not be saved");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
