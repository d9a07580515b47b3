//! Phone numbers of the RingCentral accounts that a tenant has connected.

use super::ids::ExtensionId;
use super::phone::E164;

/// Whether a number may send to US numbers: the state of its 10DLC campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// The campaign is confirmed.
    Ready,
    /// The campaign is not confirmed; RingCentral's name for its state.
    Pending(String),
    /// The number is not part of a campaign: messages to US numbers fail.
    Unregistered,
    /// RingCentral was not queried, or did not report it.
    Unknown,
}

impl Readiness {
    /// The value of the API field: `ready`, `pending`, `unregistered` or `unknown`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Pending(_) => "pending",
            Self::Unregistered => "unregistered",
            Self::Unknown => "unknown",
        }
    }
}

/// A phone number with which a connected extension sends and receives messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    pub number: E164,
    /// RingCentral's id of the number.
    pub id: String,
    pub extension: ExtensionId,
    /// RingCentral's feature names, unchanged: `SmsSender`, `MmsSender`, `A2PSmsSender`, …
    pub features: Vec<String>,
    /// RingCentral's usage type: `DirectNumber`, `MainCompanyNumber`, …
    pub usage: Option<String>,
    /// The user's label.
    pub label: Option<String>,
    pub readiness: Readiness,
}

/// The features of a number that matter for messaging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    pub sms: bool,
    pub mms: bool,
    /// High-volume sending.
    pub a2p: bool,
    /// SMS to other countries.
    pub international: bool,
}

impl Features {
    /// The features that RingCentral's feature names stand for.
    pub fn of(names: &[String]) -> Self {
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        Self {
            sms: has("SmsSender"),
            mms: has("MmsSender"),
            a2p: has("A2PSmsSender"),
            international: has("InternationalSmsSender"),
        }
    }

    /// True if the number can send messages of any kind.
    pub fn any(self) -> bool {
        self.sms || self.mms || self.a2p
    }
}

/// A number from the account-wide list. Its extension need not be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountNumber {
    pub number: E164,
    /// RingCentral's account id.
    pub account: String,
    /// The extension that the number is assigned to.
    pub extension: Option<ExtensionId>,
    pub extension_name: Option<String>,
    /// RingCentral's usage type: `DirectNumber`, `MainCompanyNumber`, …
    pub usage: Option<String>,
}
