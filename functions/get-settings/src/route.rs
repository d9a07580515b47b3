//! The facts of this route.

use shared::http::route::Route;
use shared::views::settings::SettingsView;

pub const ROUTE: Route = Route::new("GET /v1/settings", "Get the settings")
    .description("Returns what the tenant has decided about its messages. Any key may read it.")
    .any_key()
    .response::<SettingsView<'static>>(
        200,
        "The settings.",
        r#"{
          "optOutConfirmation": { "enabled": true, "text": "You are unsubscribed and will receive no more messages." },
          "quietHours": { "end": "08:00", "overrides": { "FL": { "end": "08:00", "start": "20:00" } }, "start": "21:00" }
        }"#,
    );
