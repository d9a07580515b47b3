//! Consents that a tenant sets, and the outcomes.

use super::consent::{ConsentPair, ConsentStatus};
use super::string_enum::string_enum;

string_enum! {
    /// A status that a tenant can set.
    pub enum RequestedStatus {
        OptedIn = "opted_in",
        OptedOut = "opted_out",
    }
}

impl RequestedStatus {
    pub fn status(self) -> ConsentStatus {
        match self {
            Self::OptedIn => ConsentStatus::OptedIn,
            Self::OptedOut => ConsentStatus::OptedOut,
        }
    }
}

/// A consent to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentChange {
    /// Of a number of the tenant.
    pub pair: ConsentPair,
    pub status: RequestedStatus,
    pub note: Option<String>,
}

string_enum! {
    pub enum ChangeResult {
        /// The gateway and RingCentral have recorded it.
        Applied = "applied",
        /// It is not possible.
        Refused = "refused",
        /// RingCentral has not confirmed it; it may be tried again.
        Failed = "failed",
    }
}

/// The outcome of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentResult {
    pub change: ConsentChange,
    /// The status of the consent now.
    pub status: ConsentStatus,
    pub result: ChangeResult,
    /// Why it was not applied, as a sentence.
    pub reason: Option<String>,
}
