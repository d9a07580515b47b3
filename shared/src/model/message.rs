//! Messages and their status.
//!
//! A long message is sent as several parts, one RingCentral message each. The status of a message follows from the stages
//! of its parts.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::consent_keyword::KeywordIntent;
use super::event::{Event, EventKind};
use super::ids::{ExtensionId, MessageId, TenantId};
use super::media::{Media, MediaStatus, MediaUrls, MediaView, MessageKind};
use super::string_enum::string_enum;
use super::text;

string_enum! {
    /// As the tenant sees it.
    pub enum Direction {
        Inbound = "inbound",
        Outbound = "outbound",
    }
}

string_enum! {
    pub enum MessageStatus {
        /// Waits for `sendAt`.
        Scheduled = "scheduled",
        /// Waits in the outbox.
        Queued = "queued",
        /// RingCentral has not accepted all parts yet, or a response was lost and is being reconciled.
        Sending = "sending",
        /// Accepted by RingCentral. Carriers need not report a delivery, so this may be the final status.
        Sent = "sent",
        /// Delivered by the carrier.
        Delivered = "delivered",
        /// Not sent, or not delivered; `error` says why.
        Failed = "failed",
        /// Canceled by the tenant before it was sent.
        Canceled = "canceled",
        /// Not sent before `expiresAt`.
        Expired = "expired",
        /// RingCentral's response was lost, and its message store does not show the message.
        Unknown = "unknown",
        /// Inbound.
        Received = "received",
    }
}

string_enum! {
    /// The order in which a sender's messages are sent.
    pub enum Priority {
        High = "high",
        Normal = "normal",
        Bulk = "bulk",
    }
}

string_enum! {
    /// What a message is for.
    pub enum MessageClass {
        /// Information that the recipient asked for or needs. Never held.
        Transactional = "transactional",
        /// Advertising. Held in the quiet hours of the tenant.
        Marketing = "marketing",
    }
}

string_enum! {
    /// Why a message waits longer than its sender asked for.
    pub enum HeldFor {
        /// The quiet hours of the tenant.
        QuietHours = "quiet_hours",
    }
}

string_enum! {
    /// What happens to a message when RingCentral's response was lost and its message store does not show the message.
    pub enum OnAmbiguous {
        /// The status becomes `unknown` and the tenant decides: the message is never sent twice.
        Hold = "hold",
        /// It is sent again. It may arrive twice, if RingCentral takes more than two minutes to show the first one.
        Resend = "resend",
    }
}

string_enum! {
    /// The tenant's decision about a message with the status `unknown`.
    pub enum Resolution {
        /// Send it again.
        Resend = "resend",
        /// Give it up.
        Drop = "drop",
    }
}

