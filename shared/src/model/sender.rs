//! The lane of one sender: when its next text may go, and what RingCentral's answer means for it.
//!
//! These are all decisions of the worker, without its calls. A simulation of a million sends drives the same code.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::ids::MessageId;
use super::message::{Message, MessageStatus, OnAmbiguous, Part, Stage};
use crate::clock::saturating_add;
use crate::limits;

/// A part that was handed to RingCentral, and whose answer is not written down yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flight {
    /// The message.
    pub message: MessageId,
    /// Since when. No other part of any message of the lane has the same moment, to the millisecond.
    pub at: Timestamp,
}

impl Flight {
    /// True if this is the part, and what became of it is written down in it.
    pub fn is_of(&self, part: &Part) -> bool {
        part.posted_at.is_some_and(|at| at.as_millisecond() == self.at.as_millisecond())
    }

    /// True if what became of it is written down in the message.
    pub fn is_in(&self, message: &Message) -> bool {
        message.parts.iter().any(|part| self.is_of(part))
    }
}

/// The lane of one sender: of an extension, whatever number it sends from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// When it has sent, within the last window, the oldest first.
    pub sends: Vec<Timestamp>,
    /// Calls that RingCentral allows in a window, as its answers tell.
    pub limit: u32,
    /// How long the window is.
    pub window_seconds: u32,
    /// Nothing is sent before this moment.
    pub closed_until: Option<Timestamp>,
    /// How often in a row nothing could be sent.
    pub failures: u32,
    /// What is on its way, until what became of it is written down.
    pub flight: Option<Flight>,
    /// A text of which a part has gone out: the rest of it goes before all others.
    pub begun: Option<MessageId>,
    /// RingCentral's message store is not asked before this moment.
    pub look_after: Option<Timestamp>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            sends: Vec::new(),
            limit: limits::SENDS_PER_WINDOW,
            window_seconds: limits::SEND_WINDOW_SECONDS,
            closed_until: None,
            failures: 0,
            flight: None,
            begun: None,
            look_after: None,
        }
    }
}

impl Lane {
    /// When the next text may go: now, or later.
    pub fn opens_at(&self, now: Timestamp) -> Timestamp {
        let gate = self.closed_until.unwrap_or(now).max(now);
        let window = SignedDuration::from_secs(i64::from(self.window_seconds));
        let most = usize::try_from(self.limit.saturating_sub(limits::SENDS_LEFT_FREE).max(1)).unwrap_or(1);
        // The one that has to leave the window before another may come.
        match self.sends.len().checked_sub(most).and_then(|at| self.sends.get(at)) {
            Some(oldest) => saturating_add(*oldest, window).max(gate),
            None => gate,
        }
    }

    /// A part goes: it is counted from here on, whatever becomes of it.
    pub fn depart(&mut self, message: &MessageId, now: Timestamp) -> Flight {
        self.forget_old(now);
        let last =
            self.sends.last().map_or(now, |last| saturating_add(*last, SignedDuration::from_millis(1)));
        let flight = Flight { message: message.clone(), at: last.max(now) };
        self.sends.push(flight.at);
        self.flight = Some(flight.clone());
        flight
    }

    /// Nothing went after all.
    pub fn stay(&mut self) {
        self.flight = None;
        self.sends.pop();
    }

    /// Nothing went, and nothing more of the same text will.
    pub fn skip(&mut self) {
        self.stay();
        self.begun = None;
    }

    /// What became of the flight is written down. If parts of its message are left, they are next.
    pub fn land(&mut self, goes_on: bool) {
        self.begun = self.flight.take().map(|flight| flight.message).filter(|_| goes_on);
    }

    /// Follows what an answer tells of the limit. Calls that others made with the same extension count as made just now.
    pub fn learn(&mut self, limit: u32, remaining: u32, window_seconds: u32, now: Timestamp) {
        self.limit = limit.max(1);
        self.window_seconds = window_seconds.clamp(1, 3_600);
        self.forget_old(now);
        let used = usize::try_from(limit.saturating_sub(remaining)).unwrap_or(0).min(1_000);
        while self.sends.len() < used {
            self.sends.push(now);
        }
    }

