//! The facts of this route.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::limits;
use shared::model::app::Scope;
use shared::views::messages::Preview;

pub const ROUTE: Route = Route::new("POST /v1/sms/preview", "Preview a message")
    .description("Returns how a text would be encoded and split. Sends nothing.")
    .key_with(&[Scope::SmsSend])
    .request::<PreviewSmsRequest>(r#"{ "body": "Your table is ready." }"#)
    .response::<Preview<'static>>(
        200,
        "The encoding, the parts, and the characters that require UCS-2.",
        r#"{
          "encoding": "GSM-7",
          "parts": [{
            "encoding": "GSM-7", "segments": 1, "text": "Your table is ready.", "units": 20
          }],
          "segments": 1, "ucs2Characters": []
        }"#,
    );

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewSmsRequest {
    /// The text of the message.
    #[schemars(required, length(min = 1, max = limits::TEXT_UNITS), regex(pattern = limits::TEXT_PATTERN))]
    pub body: Option<String>,
}
