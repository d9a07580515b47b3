//! What the API shows of messages: the contract's field names.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{as_iso, iso};
use crate::model::message::{Message, MessageFile};
use crate::model::text::{self, Encoding};
use crate::sending::Receipt;

/// `POST /v1/sms/send`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Receipt")]
pub struct ReceiptView {
    message_id: String,
    /// `queued`, or `scheduled` with a `sendAt` ahead.
    status: &'static str,
    /// How many segments carriers count; see `POST /v1/sms/preview`.
    segments: u32,
}

impl From<&Receipt> for ReceiptView {
    fn from(receipt: &Receipt) -> Self {
        Self {
            message_id: receipt.message.as_str().to_owned(),
            status: receipt.status.as_str(),
            segments: receipt.segments,
        }
    }
}

/// One message.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Message")]
pub struct MessageView<'a> {
    message_id: &'a str,
    /// `outbound`, from the tenant; `inbound`, to it.
    direction: &'static str,
    /// `scheduled`: waits for `sendAt`. `queued`: waits for its turn. `sending`: begun; parts are left, or RingCentral's
    /// answer was lost and is looked for. `sent`: RingCentral has taken it; carriers need not report a delivery.
    /// `delivered`: the carrier has delivered it. `failed`: not sent or not delivered, `error` says why. `canceled`: taken
    /// back. `expired`: not sent before `expiresAt`. `unknown`: RingCentral's answer was lost and the message is not in its
    /// store; resolve it. `received`: it came in.
    status: &'static str,
    from: &'a str,
    to: &'a str,
    body: &'a str,
    /// The caller's own word.
    user_id: Option<&'a str>,
    /// RingCentral's id of the message, or of its first part.
    rc_message_id: Option<&'a str>,
    /// Why it failed, for people.
    error: Option<&'a str>,
    /// RingCentral's code for why.
    error_code: Option<&'a str>,
    /// How many segments carriers count.
    segments: u32,
    /// How many messages of RingCentral's it goes out as.
    parts: usize,
    /// How often it was handed to RingCentral.
    attempts: u32,
    /// `high`, `normal` or `bulk`.
    priority: &'static str,
    /// Not sent before.
    #[schemars(with = "Option<Timestamp>")]
    send_at: Option<String>,
    /// Not sent from then on.
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<FileView<'a>>,
    #[serde(serialize_with = "as_iso")]
    created_at: Timestamp,
    #[serde(serialize_with = "as_iso")]
    updated_at: Timestamp,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Attachment")]
struct FileView<'a> {
    /// RingCentral's id of it.
    id: &'a str,
    content_type: Option<&'a str>,
    /// In bytes.
    size: Option<i64>,
}

impl<'a> MessageView<'a> {
    /// A message as it is shown.
    pub fn of(message: &'a Message) -> Self {
        let file = |file: &'a MessageFile| FileView {
            id: &file.id,
            content_type: file.content_type.as_deref(),
            size: file.size,
        };
        Self {
            message_id: message.id.as_str(),
            direction: message.direction.as_str(),
            status: message.status.as_str(),
            from: &message.from,
            to: &message.to,
            body: &message.body,
            user_id: message.user_id.as_deref(),
            rc_message_id: message.rc_id(),
            error: message.error.as_deref(),
            error_code: message.error_code.as_deref(),
            segments: message.segments,
            parts: message.parts.len(),
            attempts: message.attempts,
            priority: message.priority.as_str(),
            send_at: message.send_at.map(iso),
            expires_at: message.expires_at.map(iso),
            attachments: message.files.iter().map(file).collect(),
            created_at: message.created_at,
            updated_at: message.updated_at,
        }
    }
}

/// `GET /v1/sms/messages`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageList<'a> {
    messages: Vec<MessageView<'a>>,
    /// How many fit, of the newest 10,000, and as far as one request reads; not counted with a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<usize>,
    limit: u32,
    /// Give it as `cursor` to go on; `null` at the end. A page may be short, or empty, and still not be the last: one request
    /// reads only so far.
    next_cursor: Option<String>,
}

impl<'a> MessageList<'a> {
    /// A part of the list. `numbered` is the number of the page and how many messages there are, where they are counted.
    pub fn of(
        messages: &'a [Message],
        numbered: Option<(usize, usize)>,
        limit: u32,
        next: Option<String>,
    ) -> Self {
        Self {
            messages: messages.iter().map(MessageView::of).collect(),
            total: numbered.map(|(_, total)| total),
            page: numbered.map(|(page, _)| page),
            limit,
            next_cursor: next,
        }
    }
}

/// `POST /v1/sms/preview`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preview<'a> {
    /// `GSM-7` or `UCS-2`.
    encoding: &'static str,
    /// How many segments carriers count, of all parts.
    segments: u32,
    /// What goes out as one RingCentral message each.
    parts: Vec<PartView<'a>>,
    /// What makes the text UCS-2.
    ucs2_characters: Vec<char>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Part")]
struct PartView<'a> {
    text: &'a str,
    encoding: &'static str,
    /// Its length in UTF-16 code units.
    units: usize,
    segments: u32,
}

impl<'a> Preview<'a> {
    /// How a text would be sent, cut where [`text::split`] says.
    pub fn of(body: &'a str, ends: &'a [usize]) -> Self {
        let part = |part: &'a str| PartView {
            text: part,
            encoding: Encoding::of(part).as_str(),
            units: part.encode_utf16().count(),
            segments: text::segments(part),
        };
        Self {
            encoding: Encoding::of(body).as_str(),
            segments: text::segments_of_parts(body, ends),
            parts: text::parts(body, ends).map(part).collect(),
            ucs2_characters: text::outside_gsm(body),
        }
    }
}
