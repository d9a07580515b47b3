//! The ledger: everything that happened, in order. Tests read it, and the developer page shows it live.
//!
//! An entry holds no secret: tokens appear as the first characters of their SHA-256.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::platform::clock::{Millis, format_time};

/// The kinds of entries. Their serialized names are an interface that test programs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerKind {
    TokenIssued,
    TokenRefreshed,
    TokenFirstUsed,
    TokenRefused,
    SessionRevoked,
    SmsAccepted,
    SmsRefused,
    RateLimited,
    SubscriptionCreated,
    SubscriptionRenewed,
    SubscriptionDeleted,
    SubscriptionExpired,
    SubscriptionBlacklisted,
    WebhookSent,
    /// Lost on purpose, by the setting `hooks.drop`.
    WebhookDropped,
    ConsentChanged,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Consecutive, from 1.
    pub seq: u64,
    /// By the simulator's clock.
    pub at: String,
    pub kind: LedgerKind,
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// All entries since the last reset. When there are more than `MAX_ENTRIES`, the oldest are deleted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ledger {
    entries: Vec<LedgerEntry>,
    last: u64,
}

/// More than any test reads; bounds the memory of a simulator that runs for weeks.
const MAX_ENTRIES: usize = 200_000;

impl Ledger {
    /// `fields` must be a JSON object; its null fields are left out.
    pub fn add(&mut self, now: Millis, kind: LedgerKind, fields: Value) {
        let fields = match fields {
            Value::Object(map) => map.into_iter().filter(|(_, v)| !v.is_null()).collect(),
            _ => Map::new(),
        };
        self.last += 1;
        self.entries.push(LedgerEntry { seq: self.last, at: format_time(now), kind, fields });
        if self.entries.len() > MAX_ENTRIES {
            self.entries.drain(..MAX_ENTRIES / 10);
        }
    }

    /// The entries after `seq`, and the `seq` of the last entry, for the next call.
    #[must_use]
    pub fn since(&self, seq: u64) -> (&[LedgerEntry], u64) {
        let start = self.entries.partition_point(|e| e.seq <= seq);
        (&self.entries[start..], self.last)
    }
}

/// Identifies a secret without revealing it: the first 12 hex digits of its SHA-256.
#[must_use]
pub fn fingerprint(secret: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
    data_encoding::HEXLOWER.encode(&digest.as_ref()[..6])
}
