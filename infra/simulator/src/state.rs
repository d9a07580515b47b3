//! Everything the simulated platform knows, as one value that can be saved and loaded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::clock::SECOND;
use crate::consents::Consents;
use crate::events::Outgoing;
use crate::faults::Fault;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::messages::Mail;
use crate::oauth::sessions::Oauth;
use crate::seed;
use crate::settings::Settings;
use crate::subscriptions::{Status, Subscription};

/// An application registered with the platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct App {
    /// The client id.
    pub client_id: String,
    /// Its secret; a public app has none.
    pub client_secret: Option<String>,
    /// Shown on the consent page.
    pub name: String,
    /// Registered redirect URIs, matched character for character.
    pub redirect_uris: Vec<String>,
}

/// A company account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: i64,
    /// The company.
    pub name: String,
    /// `Confirmed` or another status of the reference.
    pub status: String,
    /// The brand, for example 1210.
    pub brand_id: String,
    /// The main number.
    pub main_number: String,
}

/// An extension: a user or a call queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Extension {
    /// Its id.
    pub id: i64,
    /// The account it belongs to.
    pub account_id: i64,
    /// The short number, for example `101`.
    pub number: String,
    /// First name, or the queue's name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// E-mail address.
    pub email: String,
    /// `User` or `Department` (a call queue).
    pub kind: String,
    /// `Enabled`, `Disabled`, …
    pub status: String,
    /// Is the user an administrator?
    pub admin: bool,
    /// User permissions, for example `ReadMessages`.
    pub permissions: Vec<String>,
    /// Login name.
    pub username: String,
    /// Login password.
    pub password: String,
    /// A JWT credential of the user, good for every app.
    pub jwt: String,
}

impl Extension {
    /// First and last name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name).trim().to_owned()
    }

    /// Can a person sign in as this extension?
    #[must_use]
    pub fn can_log_in(&self) -> bool {
        self.kind == "User" && self.status == "Enabled"
    }
}

/// A phone number of an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Number {
    /// Its id.
    pub id: i64,
    /// The account it belongs to.
    pub account_id: i64,
    /// E.164.
    pub phone_number: String,
    /// `DirectNumber`, `MainCompanyNumber`, …
    pub usage_type: String,
    /// `Local`, `TollFree`, …
    pub payment_type: String,
    /// `VoiceFax`, `VoiceOnly`, `FaxOnly`.
    pub kind: String,
    /// Where it is.
    pub location: String,
    /// What its owner calls it.
    pub label: String,
    /// The extension it rings at.
    pub extension_id: Option<i64>,
    /// The one extension that may send and receive messages with it.
    pub sms_extension_id: Option<i64>,
    /// The features that extension has on it.
    pub features: Vec<String>,
    /// Status of its 10DLC campaign; none if it is not linked to one.
    pub campaign: Option<String>,
}

impl Number {
    /// Is it a company number, which everybody in the account may show as caller id?
    #[must_use]
    pub fn is_company(&self) -> bool {
        self.usage_type != "DirectNumber"
    }

    /// The features that one extension has on this number; none if the number is not in its list.
    #[must_use]
    pub fn features_for(&self, extension_id: i64) -> Option<Vec<String>> {
        if self.sms_extension_id == Some(extension_id)
            || (self.sms_extension_id.is_none() && self.extension_id == Some(extension_id))
        {
            Some(self.features.clone())
        } else if self.is_company() || self.extension_id == Some(extension_id) {
            Some(vec!["CallerId".to_owned()])
        } else {
            None
        }
    }
}

/// The next free ids.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Next {
    /// Accounts.
    pub account: i64,
    /// Extensions.
    pub extension: i64,
    /// Phone numbers.
    pub number: i64,
    /// Last digits of phone numbers made up for new accounts.
    pub phone: i64,
}

