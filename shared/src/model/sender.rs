//! The state of one sender, and every decision of the worker that sends for it: when the next message may be sent, and what
//! RingCentral's response means.
//!
//! Pure functions without I/O. A simulation of a million sends drives the same code.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::consent::ConsentStatus;
use super::failure;
use super::ids::MessageId;
use super::message::{Message, MessagePart, MessageStatus, OnAmbiguous, PartStage, Resolution};
use crate::clock::saturating_add;
use crate::limits;

/// A message part that was submitted to RingCentral and whose outcome is not recorded in the message yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    pub message: MessageId,
    /// When the send began. Unique per sender, to the millisecond: it identifies the attempt.
    pub at: Timestamp,
}

impl InFlight {
    /// True if this send's outcome is recorded in `part`.
    pub fn is_recorded_in_part(&self, part: &MessagePart) -> bool {
        part.submitted_at.is_some_and(|at| at.as_millisecond() == self.at.as_millisecond())
    }

    /// True if this send's outcome is recorded in `message`.
    pub fn is_recorded_in(&self, message: &Message) -> bool {
        message.parts.iter().any(|part| self.is_recorded_in_part(part))
    }
}

/// The state of one sender. A sender is an extension, whichever of its numbers it sends from: RingCentral counts calls per
/// extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderState {
    /// When sends were made within the last window, oldest first.
    pub sends: Vec<Timestamp>,
    /// Calls that RingCentral allows per window, as its response headers report.
    pub limit: u32,
    pub window_seconds: u32,
    /// No send before this moment.
    pub paused_until: Option<Timestamp>,
    /// Consecutive sends that failed without reaching RingCentral.
    pub failures: u32,
    pub in_flight: Option<InFlight>,
    /// A message of which some parts are sent. Its other parts are sent before any other message.
    pub partly_sent: Option<MessageId>,
    /// RingCentral's message store is not queried before this moment.
    pub reconcile_after: Option<Timestamp>,
    /// When the statuses of the messages that were sent since the last time are read.
    pub statuses_due: Option<Timestamp>,
}

impl Default for SenderState {
    fn default() -> Self {
        Self {
            sends: Vec::new(),
            limit: limits::SENDS_PER_WINDOW,
            window_seconds: limits::SEND_WINDOW_SECONDS,
            paused_until: None,
            failures: 0,
            in_flight: None,
            partly_sent: None,
            reconcile_after: None,
            statuses_due: None,
        }
    }
}

/// Whether the message that was just handled has further parts to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remaining {
    /// The message's next part is sent before any other message.
    Parts,
    Nothing,
}

impl SenderState {
    /// The earliest time for the next send; `now` if it may be sent at once.
    pub fn next_send_at(&self, now: Timestamp) -> Timestamp {
        let resumes_at = self.paused_until.unwrap_or(now).max(now);
        let window = SignedDuration::from_secs(i64::from(self.window_seconds));
        let allowed = usize::try_from(self.limit.saturating_sub(limits::SENDS_RESERVED).max(1)).unwrap_or(1);
        // The send that has to leave the window before another one may enter it.
        match self.sends.len().checked_sub(allowed).and_then(|index| self.sends.get(index)) {
            Some(oldest) => saturating_add(*oldest, window).max(resumes_at),
            None => resumes_at,
        }
    }

    /// True if the last sends have failed, or there was none since this time.
    pub fn is_stalled_since(&self, since: Timestamp) -> bool {
        self.failures > 0 || self.sends.last().is_none_or(|last| *last < since)
    }

    /// Records a send attempt. It counts against the limit whatever its outcome.
    pub fn begin_send(&mut self, message: &MessageId, now: Timestamp) -> InFlight {
        self.drop_expired_sends(now);
        let earliest =
            self.sends.last().map_or(now, |last| saturating_add(*last, SignedDuration::from_millis(1)));
        let in_flight = InFlight { message: message.clone(), at: earliest.max(now) };
        self.sends.push(in_flight.at);
        self.in_flight = Some(in_flight.clone());
        in_flight
    }