    /// Nothing is sent for a while.
    pub fn close(&mut self, wait: Duration, now: Timestamp) {
        let until = saturating_add(now, SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX));
        self.closed_until = Some(self.closed_until.unwrap_or(until).max(until));
    }

    /// Nothing could be sent: the next attempt comes after a pause that doubles, and not before RingCentral wants it.
    fn back_off(&mut self, wanted: Duration, now: Timestamp) {
        let pause = limits::SEND_RETRY_SECONDS.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.close(Duration::from_secs(pause.min(limits::SEND_RETRY_MAX_SECONDS)).max(wanted), now);
    }

    /// What an answer means for the lane. `jitter` is a random number of milliseconds.
    pub fn heed(&mut self, answer: &Answer, jitter: u64, now: Timestamp) {
        // RingCentral has counted the call before now, so it leaves RingCentral's window before it leaves ours.
        if let Some(last) = self.sends.last_mut() {
            *last = now.max(*last);
        }
        match answer {
            Answer::Taken(_) | Answer::Refused { .. } => self.failures = 0,
            Answer::Lost => {}
            Answer::NotSent(wanted) => self.back_off(*wanted, now),
            Answer::TooMany(wait) => {
                let silence = (*wait).max(Duration::from_secs(limits::PENALTY_SECONDS));
                self.close(silence + Duration::from_millis(jitter), now);
            }
        }
    }

    /// The answer to a flight is not known, so it may have been a call too many.
    pub fn heed_silence(&mut self, flight: &Flight) {
        self.close(Duration::from_secs(limits::PENALTY_SECONDS), flight.at);
    }

    fn forget_old(&mut self, now: Timestamp) {
        let window = SignedDuration::from_secs(i64::from(self.window_seconds));
        self.sends.retain(|at| saturating_add(*at, window) > now);
    }
}

/// What is to be done with a message whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Send this part.
    Send(usize),
    /// It has ended without being sent, and its row is to be written.
    Ended,
    /// It was taken back, or is done: it only has to leave the queue.
    Gone,
}

/// What is to be done with a message whose turn it is.
pub fn turn(message: &mut Message, now: Timestamp) -> Turn {
    let waits =
        matches!(message.status, MessageStatus::Queued | MessageStatus::Scheduled | MessageStatus::Sending);
    match message.next_part().filter(|_| waits) {
        None => Turn::Gone,
        Some(_) if message.is_expired(now) => {
            let begun = !message.is_unposted();
            let status = if begun { MessageStatus::Failed } else { MessageStatus::Expired };
            let error = begun.then(|| "The rest of the message was not sent before expiresAt".to_owned());
            message.end(status, error, None, now);
            Turn::Ended
        }
        Some(part) => Turn::Send(part),
    }
}

/// What came of handing a part to RingCentral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was taken, under this id.
    Taken(String),
    /// It may have been taken.
    Lost,
    /// It was refused for good.
    Refused {
        /// RingCentral's code.
        code: Option<String>,
        /// Why, in a sentence.
        error: String,
    },
    /// It surely did not go out, and may be sent again after so long.
    NotSent(Duration),
    /// It was one call too many: silence for so long.
    TooMany(Duration),
}

/// What is to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The message, which has come further. It stays in the queue if parts are left.
    Taken,
    /// The message, which has ended.
    Ended,
    /// The message, which leaves the queue and is looked for at this moment.
    Lost(Timestamp),
    /// Nothing: it stays where it is.
    Stays,
    /// Nothing: it was written down before, and only what follows from it may be missing.
    Written,
}

