//! Messages as the API returns them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{as_iso, iso};
use crate::model::media::{MediaUrls, MediaView, MessageKind};
use crate::model::message::{Direction, HeldFor, Message, MessageClass, MessageStatus, Priority};
use crate::model::number::{SendWarning, WarningCode};
use crate::model::text::{self, Encoding};
use crate::sending::Receipt;
use crate::store::NumberedPage;

/// The response of `POST /v1/sms/send`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AcceptedMessage")]
pub struct ReceiptView {
    /// The id of the message.
    message_id: String,
    /// `queued`, or `scheduled` if it is to be sent later.
    status: MessageStatus,
    /// Number of segments that carriers bill; see `POST /v1/sms/preview`.
    segments: u32,
    /// When it is sent; absent if it is sent as soon as possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    send_at: Option<String>,
    /// `quiet_hours` if the tenant's quiet hours have moved `sendAt`; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_for: Option<HeldFor>,
    /// Why carriers may not deliver the message; absent if no reason is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningView>,
}

/// A reason why carriers may not deliver a message.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SendWarning")]
struct WarningView {
    /// A stable identifier of the reason.
    code: WarningCode,
    /// The reason as a sentence.
    message: String,
}

impl From<&SendWarning> for WarningView {
    fn from(warning: &SendWarning) -> Self {
        Self { code: warning.code, message: warning.text.clone() }
    }
}

impl From<&Receipt> for ReceiptView {
    fn from(receipt: &Receipt) -> Self {
        Self {
            message_id: receipt.message.as_str().to_owned(),
            status: receipt.status,
            segments: receipt.segments,
            send_at: receipt.send_at.map(iso),
            held_for: receipt.held_for,
            warnings: receipt.warning.iter().map(WarningView::from).collect(),
        }
    }
}

/// A message.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Message")]
pub struct MessageView<'a> {
    /// The id of the message.
    message_id: &'a str,
    /// `outbound` (sent by the tenant) or `inbound`.
    direction: Direction,
    /// `mms` if the message has files, otherwise `sms`.
    kind: MessageKind,
    /// `scheduled`: waits for `sendAt`. `queued`: waits to be sent. `sending`: parts are still to be sent, or RingCentral's
    /// response was lost and is being reconciled. `sent`: accepted by RingCentral; carriers need not report a delivery.
    /// `delivered`: delivered by the carrier. `failed`: not sent or not delivered, `error` says why. `canceled`: canceled
    /// before it was sent. `expired`: not sent before `expiresAt`. `unknown`: RingCentral's response was lost and its
    /// message store does not show the message; resolve it. `received`: inbound.
    status: MessageStatus,
    /// The sender's phone number. Of an inbound message it can also be an extension number or `anonymous`.
    from: &'a str,
    /// The recipient's phone number.
    to: &'a str,
    /// The text of the message.
    body: &'a str,
    /// The caller's own reference to the user who sent it.
    user_id: Option<&'a str>,
    /// RingCentral's id of the message, or of its first part that has one.
    rc_message_id: Option<&'a str>,
    /// Reason of the failure, as a sentence.
    error: Option<&'a str>,
    /// RingCentral's code of the failure.
    error_code: Option<&'a str>,
    /// Number of segments that carriers bill.
    segments: u32,
    /// Number of RingCentral messages that it is sent as.
    parts: usize,
    /// Number of times that a part was submitted to RingCentral.
    attempts: u32,
    /// Order of sending among the sender's messages.
    priority: Priority,
    /// What an outbound message is for.
    message_class: Option<MessageClass>,
    /// Time before which it is not sent.
    #[schemars(with = "Option<Timestamp>")]
    send_at: Option<String>,
    /// `quiet_hours` if the tenant's quiet hours have moved `sendAt`.
    held_for: Option<HeldFor>,
    /// Time from which it is no longer sent.
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
    /// The files of the message.
    media: Vec<MediaView>,
    /// When the message was accepted or received.
    #[serde(serialize_with = "as_iso")]
    created_at: Timestamp,
    /// When the status changed last.
    #[serde(serialize_with = "as_iso")]
    updated_at: Timestamp,
}