/// The whole state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct World {
    /// The simulator's clock is so far ahead.
    pub clock_offset: Millis,
    /// How the platform behaves.
    pub settings: Settings,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What happened.
    pub ledger: Ledger,
    /// Rate windows.
    pub limits: Limits,
    /// Registered apps; the first is the seed app.
    pub apps: Vec<App>,
    /// Accounts by id.
    pub accounts: BTreeMap<i64, Account>,
    /// Extensions by id.
    pub extensions: BTreeMap<i64, Extension>,
    /// Numbers by id.
    pub numbers: BTreeMap<i64, Number>,
    /// Codes, sessions, tokens.
    pub oauth: Oauth,
    /// Subscriptions in the order they were made.
    pub subscriptions: Vec<Subscription>,
    /// Messages.
    pub mail: Mail,
    /// Who has opted out.
    pub consents: Consents,
    /// Names this state; a reset makes a new one.
    pub epoch: String,
    /// The next free ids.
    pub next: Next,
    /// Events to be sent when the work at hand is done.
    #[serde(skip)]
    pub outbox: Vec<Outgoing>,
}

impl World {
    /// The seed state.
    #[must_use]
    pub fn seeded(redirect_uris: &[String]) -> Self {
        let mut world = Self {
            clock_offset: 0,
            settings: Settings::default(),
            faults: Vec::new(),
            ledger: Ledger::default(),
            limits: Limits::default(),
            apps: seed::apps(redirect_uris),
            accounts: BTreeMap::new(),
            extensions: BTreeMap::new(),
            numbers: BTreeMap::new(),
            oauth: Oauth::default(),
            subscriptions: Vec::new(),
            mail: Mail::default(),
            consents: Consents::default(),
            epoch: uuid::Uuid::new_v4().simple().to_string(),
            outbox: Vec::new(),
            next: Next { account: 500_100, extension: 700_100_201, number: 33_010, phone: 0 },
        };
        seed::plant(&mut world);
        world
    }

    /// The app with a client id.
    #[must_use]
    pub fn app(&self, client_id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }

    /// The numbers of an extension's list: its own, and company numbers it may show.
    pub fn numbers_of(&self, extension: &Extension) -> impl Iterator<Item = (&Number, Vec<String>)> {
        let (account_id, id) = (extension.account_id, extension.id);
        self.numbers
            .values()
            .filter(move |n| n.account_id == account_id)
            .filter_map(move |n| n.features_for(id).map(|features| (n, features)))
    }

    /// The numbers that an extension can send SMS from.
    pub fn sms_numbers_of(&self, extension: &Extension) -> impl Iterator<Item = &Number> {
        self.numbers_of(extension).filter(|(_, f)| f.iter().any(|f| f == "SmsSender")).map(|(n, _)| n)
    }

    /// The user who signs in with a name: a number (alone, with `*extension`, or with the extension beside it), an
    /// e-mail address, or an extension id.
    #[must_use]
    pub fn user(&self, name: &str, extension: Option<&str>) -> Option<&Extension> {
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
        if let Some(wanted) = extension
            && let Some(account) =
                self.numbers.values().find(|n| n.phone_number[1..] == digits).map(|n| n.account_id)
        {
            return self.extensions.values().find(|e| e.account_id == account && e.number == wanted);
        }
        self.extensions
            .values()
            .find(|e| e.username.trim_start_matches('+') == digits || e.id.to_string() == digits)
            .or_else(|| {
                let number = self.numbers.values().find(|n| n.phone_number[1..] == digits)?;
                self.extensions.get(&number.extension_id?)
            })
    }
}

impl World {
    /// When the next thing falls due.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        let step = self.mail.due.keys().next().map(|(at, _)| *at);
        let reactivate = self.settings.reactivate_after_seconds;
        let subscriptions = self.subscriptions.iter().filter(|s| !s.expired).flat_map(|s| {
            let back = reactivate.filter(|_| s.status == Status::Blacklisted);
            let back = back.and_then(|seconds| Some(s.blacklisted.as_ref()?.0 + seconds * SECOND));
            [Some(s.expires_at), s.remind_at, back]
        });
        subscriptions.flatten().chain(step).min()
    }

    /// Lets happen what has fallen due by `now`, in the order of time.
    pub fn settle(&mut self, now: Millis) {
        while let Some(at) = self.next_due().filter(|at| *at <= now) {
            self.reactivate(at);
            self.remind(at);
            while let Some(entry) = self.mail.due.first_entry().filter(|e| e.key().0 <= at) {
                let step = entry.remove();
                self.step(at, step);
            }
            self.expire_subscriptions(at);
        }
    }
}