    /// Records a call that is no send but counts against the same limit, unless sends may need the rest of the limit or a send is in
    /// flight. Returns when to try again otherwise.
    pub fn take_call(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.drop_expired_sends(now);
        let busy = saturating_add(now, SignedDuration::from_secs(limits::MEDIA_COPY_BUSY_SECONDS));
        let half = usize::try_from(self.limit / 2).unwrap_or(usize::MAX).max(1);
        if self.in_flight.is_some() || self.partly_sent.is_some() || self.sends.len() >= half {
            return Err(busy);
        }
        match self.next_send_at(now) {
            next if next > now => Err(next),
            _ => {
                let last = self.sends.last().copied();
                self.sends.push(last.map_or(now, |last| last.max(now)));
                Ok(())
            }
        }
    }

    /// Reverts [`SenderState::begin_send`]: the request was never made.
    pub fn abort_send(&mut self) {
        self.in_flight = None;
        self.sends.pop();
    }

    /// Reverts [`SenderState::begin_send`] for a message of which nothing more will be sent.
    pub fn discard_head(&mut self) {
        self.abort_send();
        self.partly_sent = None;
    }

    /// Ends the send whose outcome is now recorded in its message.
    pub fn complete_send(&mut self, remaining: Remaining) {
        let message = self.in_flight.take().map(|in_flight| in_flight.message);
        self.partly_sent = message.filter(|_| remaining == Remaining::Parts);
    }

    /// Applies the rate limit that a response reports. Calls of other clients for the same extension count as made now.
    pub fn update_limit(&mut self, limit: u32, remaining: u32, window_seconds: u32, now: Timestamp) {
        self.limit = limit.clamp(1, limits::SENDS_PER_WINDOW_MAX);
        self.window_seconds = window_seconds.clamp(1, limits::SEND_WINDOW_SECONDS_MAX);
        self.drop_expired_sends(now);
        let used = usize::try_from(self.limit.saturating_sub(remaining)).unwrap_or(0);
        while self.sends.len() < used {
            self.sends.push(now);
        }
    }

    /// Sends nothing before `now + wait`. Never shortens a pause.
    pub fn pause(&mut self, wait: Duration, now: Timestamp) {
        let until = saturating_add(now, SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX));
        self.paused_until = Some(self.paused_until.unwrap_or(until).max(until));
    }

    /// Pauses after a failed send. The pause doubles with each consecutive failure and is at least `retry_after`.
    fn back_off(&mut self, retry_after: Duration, now: Timestamp) {
        let seconds = limits::SEND_RETRY_SECONDS.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.pause(Duration::from_secs(seconds.min(limits::SEND_RETRY_MAX_SECONDS)).max(retry_after), now);
    }

    /// Applies the outcome of the send in flight. `jitter_ms` is random.
    pub fn apply_outcome(&mut self, outcome: &SendOutcome, jitter_ms: u64, now: Timestamp) {
        // RingCentral counted the call before now, so the call leaves RingCentral's window before it leaves ours.
        if let Some(last) = self.sends.last_mut() {
            *last = now.max(*last);
        }
        match outcome {
            SendOutcome::Accepted(_) => {
                self.failures = 0;
                let after = SignedDuration::from_secs(limits::STATUS_CHECK_SECONDS);
                self.statuses_due.get_or_insert(saturating_add(now, after));
            }
            SendOutcome::Rejected { .. } => self.failures = 0,
            SendOutcome::Ambiguous => {}
            SendOutcome::Retryable(retry_after) => self.back_off(*retry_after, now),
            SendOutcome::RateLimited(retry_after) => {
                let penalty = (*retry_after).max(Duration::from_secs(limits::PENALTY_SECONDS));
                self.pause(penalty + Duration::from_millis(jitter_ms), now);
            }
        }
    }

    /// Pauses as after a rate-limited send: the response to `in_flight` is not known and may have been a 429.
    pub fn assume_rate_limited(&mut self, in_flight: &InFlight) {
        self.pause(Duration::from_secs(limits::PENALTY_SECONDS), in_flight.at);
    }

    /// True if the statuses of sent messages are to be read now.
    pub fn are_statuses_due(&self, now: Timestamp) -> bool {
        // Delays of queue messages are rounded down to whole seconds.
        self.statuses_due.is_some_and(|due| due <= saturating_add(now, SignedDuration::from_secs(1)))
    }

    /// Whether the caller reads the statuses of sent messages now. If so, they are due again if the last send was too recent
    /// for a report.
    pub fn take_status_check(&mut self, now: Timestamp) -> StatusCheck {
        if !self.are_statuses_due(now) {
            return StatusCheck::NotDue;
        }
        let interval = SignedDuration::from_secs(limits::STATUS_CHECK_SECONDS);
        let is_recent = self.sends.last().is_some_and(|last| saturating_add(*last, interval) > now);
        self.statuses_due = is_recent.then(|| saturating_add(now, interval));
        StatusCheck::Due
    }

    fn drop_expired_sends(&mut self, now: Timestamp) {
        let window = SignedDuration::from_secs(i64::from(self.window_seconds));
        self.sends.retain(|at| saturating_add(*at, window) > now);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusCheck {
    Due,
    NotDue,
}

/// What the worker does with the message at the head of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadAction {
    /// Send the part with this index.
    Send(usize),
    /// Save the message, which has ended without being sent, and remove it from the outbox.
    SaveEnded,
    /// Remove it from the outbox: it was canceled or is complete.
    Remove,
}

