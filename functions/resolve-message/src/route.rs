//! The facts of this route.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::http::route::Route;
use shared::model::app::Scope;
use shared::model::message::Resolution;
use shared::views::messages::MessageView;

pub const ROUTE: Route =
    Route::new("POST /v1/sms/{messageId}/resolve", "Resolve a message with an unknown outcome")
        .description(
            "Decides about a message whose outcome is `unknown`: sends it again, or marks it as failed.",
        )
        .key_with(&[Scope::SmsSend])
        .request::<ResolveMessageRequest>(r#"{ "action": "drop" }"#)
        .response::<MessageView<'static>>(
            200,
            "The updated message.",
            r#"{
          "attempts": 1, "body": "Your table is ready.", "createdAt": "2026-11-21T23:25:21.488Z",
          "direction": "outbound", "error": null, "errorCode": null, "expiresAt": null, "heldFor": null,
          "from": "+14155550100", "kind": "sms", "media": [], "messageClass": "transactional", "messageId": "msg_0199c2f4d7b81c3e5a6f7089b1c2", "parts": 1,
          "priority": "normal", "rcMessageId": "1724861004", "segments": 1, "sendAt": null,
          "status": "failed", "to": "+16505550111", "updatedAt": "2026-11-21T23:25:23.031Z",
          "userId": null
        }"#,
        )
        .errors(&["missing_field", "invalid_field", "invalid_id", "not_found", "message_state"]);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveMessageRequest {
    /// `resend` sends the message again, `drop` marks it as failed.
    #[schemars(required, with = "Resolution")]
    pub action: Option<String>,
}
