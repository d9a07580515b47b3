//! What a tenant decides about all of its messages.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::message::{Message, MessageClass};
use super::patch::Patch;
use super::quiet_hours::QuietHours;

/// The settings of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantSettings {
    /// When marketing messages are held; `None` if they are never held.
    pub quiet_hours: Option<QuietHours>,
    pub opt_out_confirmation: OptOutConfirmation,
}

/// The confirmation of an opt-out by a word that RingCentral does not know. RingCentral confirms the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OptOutConfirmation {
    /// Whether the gateway sends the confirmation.
    pub enabled: bool,
    /// The text of the confirmation. The rules allow one, without marketing (47 CFR 64.1200(a)(12)).
    pub text: String,
}

impl OptOutConfirmation {
    pub const DEFAULT_TEXT: &str = "You are unsubscribed and will receive no more messages from this number. Reply START to \
                                    receive messages again.";
}

impl Default for OptOutConfirmation {
    fn default() -> Self {
        Self { enabled: true, text: Self::DEFAULT_TEXT.to_owned() }
    }
}

/// The settings to change. `Clear` restores the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsChange {
    pub quiet_hours: Patch<QuietHours>,
    pub opt_out_confirmation: Patch<OptOutConfirmation>,
}

impl TenantSettings {
    /// Until when quiet hours hold a message that would be sent at `at`; `None` if they do not.
    pub fn held_until(&self, message: &Message, at: Timestamp) -> Option<Timestamp> {
        match message.class {
            MessageClass::Transactional => None,
            MessageClass::Marketing => self.quiet_hours.as_ref()?.end_after(&message.to, at),
        }
    }
}
