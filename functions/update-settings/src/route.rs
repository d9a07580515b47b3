//! The facts of this route.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::model::app::Scope;
use shared::model::patch::Patch;
use shared::model::quiet_hours::TimeOfDay;
use shared::views::settings::SettingsView;
use shared::{http, limits};

pub const ROUTE: Route = Route::new("PATCH /v1/settings", "Update the settings")
    .description(
        "Changes the settings that the body has. Each is replaced as a whole: a field that is \
         absent in it gets its default. `null` restores the default of a setting.",
    )
    .key_with(&[Scope::ConsentsWrite])
    .request::<UpdateSettingsRequest>(
        r#"{ "quietHours": { "start": "21:00", "end": "08:00", "overrides": { "FL": { "start": "20:00", "end": "08:00" } } } }"#,
    )
    .response::<SettingsView<'static>>(
        200,
        "The settings after the change.",
        r#"{
          "optOutConfirmation": { "enabled": true, "text": "You are unsubscribed and will receive no more messages." },
          "quietHours": { "end": "08:00", "overrides": { "FL": { "end": "08:00", "start": "20:00" } }, "start": "21:00" }
        }"#,
    )
    .errors(&["invalid_field"]);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateSettingsRequest {
    /// When marketing messages are held; `null`: never.
    #[serde(default)]
    #[schemars(with = "Option<QuietHoursRequest>")]
    pub quiet_hours: Patch<http::Object<QuietHoursRequest>>,
    /// The message that confirms an opt-out by a word that RingCentral does not know.
    #[serde(default)]
    #[schemars(with = "Option<OptOutConfirmationRequest>")]
    pub opt_out_confirmation: Patch<http::Object<OptOutConfirmationRequest>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuietHoursRequest {
    /// When the quiet hours start: `HH:MM` in the recipient's time zone. Default: `21:00`.
    #[schemars(regex(pattern = TimeOfDay::PATTERN))]
    pub start: Option<String>,
    /// When the quiet hours end: `HH:MM` in the recipient's time zone. Default: `08:00`.
    #[schemars(regex(pattern = TimeOfDay::PATTERN))]
    pub end: Option<String>,
    /// Other quiet hours for recipients in a state, territory or province, by its two-letter postal code, such as `FL`. Default:
    /// none.
    #[schemars(with = "Option<BTreeMap<String, QuietWindowRequest>>")]
    pub overrides: Option<BTreeMap<String, http::Object<QuietWindowRequest>>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuietWindowRequest {
    /// When the quiet hours start: `HH:MM` in the recipient's time zone.
    #[schemars(required, regex(pattern = TimeOfDay::PATTERN))]
    pub start: Option<String>,
    /// When the quiet hours end: `HH:MM` in the recipient's time zone.
    #[schemars(required, regex(pattern = TimeOfDay::PATTERN))]
    pub end: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OptOutConfirmationRequest {
    /// Whether the gateway sends the confirmation. Default: `true`.
    pub enabled: Option<bool>,
    /// The text of the confirmation, without marketing: 1 to 300 UTF-16 code units. It has a default.
    #[schemars(length(min = 1, max = limits::CONFIRMATION_UNITS), regex(pattern = limits::TEXT_PATTERN))]
    pub text: Option<String>,
}
