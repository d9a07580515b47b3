//! The ledger: everything that happened, in order. Tests assert on it; the developer page shows it live.
//!
//! An entry never holds a secret: tokens appear as the first characters of their SHA-256.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::{Millis, iso};

/// One thing that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the order, from 1.
    pub seq: u64,
    /// When, by the simulator's clock.
    pub at: String,
    /// What, for example `token_issued`.
    pub kind: String,
    /// Ids and what matters.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// All entries since the last reset; the oldest go when there are too many.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ledger {
    entries: Vec<Entry>,
    last: u64,
}

/// More entries than any test reads; keeps a forgotten simulator from growing forever.
const MOST_ENTRIES: usize = 200_000;

impl Ledger {
    /// Adds an entry. `fields` must be a JSON object; nulls are left out.
    pub fn add(&mut self, now: Millis, kind: &str, fields: Value) {
        let fields = match fields {
            Value::Object(map) => map.into_iter().filter(|(_, v)| !v.is_null()).collect(),
            _ => Map::new(),
        };
        self.last += 1;
        self.entries.push(Entry { seq: self.last, at: iso(now), kind: kind.to_owned(), fields });
        if self.entries.len() > MOST_ENTRIES {
            self.entries.drain(..MOST_ENTRIES / 10);
        }
    }

    /// Entries after `seq`, and the number to ask with next time.
    #[must_use]
    pub fn since(&self, seq: u64) -> (&[Entry], u64) {
        let start = self.entries.partition_point(|e| e.seq <= seq);
        (&self.entries[start..], self.last)
    }
}

/// A short, harmless name for a secret.
#[must_use]
pub fn fingerprint(secret: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
    data_encoding::HEXLOWER.encode(&digest.as_ref()[..6])
}
