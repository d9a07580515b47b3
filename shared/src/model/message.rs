//! Messages: what they are, and how their status moves.
//!
//! A long text is sent as several parts, one RingCentral message each. The status of a message follows from how far its
//! parts have come.

use std::fmt;

use jiff::Timestamp;
use serde_json::json;

use super::event::{Event, EventKind};
use super::ids::{ExtensionId, MessageId, TenantId};
use super::text;

macro_rules! words {
    ($(#[$doc:meta])* $kind:ident { $($(#[$doc_of:meta])* $name:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $kind { $($(#[$doc_of])* $name,)* }

        impl $kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word of the contract.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What a word of the contract means.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }
    };
}

words! {
    /// From or to the tenant.
    Direction {
        /// To the tenant.
        Inbound = "inbound",
        /// From the tenant.
        Outbound = "outbound",
    }
}

words! {
    /// How far a message has come.
    MessageStatus {
        /// It waits for its time.
        Scheduled = "scheduled",
        /// It waits for its turn.
        Queued = "queued",
        /// It was begun, and RingCentral has not taken all of it yet, or its answer was lost and is being looked for.
        Sending = "sending",
        /// RingCentral has taken it. Carriers need not report a delivery, so this may be the end.
        Sent = "sent",
        /// The carrier has delivered it.
        Delivered = "delivered",
        /// It was not sent, or not delivered; `error` says why.
        Failed = "failed",
        /// The tenant took it back before it was sent.
        Canceled = "canceled",
        /// Its time ran out before it was sent.
        Expired = "expired",
        /// RingCentral's answer was lost, and its message store does not show the message.
        Unknown = "unknown",
        /// It came in.
        Received = "received",
    }
}

words! {
    /// Which message of a sender goes first.
    Priority {
        /// Before all others.
        High = "high",
        /// As usual.
        Normal = "normal",
        /// When nothing else waits.
        Bulk = "bulk",
    }
}

words! {
    /// What to do when RingCentral's answer was lost and its message store does not show the message.
    OnAmbiguous {
        /// Tell the tenant, who decides: it is never sent twice.
        Hold = "hold",
        /// Send it again: it may arrive twice, if RingCentral takes more than two minutes to show it.
        Resend = "resend",
    }
}

words! {
    /// How far a part has come.
    Stage {
        /// It was not sent.
        Waiting = "waiting",
        /// It was sent, and the answer is not known.
        Posted = "posted",
        /// RingCentral has taken it.
        Sent = "sent",
        /// The carrier has delivered it.
        Delivered = "delivered",
        /// It failed.
        Failed = "failed",
        /// Nobody knows whether it was sent.
        Unknown = "unknown",
    }
}

/// A part of a message that goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it ends in the body, in bytes. It begins where the one before it ends.
    pub end: usize,
    /// How far it has come.
    pub stage: Stage,
    /// RingCentral's id of it.
    pub rc_id: Option<String>,
    /// When it was last handed to RingCentral.
    pub posted_at: Option<Timestamp>,
}

/// A file that came with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFile {
    /// RingCentral's id of it.
    pub id: String,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its size in bytes.
    pub size: Option<i64>,
}

/// A message, out or in. `Debug` shows neither text nor numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Whose.
    pub tenant: TenantId,
    /// Its id.
    pub id: MessageId,
    /// Out or in.
    pub direction: Direction,
    /// How far it has come.
    pub status: MessageStatus,
    /// Who sends it. What comes in may come from a short code, so this is not always E.164.
    pub from: String,
    /// Who gets it.
    pub to: String,
    /// The text.
    pub body: String,
    /// The RingCentral user whose number it is.
    pub extension: ExtensionId,
    /// The tenant's own word for who sends it.
    pub user_id: Option<String>,
    /// Which message goes first.
    pub priority: Priority,
    /// What to do when nobody knows.
    pub on_ambiguous: OnAmbiguous,
    /// Not before this moment.
    pub send_at: Option<Timestamp>,
    /// Not from this moment on.
    pub expires_at: Option<Timestamp>,
    /// How many segments it is paid as.
    pub segments: u32,
    /// How often something of it was handed to RingCentral.
    pub attempts: u32,
    /// Its parts, in order; one of a message that came in.
    pub parts: Vec<Part>,
    /// Files that came with it.
    pub files: Vec<MessageFile>,
    /// Why it failed, in a sentence.
    pub error: Option<String>,
    /// RingCentral's code for that, if there is one.
    pub error_code: Option<String>,
    /// When it was accepted, or came in.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Counts its changes; every write expects the one that was read.
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

/// What RingCentral's message store says of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How far it has come.
    pub stage: Stage,
    /// RingCentral's code, if it failed.
    pub error_code: Option<String>,
}

impl Message {
    /// A text that is to go out.
    pub fn outbound(
        tenant: TenantId,
        extension: ExtensionId,
        from: String,
        to: String,
        body: String,
        send_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let part = |end| Part { end, stage: Stage::Waiting, rc_id: None, posted_at: None };
        let ends = text::split(&body);
        let segments = text::segments_of_parts(&body, &ends);
        let later = send_at.is_some_and(|at| at > now);
        Self {
            tenant,
            id: MessageId::generate(now),
            direction: Direction::Outbound,
            status: if later { MessageStatus::Scheduled } else { MessageStatus::Queued },
            from,
            to,
            body,
            extension,
            user_id: None,
            priority: Priority::Normal,
            on_ambiguous: OnAmbiguous::Hold,
            send_at,
            expires_at: None,
            segments,
            attempts: 0,
            parts: ends.into_iter().map(part).collect(),
            files: Vec::new(),
            error: None,
            error_code: None,
            created_at: now,
            updated_at: now,
            version: 0,
        }
    }

