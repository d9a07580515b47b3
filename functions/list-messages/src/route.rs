//! The facts of this route.

use shared::http::route::{Parameter, Route, day_or_time, one_of, pattern, positive_integer};
use shared::model::app::Scope;
use shared::model::media::MessageKind;
use shared::model::message::{Direction, MessageStatus};
use shared::views::messages::MessageList;

/// A phone number in E.164 form, a short code, or an alphanumeric sender. Other spellings of phone numbers are accepted too.
const ADDRESS: &str = "^(\\+[1-9][0-9]{6,14}|[0-9]{3,9}|[A-Za-z][A-Za-z0-9]{0,10})$";

pub const ROUTE: Route = Route::new("GET /v1/sms/messages", "List messages")
    .description(
        "Use `cursor` to read all messages. `page` numbers the pages and reaches the newest \
         10,000 messages.",
    )
    .key_with(&[Scope::SmsRead])
    .list()
    .query(&[
        Parameter::new("page", "Page number, from 1. Cannot be combined with `cursor`.", positive_integer),
        Parameter::new("direction", "Only messages of this direction.", || {
            one_of(Direction::ALL.iter().map(|direction| direction.as_str()))
        }),
        Parameter::new("status", "Only messages with this status.", || {
            one_of(MessageStatus::ALL.iter().map(|status| status.as_str()))
        }),
        Parameter::new("kind", "Only messages without (`sms`) or with (`mms`) files.", || {
            one_of(MessageKind::ALL.iter().map(|kind| kind.as_str()))
        }),
        Parameter::new("from", "Only messages from this number, short code or sender name.", || {
            pattern(ADDRESS)
        }),
        Parameter::new("to", "Only messages to this number or short code.", || pattern(ADDRESS)),
        Parameter::new(
            "startDate",
            "Only messages created at or after this time, or on or after this day in UTC.",
            day_or_time,
        ),
        Parameter::new(
            "endDate",
            "Only messages created before this time, or on or before this day in UTC.",
            day_or_time,
        ),
    ])
    .response::<MessageList<'static>>(
        200,
        "The messages, newest first. With a cursor, the response has no `total` and no `page`.",
        r#"{
          "limit": 20,
          "messages": [{
            "attempts": 1, "body": "Your table is ready.", "createdAt": "2026-11-21T23:25:21.488Z",
            "direction": "outbound", "error": null, "errorCode": null, "expiresAt": null, "heldFor": null,
            "from": "+14155550100", "kind": "sms", "media": [], "messageClass": "transactional", "messageId": "msg_0199c2f4d7b81c3e5a6f7089b1c2", "parts": 1,
            "priority": "normal", "rcMessageId": "1724861004", "segments": 1, "sendAt": null,
            "status": "delivered", "to": "+16505550111", "updatedAt": "2026-11-21T23:25:23.031Z",
            "userId": null
          }],
          "nextCursor": null, "page": 1, "total": 1, "totalIsExact": true
        }"#,
    )
    .errors(&["invalid_query"]);