/// Decides what to do with the message at the head of the sender's outbox. Ends the message if it has expired, or if its recipient has
/// opted out.
pub fn head_action(
    message: &mut Message,
    sender: &SenderState,
    recipient: ConsentStatus,
    now: Timestamp,
) -> HeadAction {
    let is_pending =
        matches!(message.status, MessageStatus::Queued | MessageStatus::Scheduled | MessageStatus::Sending);
    match message.next_part().filter(|_| is_pending) {
        None => HeadAction::Remove,
        Some(_) if message.is_expired(now) => {
            if sender.failures > 0 {
                end_unreachable(message, now);
            } else if message.is_unsubmitted() {
                message.end(MessageStatus::Expired, None, None, now);
            } else {
                let error = "The rest of the message was not sent before expiresAt".to_owned();
                message.end(MessageStatus::Failed, Some(error), None, now);
            }
            HeadAction::SaveEnded
        }
        Some(_) if recipient == ConsentStatus::OptedOut && message.confirms.is_none() => {
            let code = failure::RECIPIENT_OPTED_OUT.to_owned();
            message.end(MessageStatus::Failed, Some("Recipient has opted out".to_owned()), Some(code), now);
            HeadAction::SaveEnded
        }
        Some(part) => HeadAction::Send(part),
    }
}

/// The outcome of submitting one message part to RingCentral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// RingCentral accepted the part under this message id.
    Accepted(String),
    /// RingCentral may have accepted the part.
    Ambiguous,
    /// RingCentral rejected the part for good.
    Rejected {
        /// RingCentral's error code.
        code: Option<String>,
        /// The reason, as a sentence for the tenant.
        error: String,
        /// RingCentral's message id, if it created a message that failed at once.
        rc_id: Option<String>,
    },
    /// The part was not sent and may be sent again after this wait.
    Retryable(Duration),
    /// The call exceeded the rate limit; no call is allowed for this long.
    RateLimited(Duration),
}

/// How a send's outcome changes its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageUpdate {
    /// Save the message: the part was accepted. The message stays in the outbox if parts are left.
    Accepted,
    /// Save the message, which has ended.
    Ended,
    /// Save the message, remove it from the outbox, and reconcile it at this moment.
    ReconcileAt(Timestamp),
    /// Save nothing: the message stays where it is.
    Unchanged,
    /// Save nothing: the outcome was recorded earlier. Only the steps that follow it may be missing.
    AlreadyRecorded,
}

