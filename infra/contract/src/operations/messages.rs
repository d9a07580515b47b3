//! Outbound and inbound messages.

use serde_json::{Value, json};
use shared::model::app::Scope;
use shared::model::message::{Direction, MessageStatus};
use shared::sending::SendRequest;
use shared::views::messages::{MessageList, MessageView, Preview, ReceiptView};

use crate::operation::Operation;
use crate::routes;

const SEND: &[Scope] = &[Scope::SmsSend];
const READ: &[Scope] = &[Scope::SmsRead];

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new("POST /v1/sms/send", "send-sms", "Send a message")
            .more("Accepts a message for sending. An accepted message is never lost. To retry safely, repeat the request with the same `Idempotency-Key`: the message is sent once.")
            .scopes(SEND)
            .header(
                "Idempotency-Key",
                "Identifies the request for 24 hours. Use a new key for each message.",
                json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" }),
            )
            .takes::<SendRequest>(
                json!({ "from": "+14155550100", "to": "+16505550111", "body": "Your table is ready." }),
            )
            .gives::<ReceiptView>(
                202,
                "The message is accepted.",
                json!({ "messageId": "msg_0199c2f4d7b81c3e5a6f7089b1c2", "status": "queued", "segments": 1 }),
            ),
        Operation::new("GET /v1/sms/status/{messageId}", "get-message", "Get a message")
            .scopes(&[Scope::SmsRead, Scope::SmsSend])
            .gives::<MessageView<'_>>(200, "The message.", message("delivered")),
        Operation::new("GET /v1/sms/messages", "list-messages", "List messages")
            .more("Use `cursor` to read all messages. `page` numbers the pages and reaches the newest 10,000 messages.")
            .scopes(READ)
            .pages()
            .asks("page", "Page number, from 1. Cannot be combined with `cursor`.", json!({ "type": "integer", "minimum": 1 }))
            .asks("direction", "Only messages of this direction.", words(Direction::ALL.iter().map(|word| word.as_str())))
            .asks("status", "Only messages with this status.", words(MessageStatus::ALL.iter().map(|word| word.as_str())))
            .asks("from", "Only messages from this number, E.164.", text())
            .asks("to", "Only messages to this number, E.164.", text())
            .asks("startDate", "Only messages created at or after this time, or on or after this day in UTC.", text())
            .asks("endDate", "Only messages created before this time, or on or before this day in UTC.", text())
            .gives::<MessageList<'_>>(
                200,
                "The messages, newest first. With a cursor, the response has no `total` and no `page`.",
                json!({ "messages": [message("delivered")], "total": 1, "page": 1, "limit": 20, "nextCursor": null }),
            ),
        Operation::new("POST /v1/sms/{messageId}/cancel", "cancel-message", "Cancel a message")
            .more("Cancels a message that is queued or scheduled.")
            .scopes(SEND)
            .gives::<MessageView<'_>>(200, "The canceled message.", message("canceled")),
        Operation::new("POST /v1/sms/{messageId}/resolve", "resolve-message", "Resolve a message with an unknown outcome")
            .scopes(SEND)
            .takes::<routes::resolve_message::ResolveMessageRequest>(json!({ "action": "drop" }))
            .gives::<MessageView<'_>>(200, "The updated message.", message("failed")),
        Operation::new("POST /v1/sms/preview", "preview-sms", "Preview a message")
            .more("Returns how a text would be encoded and split. Sends nothing.")
            .scopes(SEND)
            .takes::<routes::preview_sms::PreviewSmsRequest>(json!({ "body": "Your table is ready." }))
            .gives::<Preview<'_>>(
                200,
                "The encoding, the parts, and the characters that require UCS-2.",
                json!({
                    "encoding": "GSM-7", "segments": 1,
                    "parts": [{ "text": "Your table is ready.", "encoding": "GSM-7", "units": 20, "segments": 1 }],
                    "ucs2Characters": [],
                }),
            ),
    ]
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn words(words: impl Iterator<Item = &'static str>) -> Value {
    json!({ "type": "string", "enum": words.collect::<Vec<_>>() })
}

fn message(status: &str) -> Value {
    json!({
        "messageId": "msg_0199c2f4d7b81c3e5a6f7089b1c2", "direction": "outbound", "status": status,
        "from": "+14155550100", "to": "+16505550111", "body": "Your table is ready.", "userId": null,
        "rcMessageId": "1724861004", "error": null, "errorCode": null, "segments": 1, "parts": 1, "attempts": 1,
        "priority": "normal", "sendAt": null, "expiresAt": null,
        "createdAt": "2026-11-21T23:25:21.488Z", "updatedAt": "2026-11-21T23:25:23.031Z",
    })
}
