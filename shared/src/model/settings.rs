//! What a tenant decides about all of its messages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The settings of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TenantSettings {
    /// When marketing messages are held; `None` if they are never held.
    pub quiet_hours: Option<QuietHours>,
    pub opt_out_confirmation: OptOutConfirmation,
}

/// The confirmation of an opt-out by a word that RingCentral does not know. RingCentral confirms the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OptOutConfirmation {
    pub enabled: bool,
    /// Not promotional: the rules allow one confirmation, without marketing (47 CFR 64.1200(a)(12)).
    pub text: String,
}

impl Default for OptOutConfirmation {
    fn default() -> Self {
        let text = "You are unsubscribed and will receive no more messages from this number. Reply START to receive messages again.";
        Self { enabled: true, text: text.to_owned() }
    }
}

/// A daily interval in the recipient's time zone, which may contain midnight, with exceptions by state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuietHours {
    /// `HH:MM`, inclusive.
    pub start: String,
    /// `HH:MM`, exclusive.
    pub end: String,
    /// By the code of a state or province, such as `TX`.
    #[serde(default)]
    pub overrides: BTreeMap<String, QuietWindow>,
}

/// The quiet hours of a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuietWindow {
    /// `HH:MM`, inclusive.
    pub start: String,
    /// `HH:MM`, exclusive.
    pub end: String,
}