/// Records the outcome of a send in its message. Idempotent: it may be repeated with a newer version of the message, and
/// with [`SendOutcome::Ambiguous`] by a worker that takes over from one that crashed.
pub fn record_outcome(
    message: &mut Message,
    in_flight: &InFlight,
    outcome: &SendOutcome,
    now: Timestamp,
) -> MessageUpdate {
    if in_flight.is_recorded_in(message) {
        return MessageUpdate::AlreadyRecorded;
    }
    // A message that was canceled, or that had ended or was held when the send began, was not submitted.
    let is_blocked = message.error_code.as_deref() == Some(failure::RECIPIENT_OPTED_OUT);
    let has_ended = is_blocked || matches!(message.status, MessageStatus::Canceled | MessageStatus::Expired);
    let was_submitted = !has_ended && message.held_for.is_none() && !message.is_expired(in_flight.at);
    let Some(part) = message.next_part().filter(|_| was_submitted) else {
        return MessageUpdate::Unchanged;
    };
    let update_part = |message: &mut Message, stage, rc_id: Option<&String>| {
        if let Some(part) = message.parts.get_mut(part) {
            part.stage = stage;
            part.rc_id = rc_id.cloned();
            part.submitted_at = Some(in_flight.at);
        }
        message.attempts = message.attempts.saturating_add(1);
        message.update_status(now);
    };
    match outcome {
        SendOutcome::Accepted(rc_id) => {
            update_part(message, PartStage::Sent, Some(rc_id));
            MessageUpdate::Accepted
        }
        SendOutcome::Ambiguous => {
            update_part(message, PartStage::Submitted, None);
            MessageUpdate::ReconcileAt(reconcile_at(in_flight.at))
        }
        SendOutcome::Rejected { code, error, rc_id } => {
            update_part(message, PartStage::Failed, rc_id.as_ref());
            message.end(MessageStatus::Failed, Some(error.clone()), code.clone(), now);
            MessageUpdate::Ended
        }
        SendOutcome::Retryable(_) => {
            let due_at = message.send_at.unwrap_or(message.created_at).max(message.created_at);
            if now <= saturating_add(due_at, SignedDuration::from_secs(limits::SEND_GIVE_UP_SECONDS)) {
                return MessageUpdate::Unchanged;
            }
            update_part(message, PartStage::Failed, None);
            end_unreachable(message, now);
            MessageUpdate::Ended
        }
        SendOutcome::RateLimited(_) => MessageUpdate::Unchanged,
    }
}

/// Ends a message that could not be sent for as long as it was allowed to wait.
fn end_unreachable(message: &mut Message, now: Timestamp) {
    let error = "RingCentral could not be reached".to_owned();
    message.end(MessageStatus::Failed, Some(error), Some(failure::UNREACHABLE.to_owned()), now);
}

/// When a part that was submitted at this moment without a response is reconciled: no earlier than it can have arrived.
pub fn reconcile_at(submitted_at: Timestamp) -> Timestamp {
    saturating_add(submitted_at, SignedDuration::from_secs(limits::RECONCILE_AFTER_SECONDS))
}

/// What RingCentral's message store shows of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartContent {
    pub from: String,
    pub to: String,
    pub text: String,
    /// The media types of its files, sorted.
    pub media: Vec<String>,
}

/// A submitted part whose outcome is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmbiguousPart {
    pub content: PartContent,
    pub submitted_at: Timestamp,
}

/// A record of RingCentral's message store that is not correlated with any message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncorrelatedRecord {
    pub content: PartContent,
    /// When RingCentral created it.
    pub created_at: Timestamp,
}

/// Matches parts with records of the same numbers and text that were created while the part can have arrived. Returns the
/// index of each part's record. Each record is matched once, and as many parts as possible get one.
pub fn match_records(parts: &[AmbiguousPart], records: &[UncorrelatedRecord]) -> Vec<Option<usize>> {
    let before = SignedDuration::from_secs(limits::CLOCK_SKEW_SECONDS);
    let mut parts_by_time: Vec<usize> = (0..parts.len()).collect();
    parts_by_time.sort_by_key(|index| parts[*index].submitted_at);
    let mut records_by_time: Vec<usize> = (0..records.len()).collect();
    records_by_time.sort_by_key(|index| records[*index].created_at);
    let mut is_matched = vec![false; records.len()];
    let mut matches = vec![None; parts.len()];
    // All windows have the same length, so taking the earliest record that fits leaves the most for later parts.
    for index in parts_by_time {
        let part = &parts[index];
        let fits = |candidate: &&usize| {
            let record = &records[**candidate];
            record.content == part.content
                && saturating_add(record.created_at, before) >= part.submitted_at
                && record.created_at <= reconcile_at(part.submitted_at)
        };
        let found = records_by_time.iter().filter(|record| !is_matched[**record]).find(fits).copied();
        if let Some(record) = found {
            is_matched[record] = true;
            matches[index] = Some(record);
        }
    }
    matches
}

