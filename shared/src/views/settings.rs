//! The JSON of a tenant's settings.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::quiet_hours::QuietHours;
use crate::model::settings::{OptOutConfirmation, TenantSettings};

/// The settings of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Settings")]
pub struct SettingsView<'a> {
    /// When marketing messages are held; `null`: never.
    quiet_hours: Option<&'a QuietHours>,
    /// The message that confirms an opt-out by a word that RingCentral does not know.
    opt_out_confirmation: &'a OptOutConfirmation,
}

impl<'a> From<&'a TenantSettings> for SettingsView<'a> {
    fn from(settings: &'a TenantSettings) -> Self {
        Self {
            quiet_hours: settings.quiet_hours.as_ref(),
            opt_out_confirmation: &settings.opt_out_confirmation,
        }
    }
}
