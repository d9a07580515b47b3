//! Phone numbers of the RingCentral accounts that a tenant has connected.

use super::area_code;
use super::ids::ExtensionId;
use super::phone::E164;
use super::string_enum::string_enum;

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

string_enum! {
    /// Why carriers may not deliver a message that was accepted.
    pub enum WarningCode {
        /// The sending number is not part of a 10DLC campaign.
        CampaignMissing = "campaign_missing",
        /// The 10DLC campaign of the sending number is not confirmed yet.
        CampaignPending = "campaign_pending",
        /// The 10DLC campaign of the sending number is suspended or has expired.
        CampaignSuspended = "campaign_suspended",
    }
}

/// A reason why carriers may not deliver a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendWarning {
    pub code: WarningCode,
    /// A sentence.
    pub text: String,
}

impl SendWarning {
    /// The warning for a message from `number`. Campaigns matter to recipients in the United States only.
    pub fn of(number: &Number, to: &str) -> Option<Self> {
        if !area_code::area_of(to).is_some_and(|area| area.may_be_in_the_us()) {
            return None;
        }
        let from = &number.number;
        let (code, state) = match &number.readiness {
            Readiness::Ready | Readiness::Unknown => return None,
            Readiness::Unregistered => (WarningCode::CampaignMissing, "has no 10DLC campaign".to_owned()),
            Readiness::Pending(status) => {
                let code = match status.as_str() {
                    "CampaignSuspended" | "CampaignExpired" => WarningCode::CampaignSuspended,
                    _ => WarningCode::CampaignPending,
                };
                (code, format!("has a 10DLC campaign with the status {status}"))
            }
        };
        Some(Self { code, text: format!("{from} {state}: carriers may not deliver the message") })
    }
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
