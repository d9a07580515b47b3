//! Consent records: which customer opted out of which number, the latest decision of each pair and the history.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::platform::clock::{Millis, format_time};

/// In place of a number of the account: all its numbers.
pub const ALL_NUMBERS: &str = "*";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OptStatus {
    OptOut,
    OptIn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsentSource {
    /// By a keyword message.
    Recipient,
    Api,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsentRecord {
    pub account_id: i64,
    /// A number of the account, or [`ALL_NUMBERS`].
    pub from: String,
    /// The customer's number.
    pub to: String,
    pub opt_status: OptStatus,
    pub source: ConsentSource,
    pub at: Millis,
}

impl ConsentRecord {
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "from": self.from,
            "to": self.to,
            "optStatus": self.opt_status,
            "source": self.source,
            "coverage": "PhoneNumber",
            "lastModifiedTime": format_time(self.at),
        })
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConsentLog {
    /// The latest decision of each pair.
    pub latest: Vec<ConsentRecord>,
    /// Every decision, oldest first.
    pub history: Vec<ConsentRecord>,
}

impl ConsentLog {
    /// A decision about one number overrides a decision about all numbers.
    #[must_use]
    pub fn is_opted_out(&self, from: &str, to: &str) -> bool {
        let applies = |c: &&ConsentRecord| c.to == to && (c.from == from || c.from == ALL_NUMBERS);
        let decisive = self.latest.iter().filter(applies).max_by_key(|c| c.from != ALL_NUMBERS);
        decisive.is_some_and(|c| c.opt_status == OptStatus::OptOut)
    }

    #[must_use]
    pub fn find(&self, account_id: i64, from: &str, to: &str) -> Option<&ConsentRecord> {
        self.latest.iter().find(|c| c.account_id == account_id && c.from == from && c.to == to)
    }

    pub fn save(&mut self, consent: ConsentRecord) {
        self.latest.retain(|c| {
            !(c.account_id == consent.account_id && c.from == consent.from && c.to == consent.to)
        });
        self.latest.push(consent.clone());
        self.history.push(consent);
    }
}
