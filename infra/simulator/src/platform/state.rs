//! The whole state of the simulated platform, as one value that can be saved and restored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::platform::accounts::{AccountRecord, AppRecord, ExtensionRecord, NumberRecord};
use crate::platform::clock::Millis;
use crate::platform::consents::ConsentLog;
use crate::platform::events::WebhookEvent;
use crate::platform::faults::Fault;
use crate::platform::ledger::Ledger;
use crate::platform::messages::MessageStore;
use crate::platform::rate_limits::RateWindows;
use crate::platform::sessions::LoginStore;
use crate::platform::settings::PlatformSettings;
use crate::platform::subscriptions::SubscriptionRecord;

/// The ids that are assigned next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NextIds {
    pub account: i64,
    pub extension: i64,
    pub number: i64,
    /// Counts the phone numbers generated for new accounts.
    pub phone: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlatformState {
    /// How far the simulator's clock is ahead of the machine's.
    pub clock_offset: Millis,
    pub settings: PlatformSettings,
    pub faults: Vec<Fault>,
    pub ledger: Ledger,
    pub rate_windows: RateWindows,
    pub apps: Vec<AppRecord>,
    pub accounts: BTreeMap<i64, AccountRecord>,
    pub extensions: BTreeMap<i64, ExtensionRecord>,
    pub numbers: BTreeMap<i64, NumberRecord>,
    pub logins: LoginStore,
    /// In order of creation.
    pub subscriptions: Vec<SubscriptionRecord>,
    pub mail: MessageStore,
    pub consents: ConsentLog,
    /// Changes with each reset; sync tokens of an earlier state are invalid.
    pub epoch: String,
    pub next_ids: NextIds,
    /// Events to send when the current operation ends.
    #[serde(skip)]
    pub queued_events: Vec<WebhookEvent>,
}

impl PlatformState {
    #[must_use]
    pub fn app(&self, client_id: &str) -> Option<&AppRecord> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }

    /// Finds an extension by its id in text form.
    #[must_use]
    pub fn extension(&self, id: &str) -> Option<&ExtensionRecord> {
        self.extensions.get(&id.parse().ok()?)
    }

    #[must_use]
    pub fn number(&self, phone_number: &str) -> Option<&NumberRecord> {
        self.numbers.values().find(|n| n.phone_number == phone_number)
    }

    /// The number list of an extension: its own numbers and the company numbers that it can show as caller id, each
    /// with the extension's features.
    pub fn numbers_of(
        &self,
        extension: &ExtensionRecord,
    ) -> impl Iterator<Item = (&NumberRecord, Vec<String>)> {
        let (account_id, id) = (extension.account_id, extension.id);
        self.numbers
            .values()
            .filter(move |n| n.account_id == account_id)
            .filter_map(move |n| n.features_for(id).map(|features| (n, features)))
    }

    /// The numbers that an extension can send SMS from.
    pub fn sms_numbers_of(&self, extension: &ExtensionRecord) -> impl Iterator<Item = &NumberRecord> {
        self.numbers_of(extension).filter(|(_, f)| f.iter().any(|f| f == "SmsSender")).map(|(n, _)| n)
    }

    /// The user that a login form or a password grant names: an e-mail address, an extension id, or a phone number,
    /// optionally with an extension, which may also follow the number after `*`.
    #[must_use]
    pub fn user(&self, name: &str, extension: Option<&str>) -> Option<&ExtensionRecord> {
        let name = name.trim();
        let (name, starred) = match name.split_once('*') {
            Some((number, extension)) => (number, Some(extension)),
            None => (name, None),
        };
        let extension = extension.map(str::trim).filter(|e| !e.is_empty()).or(starred);
        if name.contains('@') {
            return self.extensions.values().find(|e| e.email.eq_ignore_ascii_case(name));
        }
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        let number = self.numbers.values().find(|n| n.phone_number[1..] == digits);
        if let Some(short_number) = extension
            && let Some(number) = number
        {
            return self
                .extensions
                .values()
                .find(|e| e.account_id == number.account_id && e.number == short_number);
        }
        self.extensions
            .values()
            .find(|e| e.username.trim_start_matches('+') == digits || e.id.to_string() == digits)
            .or_else(|| self.extensions.get(&number?.extension_id?))
    }
}