string_enum! {
    /// The progress of one part.
    pub enum PartStage {
        /// Not sent.
        Waiting = "waiting",
        /// Submitted to RingCentral; the response is not known.
        Submitted = "submitted",
        /// Accepted by RingCentral.
        Sent = "sent",
        /// Delivered by the carrier.
        Delivered = "delivered",
        Failed = "failed",
        /// Submitted, and the message store does not show it.
        Unknown = "unknown",
    }
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePart {
    /// Where the part ends in the body, in bytes. It begins where the previous part ends.
    pub end: usize,
    pub stage: PartStage,
    /// RingCentral's message id.
    pub rc_id: Option<String>,
    /// When the part was last submitted to RingCentral.
    pub submitted_at: Option<Timestamp>,
}

/// An outbound or inbound message. `Debug` shows neither text nor numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub tenant: TenantId,
    pub id: MessageId,
    pub direction: Direction,
    pub status: MessageStatus,
    /// Inbound messages may come from a short code, so this is not always E.164.
    pub from: String,
    pub to: String,
    pub body: String,
    /// The RingCentral extension that sends or receives it.
    pub extension: ExtensionId,
    /// The tenant's own reference to the user who sends it.
    pub user_id: Option<String>,
    pub priority: Priority,
    pub on_ambiguous: OnAmbiguous,
    /// The inbound opt-out that it confirms. The gateway sends it, and an opt-out does not block it.
    pub confirms: Option<MessageId>,
    pub class: MessageClass,
    /// Not sent before this moment.
    pub send_at: Option<Timestamp>,
    /// Why it waits for `send_at`, if the tenant did not ask for that time. Kept by a message that ends while it waits.
    pub held_for: Option<HeldFor>,
    /// Not sent from this moment on.
    pub expires_at: Option<Timestamp>,
    /// The number of segments that carriers bill.
    pub segments: u32,
    /// How often a part was submitted to RingCentral.
    pub attempts: u32,
    /// In order. An inbound message has one.
    pub parts: Vec<MessagePart>,
    pub media: Vec<Media>,
    /// How often it was tried to copy the files that are still pending.
    pub media_attempts: u32,
    /// The reason of a failure, as a sentence.
    pub error: Option<String>,
    /// RingCentral's code for it.
    pub error_code: Option<String>,
    /// When it was accepted or received.
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Incremented by every write, which expects the version that was read.
    pub version: u64,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("tenant", &self.tenant)
            .field("id", &self.id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What RingCentral's message store reports about a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReport {
    pub stage: PartStage,
    /// RingCentral's `deliveryErrorCode`, if the part failed.
    pub error_code: Option<String>,
}

impl Message {
    /// A new outbound message; scheduled if `send_at` is in the future, queued otherwise.
    pub fn outbound(
        tenant: TenantId,
        extension: ExtensionId,
        from: String,
        to: String,
        body: String,
        send_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let part = |end| MessagePart { end, stage: PartStage::Waiting, rc_id: None, submitted_at: None };
        let ends = text::split(&body);
        let segments = text::segments_of_parts(&body, &ends);
        let is_scheduled = send_at.is_some_and(|at| at > now);
        Self {
            tenant,
            id: MessageId::generate(now),
            direction: Direction::Outbound,
            status: if is_scheduled { MessageStatus::Scheduled } else { MessageStatus::Queued },
            from,
            to,
            body,
            extension,
            user_id: None,
            priority: Priority::Normal,
            on_ambiguous: OnAmbiguous::Hold,
            confirms: None,
            class: MessageClass::Transactional,
            send_at,
            held_for: None,
            expires_at: None,
            segments,
            attempts: 0,
            parts: ends.into_iter().map(part).collect(),
            media: Vec::new(),
            media_attempts: 0,
            error: None,
            error_code: None,
            created_at: now,
            updated_at: now,
            version: 0,
        }
    }

    /// A new inbound message; `rc_id` is RingCentral's message id.
    pub fn inbound(
        tenant: TenantId,
        extension: ExtensionId,
        rc_id: String,
        from: String,
        to: String,
        body: String,
        now: Timestamp,
    ) -> Self {
        let mut message = Self::outbound(tenant, extension, from, to, body, None, now);
        message.direction = Direction::Inbound;
        message.status = MessageStatus::Received;
        message.parts = vec![MessagePart {
            end: message.body.len(),
            stage: PartStage::Delivered,
            rc_id: Some(rc_id),
            submitted_at: None,
        }];
        message
    }

    /// Adds files to an outbound message. It is sent as one MMS, which carriers bill as one segment.
    #[must_use]
    pub fn with_media(mut self, media: Vec<Media>) -> Self {
        if !media.is_empty() {
            self.segments = 1;
        }
        self.media = media;
        self
    }

    pub fn kind(&self) -> MessageKind {
        if self.media.is_empty() { MessageKind::Sms } else { MessageKind::Mms }
    }

    /// True if a file is to be copied.
    pub fn has_pending_media(&self) -> bool {
        self.media.iter().any(|file| file.status == MediaStatus::Pending)
    }

    /// The text of the part with this index.
    pub fn part_text(&self, index: usize) -> &str {
        let begin = index.checked_sub(1).and_then(|before| self.parts.get(before)).map_or(0, |part| part.end);
        self.parts.get(index).and_then(|part| self.body.get(begin..part.end)).unwrap_or_default()
    }

    /// The index of the first part that was not sent.
    pub fn next_part(&self) -> Option<usize> {
        self.parts.iter().position(|part| part.stage == PartStage::Waiting)
    }

    /// True if a part was sent and the next one may be sent.
    pub fn is_partly_sent(&self) -> bool {
        self.status == MessageStatus::Sending
            && self.held_for.is_none()
            && !self.is_unsubmitted()
            && self.next_part().is_some()
    }

    /// RingCentral's message id of the first part that has one.
    pub fn rc_id(&self) -> Option<&str> {
        self.parts.iter().find_map(|part| part.rc_id.as_deref())
    }

    /// True if no part was ever submitted to RingCentral.
    pub fn is_unsubmitted(&self) -> bool {
        self.parts.iter().all(|part| part.stage == PartStage::Waiting && part.submitted_at.is_none())
    }

    /// True if no part can have been sent and the message may still be canceled.
    pub fn is_cancelable(&self) -> bool {
        matches!(self.status, MessageStatus::Queued | MessageStatus::Scheduled) && self.is_unsubmitted()
    }

    /// True from `expiresAt` on.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Lets the message, or what is left of it, wait until the quiet hours end.
    pub fn hold(&mut self, until: Timestamp, now: Timestamp) {
        if self.is_unsubmitted() {
            self.status = MessageStatus::Scheduled;
        }
        self.send_at = Some(until);
        self.held_for = Some(HeldFor::QuietHours);
        self.updated_at = now;
    }

    /// Ends the wait for `send_at`: the message is sent next, unless it has expired.
    pub fn release(&mut self, now: Timestamp) {
        if self.status == MessageStatus::Scheduled && self.is_expired(now) {
            return self.end(MessageStatus::Expired, None, None, now);
        }
        if self.status == MessageStatus::Scheduled {
            self.status = MessageStatus::Queued;
            self.updated_at = now;
        }
        self.held_for = None;
    }

    /// When a scheduled message is processed: at `sendAt`, or at `expiresAt` if it is held for longer.
    pub fn scheduled_for(&self) -> Option<Timestamp> {
        self.send_at.map(|at| self.expires_at.map_or(at, |expires_at| expires_at.min(at)))
    }

    /// Applies a delivery report to the part with this index. A part never returns to an earlier stage: reports that are
    /// late or repeated change nothing.
    pub fn apply_delivery_report(&mut self, part: usize, report: &DeliveryReport, now: Timestamp) {
        let Some(part) = self.parts.get_mut(part) else { return };
        let rank = |stage: PartStage| match stage {
            PartStage::Waiting => 0,
            PartStage::Submitted => 1,
            PartStage::Unknown => 2,
            PartStage::Sent => 3,
            PartStage::Delivered | PartStage::Failed => 4,
        };
        if rank(report.stage) <= rank(part.stage) {
            return;
        }
        part.stage = report.stage;
        if report.stage == PartStage::Failed {
            self.error_code.clone_from(&report.error_code);
            let meaning = report.error_code.as_deref().map(super::failure::explain);
            self.error = Some(meaning.unwrap_or(super::failure::UNDELIVERED).to_owned());
        }
        self.update_status(now);
    }

    /// Derives the status from the stages of the parts.
    pub fn update_status(&mut self, now: Timestamp) {
        let any = |stage| self.parts.iter().any(|part| part.stage == stage);
        let all = |stages: &[PartStage]| self.parts.iter().all(|part| stages.contains(&part.stage));
        let status = if any(PartStage::Failed) {
            MessageStatus::Failed
        } else if any(PartStage::Submitted) {
            MessageStatus::Sending
        } else if any(PartStage::Unknown) {
            MessageStatus::Unknown
        } else if all(&[PartStage::Delivered]) {
            MessageStatus::Delivered
        } else if all(&[PartStage::Sent, PartStage::Delivered]) {
            MessageStatus::Sent
        } else if all(&[PartStage::Waiting]) {
            MessageStatus::Queued
        } else {
            MessageStatus::Sending
        };
        // The time is that of the status's event.
        if status != self.status {
            (self.status, self.updated_at) = (status, now);
        }
    }

    /// Sets a final status. Parts that are not sent will not be.
    pub fn end(
        &mut self,
        status: MessageStatus,
        error: Option<String>,
        code: Option<String>,
        now: Timestamp,
    ) {
        self.status = status;
        self.error = error;
        self.error_code = code;
        self.updated_at = now;
    }

    /// The `sms_status` event of the current status. Deterministic: the same change always has the same event id.
    pub fn status_event(&self, urls: &MediaUrls) -> Event {
        let data = StatusChange {
            message_id: self.id.as_str(),
            kind: self.kind(),
            status: self.status,
            from: &self.from,
            to: &self.to,
            user_id: self.user_id.as_deref(),
            message_class: self.class,
            send_at: self.send_at.map(|at| format!("{at:.3}")),
            held_for: self.held_for,
            rc_message_id: self.rc_id(),
            error_code: self.error_code.as_deref(),
            error: self.error.as_deref(),
            media: MediaView::all(&self.id, &self.media, urls),
        };
        let seed = format!("{}\n{}\n{}", self.tenant, self.id, self.status.as_str());
        Event::repeatable(&self.tenant, EventKind::SmsStatus, self.updated_at, &seed, &data)
    }
}

/// The fields of the event `sms_status`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusChange<'a> {
    /// The id of the message.
    message_id: &'a str,
    /// `mms` if the message has files, otherwise `sms`.
    kind: MessageKind,
    /// The new status of the message.
    status: MessageStatus,
    /// The sender's phone number.
    from: &'a str,
    /// The recipient's phone number.
    to: &'a str,
    /// The caller's own reference to the user who sent it.
    user_id: Option<&'a str>,
    /// What the message is for.
    message_class: MessageClass,
    /// Time before which it is not sent.
    #[schemars(with = "Option<Timestamp>")]
    send_at: Option<String>,
    /// `quiet_hours` if the tenant's quiet hours have moved `sendAt`.
    held_for: Option<HeldFor>,
    /// RingCentral's id of the message, or of its first part that has one.
    rc_message_id: Option<&'a str>,
    /// RingCentral's code of the failure.
    error_code: Option<&'a str>,
    /// Reason of the failure, as a sentence.
    error: Option<&'a str>,
    /// The files of the message.
    media: Vec<MediaView>,
}

