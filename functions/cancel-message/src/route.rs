//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::messages::MessageView;

pub const ROUTE: Route = Route::new("POST /v1/sms/{messageId}/cancel", "Cancel a message")
    .description("Cancels a message that is queued or scheduled.")
    .key_with(&[Scope::SmsSend])
    .no_fields()
    .response::<MessageView<'static>>(
        200,
        "The canceled message.",
        r#"{
          "attempts": 1, "body": "Your table is ready.", "createdAt": "2026-11-21T23:25:21.488Z",
          "direction": "outbound", "error": null, "errorCode": null, "expiresAt": null, "heldFor": null,
          "from": "+14155550100", "kind": "sms", "media": [], "messageClass": "transactional", "messageId": "msg_0199c2f4d7b81c3e5a6f7089b1c2", "parts": 1,
          "priority": "normal", "rcMessageId": "1724861004", "segments": 1, "sendAt": null,
          "status": "canceled", "to": "+16505550111", "updatedAt": "2026-11-21T23:25:23.031Z",
          "userId": null
        }"#,
    )
    .errors(&["invalid_id", "not_found", "message_state"]);