/// Applies the result of a reconciliation to a submitted part: the id of its record, `None` if the message store has none.
pub fn apply_reconciliation(
    message: &mut Message,
    part: usize,
    rc_id: Option<&str>,
    now: Timestamp,
) -> Remaining {
    let resend = message.on_ambiguous == OnAmbiguous::Resend && !message.is_expired(now);
    if let Some(part) = message.parts.get_mut(part).filter(|part| part.stage == PartStage::Submitted) {
        match rc_id {
            Some(rc_id) => {
                part.stage = PartStage::Sent;
                part.rc_id = Some(rc_id.to_owned());
            }
            None if resend => part.stage = PartStage::Waiting,
            None => part.stage = PartStage::Unknown,
        }
    }
    message.update_status(now);
    if message.status == MessageStatus::Unknown {
        message.error =
            Some("RingCentral's response was lost, and its message store does not show the message".into());
    }
    let is_pending = matches!(message.status, MessageStatus::Queued | MessageStatus::Sending);
    if is_pending && message.next_part().is_some() { Remaining::Parts } else { Remaining::Nothing }
}

/// The message's outcome is not unknown, so there is nothing to resolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUnknown;

/// Applies the tenant's decision about a message with an unknown outcome.
///
/// # Errors
/// [`NotUnknown`] for a message of any other status, which is left unchanged.
pub fn resolve(message: &mut Message, resolution: Resolution, now: Timestamp) -> Result<(), NotUnknown> {
    if message.status != MessageStatus::Unknown {
        return Err(NotUnknown);
    }
    for part in message.parts.iter_mut().filter(|part| part.stage == PartStage::Unknown) {
        part.stage = match resolution {
            Resolution::Resend => PartStage::Waiting,
            Resolution::Drop => PartStage::Failed,
        };
    }
    match resolution {
        Resolution::Resend => {
            message.error = None;
            message.update_status(now);
        }
        Resolution::Drop => {
            let error = "Given up after RingCentral's response was lost".to_owned();
            message.end(MessageStatus::Failed, Some(error), None, now);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the intervals between sends are, a check follows each of them when its report can be expected.
        #[test]
        fn the_status_of_each_message_is_read_once_between_20_and_40_seconds_after_it_was_sent(
            gaps in proptest::collection::vec(0_i64..120, 1..60)
        ) {
            let begin = Timestamp::from_second(1_800_000_000).unwrap();
            let at = |seconds: i64| begin + SignedDuration::from_secs(seconds);
            let id = MessageId::generate(begin);
            let (mut sender, mut sends, mut checks) = (SenderState::default(), Vec::new(), Vec::new());
            let mut last = 0;
            for gap in gaps.into_iter().map(Some).chain([None]) {
                let next = gap.map(|gap| last + gap);
                while let Some(due) = sender.statuses_due.filter(|due| next.is_none_or(|next| *due <= at(next))) {
                    prop_assert_eq!(sender.take_status_check(due), StatusCheck::Due);
                    prop_assert_eq!(sender.take_status_check(due), StatusCheck::NotDue, "once");
                    checks.push(due);
                }
                let Some(next) = next else { break };
                sender.begin_send(&id, at(next));
                sender.apply_outcome(&SendOutcome::Accepted("1".to_owned()), 0, at(next));
                sender.complete_send(Remaining::Nothing);
                sends.push(at(next));
                last = next;
            }
            for sent in sends {
                let mut waits = checks.iter().map(|check| check.duration_since(sent).as_secs());
                prop_assert!(waits.any(|wait| (20..=40).contains(&wait)), "{sent}: {checks:?}");
            }
            prop_assert!(checks.windows(2).all(|two| two[1].duration_since(two[0]).as_secs() >= 20));
        }
    }
}
