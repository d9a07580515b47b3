//! Texts that go out, and what becomes of them.

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
        Operation::new("POST /v1/sms/send", "send-sms", "Sends a text")
            .more("From the answer on it is never lost. Repeat the request with the same `Idempotency-Key` until it is answered: one text is made.")
            .scopes(SEND)
            .header(
                "Idempotency-Key",
                "A key of the caller's for this text; good for 24 hours.",
                json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" }),
            )
            .takes::<SendRequest>(
                json!({ "from": "+14155550100", "to": "+16505550111", "body": "Your table is ready." }),
            )
            .gives::<ReceiptView>(
                202,
                "It is accepted.",
                json!({ "messageId": "msg_0199c2f4d7b81c3e5a6f7089b1c2", "status": "queued", "segments": 1 }),
            ),
        Operation::new("GET /v1/sms/status/{messageId}", "get-message", "How far a text has come")
            .scopes(&[Scope::SmsRead, Scope::SmsSend])
            .gives::<MessageView<'_>>(200, "The message.", message("delivered")),
        Operation::new("GET /v1/sms/messages", "list-messages", "The messages")
            .more("`cursor` reaches all of them; `page` is for programs that number pages, and reaches the newest 10,000.")
            .scopes(READ)
            .pages()
            .asks("page", "The number of the page; not together with a cursor.", json!({ "type": "integer", "minimum": 1 }))
            .asks("direction", "Out or in.", words(Direction::ALL.iter().map(|word| word.as_str())))
            .asks("status", "Of one status.", words(MessageStatus::ALL.iter().map(|word| word.as_str())))
            .asks("from", "From one number, E.164.", text())
            .asks("to", "To one number, E.164.", text())
            .asks("startDate", "Not before this time, or day in UTC.", text())
            .asks("endDate", "Before this time, or up to the end of this day in UTC.", text())
            .gives::<MessageList<'_>>(
                200,
                "The newest first. With a cursor, `total` and `page` are left out.",
                json!({ "messages": [message("delivered")], "total": 1, "page": 1, "limit": 20, "nextCursor": null }),
            ),
        Operation::new("POST /v1/sms/{messageId}/cancel", "cancel-message", "Takes a text back")
            .more("One that is queued or scheduled.")
            .scopes(SEND)
            .gives::<MessageView<'_>>(200, "The message, `canceled`.", message("canceled")),
        Operation::new("POST /v1/sms/{messageId}/resolve", "resolve-message", "Decides about a text whose fate is unknown")
            .scopes(SEND)
            .takes::<routes::resolve_message::ResolveMessageRequest>(json!({ "action": "drop" }))
            .gives::<MessageView<'_>>(200, "The message as it is now.", message("failed")),
        Operation::new("POST /v1/sms/preview", "preview-sms", "Shows how a text would be sent")
            .more("Nothing is sent.")
            .scopes(SEND)
            .takes::<routes::preview_sms::PreviewSmsRequest>(json!({ "body": "Your table is ready." }))
            .gives::<Preview<'_>>(
                200,
                "Its encoding, its parts, and which characters make it UCS-2.",
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
