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
pub enum ConsentOrigin {
    /// By a keyword message.
    Recipient,
    Api,
}

/// The numbers of the account that a decision covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsentCoverage {
    PhoneNumber,
    /// All numbers of the account; `from` is the number that received the keyword.
    Account,
    /// Searches can ask for it; the simulator has no such records.
    CampaignType,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsentRecord {
    pub account_id: i64,
    /// A number of the account, or [`ALL_NUMBERS`].
    pub from: String,
    /// The customer's number.
    pub to: String,
    pub opt_status: OptStatus,
    pub source: ConsentOrigin,
    pub coverage: ConsentCoverage,
    pub at: Millis,
}

impl ConsentRecord {
    /// Whether it is a decision about one number only.
    fn is_specific(&self) -> bool {
        self.coverage == ConsentCoverage::PhoneNumber && self.from != ALL_NUMBERS
    }

    /// Whether it replaces an earlier decision.
    fn replaces(&self, earlier: &Self) -> bool {
        self.account_id == earlier.account_id
            && self.to == earlier.to
            && self.is_specific() == earlier.is_specific()
            && (self.from == earlier.from || !self.is_specific())
    }

    fn fields(&self) -> Value {
        json!({"from": self.from, "to": self.to, "optStatus": self.opt_status, "source": self.source})
    }

    /// The record of a list or search.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut record = self.fields();
        record["coverage"] = json!(self.coverage);
        record["lastModifiedTime"] = format_time(self.at).into();
        record
    }

    /// The record of the history.
    #[must_use]
    pub fn history_json(&self) -> Value {
        let mut record = self.fields();
        record["coverage"] = json!(self.coverage);
        record["createdAt"] = format_time(self.at).into();
        record
    }

    /// The record of an event.
    #[must_use]
    pub fn event_json(&self) -> Value {
        let mut record = self.fields();
        record["lastModifiedTime"] = format_time(self.at).into();
        record
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
    /// The decision that applies to a pair: one about the number overrides one about all numbers.
    #[must_use]
    pub fn decision(&self, account_id: i64, from: &str, to: &str) -> Option<&ConsentRecord> {
        let applies = |c: &&ConsentRecord| {
            c.account_id == account_id && c.to == to && (!c.is_specific() || c.from == from)
        };
        self.latest.iter().filter(applies).max_by_key(|c| c.is_specific())
    }

    #[must_use]
    pub fn is_opted_out(&self, account_id: i64, from: &str, to: &str) -> bool {
        self.decision(account_id, from, to).is_some_and(|c| c.opt_status == OptStatus::OptOut)
    }

    pub fn save(&mut self, consent: ConsentRecord) {
        self.latest.retain(|earlier| !consent.replaces(earlier));
        self.latest.push(consent.clone());
        self.history.push(consent);
    }
}