impl<'a> MessageView<'a> {
    pub fn of(message: &'a Message, urls: &MediaUrls) -> Self {
        Self {
            message_id: message.id.as_str(),
            direction: message.direction,
            kind: message.kind(),
            status: message.status,
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
            priority: message.priority,
            message_class: (message.direction == Direction::Outbound).then_some(message.class),
            send_at: message.send_at.map(iso),
            held_for: message.held_for,
            expires_at: message.expires_at.map(iso),
            media: MediaView::all(&message.id, &message.media, urls),
            created_at: message.created_at,
            updated_at: message.updated_at,
        }
    }
}

/// The response of `GET /v1/sms/messages`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageList<'a> {
    /// The messages, newest first.
    messages: Vec<MessageView<'a>>,
    /// Number of messages that match. Counted up to the end of the page and at most 1,000 messages further; `totalIsExact` says
    /// whether these are all. Absent with a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    /// False if more messages may match than `total`. Absent with a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_is_exact: Option<bool>,
    /// The page number of the request. Absent with a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<usize>,
    /// The maximum number of messages of the page.
    limit: u32,
    /// Send it as `cursor` to get the next page; `null` on the last page. A page may have fewer messages than `limit`, even none,
    /// without being the last one: a request reads a limited amount of data.
    next_cursor: Option<String>,
}

impl<'a> MessageList<'a> {
    /// A page that begins at a cursor.
    pub fn of(messages: &'a [Message], limit: u32, next: Option<String>, urls: &MediaUrls) -> Self {
        Self {
            messages: messages.iter().map(|message| MessageView::of(message, urls)).collect(),
            total: None,
            total_is_exact: None,
            page: None,
            limit,
            next_cursor: next,
        }
    }

    /// The page with this number.
    pub fn numbered(
        found: &'a NumberedPage,
        number: usize,
        limit: u32,
        next: Option<String>,
        urls: &MediaUrls,
    ) -> Self {
        Self {
            total: Some(found.counted),
            total_is_exact: Some(found.is_exact),
            page: Some(number),
            ..Self::of(&found.messages, limit, next, urls)
        }
    }
}

/// The response of `POST /v1/sms/preview`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MessagePreview")]
pub struct Preview<'a> {
    /// The encoding of the text; one part may need a smaller one.
    encoding: Encoding,
    /// Number of segments that carriers bill, over all parts.
    segments: u32,
    /// Parts in order; each is sent as one RingCentral message.
    parts: Vec<PartView<'a>>,
    /// Characters that are not in the GSM-7 alphabet: they make the text UCS-2.
    ucs2_characters: Vec<char>,
    /// `mms` if the message has files, otherwise `sms`. Carriers bill an MMS as one message.
    kind: MessageKind,
    /// The files; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<MediaPreview>,
}

/// The files of a message that is previewed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MediaPreview {
    /// Number of files.
    pub count: usize,
    /// Bytes of all files; `null` if there are URLs, which are not fetched.
    pub bytes: Option<i64>,
    /// Whether a request to send them would be accepted, as far as that is known without fetching the URLs.
    pub accepted: bool,
    /// The code of the error of such a request; `null` if it would be accepted.
    pub error_code: Option<&'static str>,
}

/// A part of a message.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MessagePart")]
struct PartView<'a> {
    /// The text of the part.
    text: &'a str,
    /// The encoding of the part.
    encoding: Encoding,
    /// Length in UTF-16 code units.
    units: usize,
    /// Number of segments that carriers bill.
    segments: u32,
}

impl<'a> Preview<'a> {
    /// The preview of a text whose parts end at `ends` ([`text::split`]), with files or without.
    pub fn of(body: &'a str, ends: &'a [usize], media: Option<MediaPreview>) -> Self {
        let part = |part: &'a str| PartView {
            text: part,
            encoding: Encoding::of(part),
            units: part.encode_utf16().count(),
            segments: text::segments(part),
        };
        Self {
            kind: if media.is_some() { MessageKind::Mms } else { MessageKind::Sms },
            encoding: Encoding::of(body),
            segments: if media.is_some() { 1 } else { text::segments_of_parts(body, ends) },
            parts: text::parts(body, ends).map(part).collect(),
            ucs2_characters: text::outside_gsm(body),
            media,
        }
    }
}