/// Notes in the message what became of a flight. It may be asked again with the message as somebody else has changed it
/// meanwhile, and with [`Answer::Lost`] by a worker that takes over from one that died.
pub fn note(message: &mut Message, flight: &Flight, answer: &Answer, now: Timestamp) -> Verdict {
    if flight.is_in(message) {
        return Verdict::Written;
    }
    // What was taken back or had expired at that moment was never handed over.
    let ended = matches!(message.status, MessageStatus::Canceled | MessageStatus::Expired);
    let Some(part) = message.next_part().filter(|_| !ended && !message.is_expired(flight.at)) else {
        return Verdict::Stays;
    };
    let put = |message: &mut Message, stage, rc_id: Option<&String>| {
        if let Some(part) = message.parts.get_mut(part) {
            part.stage = stage;
            part.rc_id = rc_id.cloned();
            part.posted_at = Some(flight.at);
        }
        message.attempts = message.attempts.saturating_add(1);
        message.settle_status(now);
    };
    match answer {
        Answer::Taken(rc_id) => {
            put(message, Stage::Sent, Some(rc_id));
            Verdict::Taken
        }
        Answer::Lost => {
            put(message, Stage::Posted, None);
            Verdict::Lost(saturating_add(flight.at, SignedDuration::from_secs(limits::SETTLE_SECONDS)))
        }
        Answer::Refused { code, error } => {
            put(message, Stage::Failed, None);
            message.end(MessageStatus::Failed, Some(error.clone()), code.clone(), now);
            Verdict::Ended
        }
        Answer::NotSent(_) => {
            let begin = message.send_at.unwrap_or(message.created_at).max(message.created_at);
            if now <= saturating_add(begin, SignedDuration::from_secs(limits::SENDING_GIVEN_UP_SECONDS)) {
                return Verdict::Stays;
            }
            put(message, Stage::Failed, None);
            let error = "RingCentral could not be reached".to_owned();
            message.end(MessageStatus::Failed, Some(error), None, now);
            Verdict::Ended
        }
        Answer::TooMany(_) => Verdict::Stays,
    }
}

/// A part whose answer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The number that it was sent from, the number that it was sent to, and its exact text.
    pub same: (String, String, String),
    /// When it was handed over.
    pub at: Timestamp,
}

/// A record of RingCentral's message store that is tied to no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The numbers and the text.
    pub same: (String, String, String),
    /// When RingCentral has made it.
    pub at: Timestamp,
}

/// Which record is which lost part: same numbers, same text, made within the time in which the part can have arrived.
/// Each record is taken once, and as many parts as possible get one.
pub fn find(lost: &[Lost], seen: &[Seen]) -> Vec<Option<usize>> {
    let before = SignedDuration::from_secs(limits::CLOCK_SKEW_SECONDS);
    let after = SignedDuration::from_secs(limits::SETTLE_SECONDS);
    let mut order: Vec<usize> = (0..lost.len()).collect();
    order.sort_by_key(|at| lost[*at].at);
    let mut records: Vec<usize> = (0..seen.len()).collect();
    records.sort_by_key(|at| seen[*at].at);
    let mut taken = vec![false; seen.len()];
    let mut found = vec![None; lost.len()];
    // All windows are of one length, so the earliest that fits leaves the most for those that come later.
    for at in order {
        let part = &lost[at];
        let fits = |record: &&usize| {
            let record = &seen[**record];
            record.same == part.same
                && saturating_add(record.at, before) >= part.at
                && record.at <= saturating_add(part.at, after)
        };
        let record = records.iter().filter(|record| !taken[**record]).find(fits).copied();
        if let Some(record) = record {
            taken[record] = true;
            found[at] = Some(record);
        }
    }
    found
}

/// What follows from a look into the message store: what it shows of a part whose answer was lost, by RingCentral's id.
/// True if parts are left to be sent.
pub fn looked(message: &mut Message, part: usize, found: Option<&str>, now: Timestamp) -> bool {
    let resend = message.on_ambiguous == OnAmbiguous::Resend && !message.is_expired(now);
    if let Some(part) = message.parts.get_mut(part).filter(|part| part.stage == Stage::Posted) {
        match found {
            Some(rc_id) => {
                part.stage = Stage::Sent;
                part.rc_id = Some(rc_id.to_owned());
            }
            None if resend => part.stage = Stage::Waiting,
            None => part.stage = Stage::Unknown,
        }
    }
    message.settle_status(now);
    if message.status == MessageStatus::Unknown {
        message.error =
            Some("RingCentral's answer was lost, and its message store does not show the message".into());
    }
    message.next_part().is_some() && matches!(message.status, MessageStatus::Queued | MessageStatus::Sending)
}

/// What the tenant decides about a message whose fate is unknown. False if it is not.
pub fn decide(message: &mut Message, resend: bool, now: Timestamp) -> bool {
    if message.status != MessageStatus::Unknown {
        return false;
    }
    for part in message.parts.iter_mut().filter(|part| part.stage == Stage::Unknown) {
        part.stage = if resend { Stage::Waiting } else { Stage::Failed };
    }
    if resend {
        message.error = None;
        message.settle_status(now);
    } else {
        let error = "Given up after RingCentral's answer was lost".to_owned();
        message.end(MessageStatus::Failed, Some(error), None, now);
    }
    true
}
