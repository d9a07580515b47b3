//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::sending::SendRequest;
use shared::views::messages::ReceiptView;

pub const ROUTE: Route = Route::new("POST /v1/sms/send", "Send a message")
    .description(
        "Accepts a message for sending. An accepted message is never lost. To retry safely, \
         repeat the request with the same `Idempotency-Key`: the message is sent once. \
         With `mediaUrls` or `mediaIds` it is sent as an MMS, after its files are copied.",
    )
    .key_with(&[Scope::SmsSend])
    .idempotent()
    .request::<SendRequest>(
        r#"{ "body": "Your table is ready.", "from": "+14155550100", "to": "+16505550111" }"#,
    )
    .response::<ReceiptView>(
        202,
        "The message is accepted.",
        r#"{
          "messageId": "msg_0199c2f4d7b81c3e5a6f7089b1c2", "segments": 1, "status": "queued"
        }"#,
    )
    .errors(&[
        "missing_field",
        "invalid_phone_number",
        "invalid_field",
        "sender_unknown",
        "sender_not_connected",
        "recipient_opted_out",
        "sender_cannot_mms",
        "invalid_media_url",
        "invalid_media_id",
        "media_too_large",
        "media_pending",
    ]);
