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

/// The messages of the account that a decision covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsentCoverage {
    PhoneNumber,
    /// Those of all numbers; `from` is the number that received the keyword.
    Account,
    /// Those of all numbers whose campaign has the type.
    CampaignType,
    /// Those of a sender without a number. It does not affect SMS.
    VirtualSender,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CampaignType {
    Conversational,
    Informational,
    Promotional,
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
    /// With the coverage `CampaignType`.
    pub campaign_type: Option<CampaignType>,
    pub at: Millis,
}

/// The messages that a decision covers, from few to many.
#[derive(Debug, PartialEq, Eq)]
enum Scope<'a> {
    VirtualSender(&'a str),
    Number(&'a str),
    Campaign(Option<CampaignType>),
    Account,
}

impl ConsentRecord {
    fn scope(&self) -> Scope<'_> {
        match self.coverage {
            ConsentCoverage::VirtualSender => Scope::VirtualSender(&self.from),
            ConsentCoverage::PhoneNumber if self.from != ALL_NUMBERS => Scope::Number(&self.from),
            ConsentCoverage::CampaignType => Scope::Campaign(self.campaign_type),
            ConsentCoverage::PhoneNumber | ConsentCoverage::Account => Scope::Account,
        }
    }

    /// How closely it fits messages from a number; `None` if it does not cover them.
    fn fit(&self, from: &str, campaign: CampaignType) -> Option<u8> {
        match self.scope() {
            Scope::Number(number) => (number == from).then_some(2),
            Scope::Campaign(covered) => (covered == Some(campaign)).then_some(1),
            Scope::Account => Some(0),
            Scope::VirtualSender(_) => None,
        }
    }

    /// Whether it replaces an earlier decision.
    fn replaces(&self, earlier: &Self) -> bool {
        self.account_id == earlier.account_id && self.to == earlier.to && self.scope() == earlier.scope()
    }

    fn fields(&self) -> Value {
        json!({"from": self.from, "to": self.to, "optStatus": self.opt_status, "source": self.source})
    }

    fn covered_fields(&self) -> Value {
        let mut record = self.fields();
        record["coverage"] = json!(self.coverage);
        if let Some(campaign) = self.campaign_type {
            record["campaignType"] = json!(campaign);
        }
        record
    }

    /// The record of a list or search.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut record = self.covered_fields();
        record["lastModifiedTime"] = format_time(self.at).into();
        record
    }

    /// The record of the history.
    #[must_use]
    pub fn history_json(&self) -> Value {
        let mut record = self.covered_fields();
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
    /// The decision that applies to a pair: one about the number overrides one about its campaign, and that one about all numbers.
    #[must_use]
    pub fn decision(
        &self,
        account_id: i64,
        from: &str,
        to: &str,
        campaign: CampaignType,
    ) -> Option<&ConsentRecord> {
        let about_pair = self.latest.iter().filter(|c| c.account_id == account_id && c.to == to);
        let fitting = about_pair.filter_map(|c| Some((c.fit(from, campaign)?, c)));
        fitting.max_by_key(|(fit, _)| *fit).map(|(_, decision)| decision)
    }

    pub fn save(&mut self, consent: ConsentRecord) {
        self.latest.retain(|earlier| !consent.replaces(earlier));
        self.latest.push(consent.clone());
        self.history.push(consent);
    }
}