/// The fields of the event `sms_inbound`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboundMessage<'a> {
    /// The id of the message.
    pub message_id: &'a str,
    /// The sender's phone number; an extension number of the same account, or `anonymous`.
    pub from: &'a str,
    /// The phone number of the tenant that received the message.
    pub to: &'a str,
    /// The text of the message.
    pub body: &'a str,
    /// RingCentral's id of the message.
    pub rc_message_id: &'a str,
    /// RingCentral's id of the extension that received the message.
    pub extension_id: &'a str,
    /// `mms` if the message has files, otherwise `sms`.
    pub kind: MessageKind,
    /// The files of the message. They are copied after the event: until then a request for one gets 409 `media_pending`.
    pub attachments: Vec<MediaView>,
    /// What the sender asks for, if the whole message is a keyword such as STOP, START or HELP.
    pub consent: Option<KeywordIntent>,
    /// True if the message was found later by message sync, because RingCentral did not report it.
    pub late: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn message(body: &str) -> Message {
        let tenant = TenantId::generate();
        let extension = ExtensionId::parse("101").unwrap();
        let (from, to) = ("+14155550100".to_owned(), "+16505550111".to_owned());
        Message::outbound(tenant, extension, from, to, body.to_owned(), None, at(0))
    }

    fn report(stage: PartStage) -> DeliveryReport {
        DeliveryReport { stage, error_code: (stage == PartStage::Failed).then(|| "SMS-CAR-413".to_owned()) }
    }

    #[test]
    fn the_status_follows_from_the_stages_of_the_parts() {
        let mut message = message(&"a".repeat(1_500));
        assert_eq!(message.parts.len(), 2);
        assert_eq!(message.part_text(0).len() + message.part_text(1).len(), 1_500);
        message.apply_delivery_report(0, &report(PartStage::Sent), at(1));
        assert_eq!((message.status, message.next_part()), (MessageStatus::Sending, Some(1)));
        message.apply_delivery_report(1, &report(PartStage::Submitted), at(2));
        message.apply_delivery_report(1, &report(PartStage::Unknown), at(3));
        assert_eq!(message.status, MessageStatus::Unknown);
        message.apply_delivery_report(1, &report(PartStage::Sent), at(4));
        assert_eq!(message.status, MessageStatus::Sent);
        message.apply_delivery_report(0, &report(PartStage::Delivered), at(5));
        message.apply_delivery_report(0, &report(PartStage::Sent), at(6));
        assert_eq!((message.status, message.updated_at), (MessageStatus::Sent, at(4)));
        message.apply_delivery_report(1, &report(PartStage::Failed), at(7));
        assert_eq!(
            (message.status, message.error_code.as_deref()),
            (MessageStatus::Failed, Some("SMS-CAR-413"))
        );
    }

    #[test]
    fn the_same_status_change_has_the_same_event_id() {
        let mut message = message("hi");
        let urls = MediaUrls { public_url: "https://sms.example.com".to_owned() };
        assert_eq!(message.status_event(&urls), message.status_event(&urls));
        let first = message.status_event(&urls).id;
        message.status = MessageStatus::Canceled;
        assert_ne!(message.status_event(&urls).id, first);
    }

    #[test]
    fn debug_output_shows_neither_text_nor_numbers() {
        let shown = format!("{:?}", message("CANARY"));
        for secret in ["CANARY", "4155550100", "6505550111"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
