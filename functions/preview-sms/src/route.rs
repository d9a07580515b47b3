//! The facts of this route.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::limits;
use shared::model::app::Scope;
use shared::model::media::MediaId;
use shared::views::messages::Preview;

pub const ROUTE: Route = Route::new("POST /v1/sms/preview", "Preview a message")
    .description(
        "Returns how a text would be encoded and split, and whether its files would be accepted. Sends nothing, and fetches no URL.",
    )
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
          "kind": "sms", "segments": 1, "ucs2Characters": []
        }"#,
    )
    .errors(&["invalid_media_url", "invalid_media_id", "invalid_field"]);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreviewSmsRequest {
    /// The text of the message: optional with media.
    #[schemars(length(max = limits::TEXT_UNITS), regex(pattern = limits::TEXT_PATTERN))]
    pub body: Option<String>,
    /// URLs of files, 1 to 10.
    #[schemars(length(min = 1, max = limits::MEDIA_FILES), inner(length(max = limits::MEDIA_URL_CHARS), regex(pattern = limits::URL_PATTERN)))]
    pub media_urls: Option<Vec<String>>,
    /// Ids of uploaded files. At most 10 files together with `mediaUrls`.
    #[schemars(length(min = 1, max = limits::MEDIA_FILES), inner(regex(pattern = MediaId::PATTERN)))]
    pub media_ids: Option<Vec<String>>,
}
