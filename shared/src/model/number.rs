//! Numbers that a tenant's RingCentral accounts have.

use super::ids::ExtensionId;
use super::phone::E164;

/// Whether a number may send to US numbers: the state of its 10DLC campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Its campaign is confirmed.
    Ready,
    /// It has a campaign that is not confirmed; RingCentral's word for its state.
    Pending(String),
    /// It is linked to no campaign: texts to US numbers will fail.
    Unregistered,
    /// RingCentral was not asked, or did not say.
    Unknown,
}

impl Readiness {
    /// The word of the contract: `ready`, `pending`, `unregistered`, `unknown`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Pending(_) => "pending",
            Self::Unregistered => "unregistered",
            Self::Unknown => "unknown",
        }
    }
}

/// A number with which a connected extension can text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// The number.
    pub number: E164,
    /// RingCentral's id of the number.
    pub id: String,
    /// The extension that sends and receives with it.
    pub extension: ExtensionId,
    /// RingCentral's words for what it can do, as they came: `SmsSender`, `MmsSender`, `A2PSmsSender`, …
    pub features: Vec<String>,
    /// `DirectNumber`, `MainCompanyNumber`, …
    pub usage: Option<String>,
    /// The user's label.
    pub label: Option<String>,
    /// 10DLC.
    pub readiness: Readiness,
}

/// What a number can do that this product is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Texts.
    pub sms: bool,
    /// Pictures and other media.
    pub mms: bool,
    /// High-volume sending.
    pub a2p: bool,
    /// Texts to other countries.
    pub international: bool,
}

impl Features {
    /// What a list of RingCentral's words means.
    pub fn of(words: &[String]) -> Self {
        let has = |word: &str| words.iter().any(|w| w == word);
        Self {
            sms: has("SmsSender"),
            mms: has("MmsSender"),
            a2p: has("A2PSmsSender"),
            international: has("InternationalSmsSender"),
        }
    }

    /// True if the number can send anything at all.
    pub fn any(self) -> bool {
        self.sms || self.mms || self.a2p
    }
}

/// A number of the account, as the account-wide list tells it: the extension that has it may not be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountNumber {
    /// The number.
    pub number: E164,
    /// RingCentral's account.
    pub account: String,
    /// The extension that has it, if any.
    pub extension: Option<ExtensionId>,
    /// That extension's name.
    pub extension_name: Option<String>,
    /// `DirectNumber`, `MainCompanyNumber`, …
    pub usage: Option<String>,
}
