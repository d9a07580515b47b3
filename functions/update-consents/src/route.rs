//! The facts of this route.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::model::app::Scope;
use shared::model::consent_change::RequestedStatus;
use shared::model::phone::E164;
use shared::views::consents::ConsentResults;
use shared::{http, limits};

pub const ROUTE: Route = Route::new("PUT /v1/consents", "Set consents")
    .description(
        "Records consents and writes them to RingCentral. Each row has its own outcome. An opt-out \
         blocks the recipient at once, even if RingCentral does not respond. An opt-in that the \
         recipient or RingCentral contradicts is refused: only what RingCentral confirms is applied.",
    )
    .key_with(&[Scope::ConsentsWrite])
    .request::<UpdateConsentsRequest>(
        r#"{ "consents": [{ "from": "+14155550100", "to": "+16505550111", "status": "opted_out", "note": "By phone" }] }"#,
    )
    .body_up_to(limits::CONSENTS_BODY_BYTES)
    .response::<ConsentResults<'static>>(
        200,
        "The outcome of each row, in the order of the request.",
        r#"{
          "results": [{
            "from": "+14155550100", "outcome": "applied", "status": "opted_out", "to": "+16505550111"
          }]
        }"#,
    )
    .errors(&["missing_field", "invalid_field"]);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateConsentsRequest {
    /// 1 to 1,000 consents, each of another pair of numbers.
    #[schemars(required, with = "Option<Vec<ConsentRequest>>", length(min = 1, max = limits::CONSENT_CHANGES))]
    pub consents: Option<Vec<http::Object<ConsentRequest>>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsentRequest {
    /// The phone number of the tenant in E.164 form.
    #[schemars(required, regex(pattern = E164::PATTERN))]
    pub from: Option<String>,
    /// The recipient's phone number in E.164 form.
    #[schemars(required, regex(pattern = E164::PATTERN))]
    pub to: Option<String>,
    /// Whether the recipient accepts messages.
    #[schemars(required, with = "Option<RequestedStatus>")]
    pub status: Option<String>,
    /// A note for the history, such as how the recipient agreed: 1 to 200 characters.
    #[schemars(length(min = 1, max = limits::NOTE_CHARS), regex(pattern = limits::LINE_PATTERN))]
    pub note: Option<String>,
}