    /// A message that came in, by RingCentral's id.
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
        message.parts = vec![Part {
            end: message.body.len(),
            stage: Stage::Delivered,
            rc_id: Some(rc_id),
            posted_at: None,
        }];
        message
    }

    /// The text of a part.
    pub fn part_text(&self, at: usize) -> &str {
        let begin = at.checked_sub(1).and_then(|before| self.parts.get(before)).map_or(0, |part| part.end);
        self.parts.get(at).and_then(|part| self.body.get(begin..part.end)).unwrap_or_default()
    }

    /// The first part that was not sent.
    pub fn next_part(&self) -> Option<usize> {
        self.parts.iter().position(|part| part.stage == Stage::Waiting)
    }

    /// True if a part of it has gone out, and the next one may go.
    pub fn is_begun(&self) -> bool {
        self.status == MessageStatus::Sending && !self.is_unposted() && self.next_part().is_some()
    }

    /// RingCentral's id of its first part that has one.
    pub fn rc_id(&self) -> Option<&str> {
        self.parts.iter().find_map(|part| part.rc_id.as_deref())
    }

    /// True if nothing of it was ever handed to RingCentral.
    pub fn is_unposted(&self) -> bool {
        self.parts.iter().all(|part| part.stage == Stage::Waiting && part.posted_at.is_none())
    }

    /// True if nothing of it can have been sent, and it may still be taken back.
    pub fn is_untouched(&self) -> bool {
        matches!(self.status, MessageStatus::Queued | MessageStatus::Scheduled) && self.is_unposted()
    }

    /// True if it must not be sent any more.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Notes how far a part has come. Stages are only ever left towards the end: what is told late or twice changes
    /// nothing.
    pub fn note_part(&mut self, at: usize, told: &Told, now: Timestamp) {
        let Some(part) = self.parts.get_mut(at) else { return };
        let rank = |stage: Stage| match stage {
            Stage::Waiting => 0,
            Stage::Posted => 1,
            Stage::Unknown => 2,
            Stage::Sent => 3,
            Stage::Delivered | Stage::Failed => 4,
        };
        if rank(told.stage) <= rank(part.stage) {
            return;
        }
        part.stage = told.stage;
        if told.stage == Stage::Failed {
            self.error_code.clone_from(&told.error_code);
            let meaning = told.error_code.as_deref().map(super::failure::explain);
            self.error = Some(meaning.unwrap_or("RingCentral could not deliver the message").to_owned());
        }
        self.settle_status(now);
    }

    /// Makes the status that of the parts.
    pub fn settle_status(&mut self, now: Timestamp) {
        let any = |stage| self.parts.iter().any(|part| part.stage == stage);
        let all = |stages: &[Stage]| self.parts.iter().all(|part| stages.contains(&part.stage));
        self.status = if any(Stage::Failed) {
            MessageStatus::Failed
        } else if any(Stage::Posted) {
            MessageStatus::Sending
        } else if any(Stage::Unknown) {
            MessageStatus::Unknown
        } else if all(&[Stage::Delivered]) {
            MessageStatus::Delivered
        } else if all(&[Stage::Sent, Stage::Delivered]) {
            MessageStatus::Sent
        } else if all(&[Stage::Waiting]) {
            MessageStatus::Queued
        } else {
            MessageStatus::Sending
        };
        self.updated_at = now;
    }

    /// Ends it without sending the rest.
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

    /// The change of its status, as the tenant's programs are told. The same change is the same event, however often it
    /// is written down.
    pub fn event(&self) -> Event {
        let data = json!({
            "messageId": self.id.as_str(),
            "status": self.status.as_str(),
            "from": self.from,
            "to": self.to,
            "userId": self.user_id,
            "rcMessageId": self.rc_id(),
            "errorCode": self.error_code,
            "error": self.error,
        });
        let seed = format!("{}\n{}\n{}", self.tenant, self.id, self.status.as_str());
        Event::repeatable(&self.tenant, EventKind::SmsStatus, self.updated_at, &seed, data)
    }
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

    fn told(stage: Stage) -> Told {
        Told { stage, error_code: (stage == Stage::Failed).then(|| "SMS-CAR-413".to_owned()) }
    }

    #[test]
    fn the_status_is_that_of_the_parts() {
        let mut message = message(&"a".repeat(1_500));
        assert_eq!(message.parts.len(), 2);
        assert_eq!(message.part_text(0).len() + message.part_text(1).len(), 1_500);
        message.note_part(0, &told(Stage::Sent), at(1));
        assert_eq!((message.status, message.next_part()), (MessageStatus::Sending, Some(1)));
        message.note_part(1, &told(Stage::Posted), at(2));
        message.note_part(1, &told(Stage::Unknown), at(3));
        assert_eq!(message.status, MessageStatus::Unknown);
        message.note_part(1, &told(Stage::Sent), at(4));
        assert_eq!(message.status, MessageStatus::Sent);
        message.note_part(0, &told(Stage::Delivered), at(5));
        message.note_part(0, &told(Stage::Sent), at(6));
        assert_eq!((message.status, message.updated_at), (MessageStatus::Sent, at(5)));
        message.note_part(1, &told(Stage::Failed), at(7));
        assert_eq!(
            (message.status, message.error_code.as_deref()),
            (MessageStatus::Failed, Some("SMS-CAR-413"))
        );
    }

    #[test]
    fn the_same_change_is_the_same_event() {
        let mut message = message("hi");
        assert_eq!(message.event(), message.event());
        let first = message.event().id;
        message.status = MessageStatus::Canceled;
        assert_ne!(message.event().id, first);
    }

    #[test]
    fn nothing_private_is_shown() {
        let shown = format!("{:?}", message("CANARY"));
        assert!(!shown.contains("CANARY") && !shown.contains("555"), "{shown}");
    }
}
