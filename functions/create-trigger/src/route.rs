//! The facts of this route.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::limits;
use shared::model::app::Scope;
use shared::model::phone::E164;
use shared::views::tenancy::NewTrigger;

pub const ROUTE: Route =
    Route::new("POST /v1/triggers/sms-received/subscribe", "Create a Power Automate trigger")
        .description(
            "The callback URL receives each inbound message. In the list of apps, the trigger has the \
         kind `trigger`. `Location` has a token: DELETE works there without a key, as Power Automate sends it.",
        )
        .key_with(&[Scope::TriggersManage])
        .request::<CreateTriggerRequest>(
            r#"{
          "callbackUrl": "https://flows.example.com/run", "phoneNumber": "+14155550100"
        }"#,
        )
        .response::<NewTrigger>(
            201,
            "The trigger. Send DELETE to the URL in `Location` to end it; the URL is a secret.",
            r#"{ "id": "app_9c1e5d20b7f3a468" }"#,
        )
        .response_header("Location", "The URL of the trigger. Send DELETE to it to end the trigger.")
        .errors(&["missing_field", "invalid_field", "too_many_apps"]);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTriggerRequest {
    /// The callback URL of the flow: https, with a host name.
    #[schemars(required, length(max = limits::URL_CHARS), regex(pattern = limits::URL_PATTERN))]
    pub callback_url: Option<String>,
    /// Only messages to this number of the tenant, E.164. Absent or empty: all numbers.
    #[schemars(extend("pattern" = format!("^$|{}", E164::PATTERN)))]
    pub phone_number: Option<String>,
}
