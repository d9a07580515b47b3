//! The worker's decisions (`shared::model::sender`), driven through many sends with lost responses and crashes against a
//! model of RingCentral that counts calls and stores messages. No message may be sent twice or lost, and no call may exceed
//! the rate limit.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::model::consent::ConsentStatus;
use shared::model::ids::{ExtensionId, TenantId};
use shared::model::message::{Message, MessageStatus, PartStage};
use shared::model::sender::{
    self, AmbiguousPart, HeadAction, InFlight, MessageUpdate, PartContent, Remaining, SendOutcome,
    SenderState, UncorrelatedRecord,
};

use crate::random::Random;

const FROM: &str = "+14155550100";
const TO: &str = "+16505550111";
const LIMIT: usize = 40;
const LEASE_MS: i64 = 70_000;

/// The rates of failures, in thousandths.
#[derive(Debug, Clone, Copy)]
pub struct FailureRates {
    /// The response is lost; in half of the cases the message was sent.
    pub lost: u64,
    /// The worker crashes: before the call, after it, or between two writes.
    pub crash: u64,
    /// RingCentral rejects the message, or cannot be reached.
    pub rejected: u64,
    /// Another client calls RingCentral for the same extension.
    pub other_clients: u64,
}

/// The result of a simulation.
#[derive(Debug, Default)]
pub struct SimulationReport {
    pub by_status: BTreeMap<&'static str, usize>,
    /// Messages that RingCentral has sent.
    pub records: usize,
    /// Texts that RingCentral has sent more often, or less often, than messages say.
    pub wrong: usize,
    pub rate_limited: usize,
    pub lost_responses: usize,
    pub crashes: usize,
    pub minutes: f64,
    /// The share of the allowed sends that was used.
    pub used: f64,
}

#[derive(Default)]
struct RingCentral {
    window: VecDeque<Timestamp>,
    records: Vec<Record>,
    rate_limited: usize,
}

struct Record {
    id: String,
    text: String,
    at: Timestamp,
    is_correlated: bool,
}

fn after(at: Timestamp, ms: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(ms)).unwrap()
}

impl RingCentral {
    fn calls_in_window(&mut self, now: Timestamp) -> usize {
        while self.window.front().is_some_and(|at| after(*at, 60_000) <= now) {
            self.window.pop_front();
        }
        self.window.len()
    }

    /// Counts a call. False if it exceeds the rate limit.
    fn call(&mut self, now: Timestamp) -> bool {
        let is_allowed = self.calls_in_window(now) < LIMIT;
        if is_allowed {
            self.window.push_back(now);
        } else {
            self.rate_limited += 1;
        }
        is_allowed
    }

    fn store(&mut self, text: &str, at: Timestamp) -> String {
        let id = self.records.len().to_string();
        self.records.push(Record { id: id.clone(), text: text.to_owned(), at, is_correlated: false });
        id
    }

    fn correlate(&mut self, id: &str) {
        let index: usize = id.parse().unwrap();
        let was_correlated = std::mem::replace(&mut self.records[index].is_correlated, true);
        assert!(!was_correlated, "a record is correlated twice");
    }

    fn uncorrelated_since(&self, since: Timestamp) -> Vec<&Record> {
        // Records are nearly in order of time: those that are wanted are among the last.
        let recent = self.records.iter().rev().take(2_000);
        recent.filter(|record| !record.is_correlated && record.at >= since).collect()
    }
}

struct Run {
    random: Random,
    rates: FailureRates,
    now: Timestamp,
    sender: SenderState,
    platform: RingCentral,
    outbox: VecDeque<Message>,
    reconciling: Vec<(Timestamp, Message)>,
    done: Vec<Message>,
    report: SimulationReport,
}

/// Sends this many messages. A tenth of them have the same text as others.
pub fn simulate(sends: usize, rates: FailureRates, seed: u64) -> SimulationReport {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let tenant = TenantId::generate();
    let extension = ExtensionId::parse("101").unwrap();
    let message = |at: usize| {
        let body = if at.is_multiple_of(10) { format!("Same {}", at % 50) } else { format!("No. {at}") };
        Message::outbound(tenant.clone(), extension.clone(), FROM.into(), TO.into(), body, None, now)
    };
    let mut run = Run {
        random: Random(seed | 1),
        rates,
        now,
        sender: SenderState::default(),
        platform: RingCentral::default(),
        outbox: VecDeque::new(),
        reconciling: Vec::new(),
        done: Vec::new(),
        report: SimulationReport::default(),
    };
    let mut accepted = 0;
    while accepted < sends || !run.outbox.is_empty() || !run.reconciling.is_empty() {
        // The outbox holds about as many messages as can be sent in a minute.
        while accepted < sends && run.outbox.len() < 40 {
            run.outbox.push_back(message(accepted));
            accepted += 1;
        }
        run.step();
    }
    run.evaluate(now, sends)
}

impl Run {
    fn step(&mut self) {
        self.reconcile();
        let next_send_at = self.sender.next_send_at(self.now);
        if self.outbox.is_empty() {
            let next = self.reconciling.iter().map(|(at, _)| *at).min();
            self.now = next.unwrap_or(self.now).max(self.now);
            return;
        }
        if next_send_at > self.now {
            self.now = next_send_at;
            return;
        }
        let is_other_client = self.random.chance(self.rates.other_clients);
        if is_other_client && self.platform.calls_in_window(self.now) < LIMIT {
            self.platform.call(self.now);
        }
        let mut message = self.outbox.pop_front().unwrap();
        let in_flight = self.sender.begin_send(&message.id, self.now);
        match sender::head_action(&mut message, &self.sender, ConsentStatus::Unknown, in_flight.at) {
            HeadAction::Send(part) => self.send(message, part, &in_flight),
            HeadAction::SaveEnded | HeadAction::Remove => panic!("no message expires or is canceled here"),
        }
    }

    fn send(&mut self, mut message: Message, part: usize, in_flight: &InFlight) {
        let crash = self.random.chance(self.rates.crash).then(|| self.random.next() % 3);
        if crash == Some(0) {
            return self.crash(message, in_flight);
        }
        let latency = 20 + i64::try_from(self.random.next() % 280).unwrap();
        self.now = after(self.now, latency / 2);
        let arrived = self.now;
        let outcome = self.submit(&message, part);
        self.now = after(self.now, latency / 2);
        if crash == Some(1) {
            return self.crash(message, in_flight);
        }
        self.sender.apply_outcome(&outcome, 1_000, self.now);
        let update = sender::record_outcome(&mut message, in_flight, &outcome, self.now);
        let remaining = LIMIT.saturating_sub(self.platform.calls_in_window(arrived));
        self.sender.update_limit(LIMIT.try_into().unwrap(), remaining.try_into().unwrap(), 60, self.now);
        if let SendOutcome::Accepted(id) = &outcome {
            // The message is saved; this worker or the next one correlates the record.
            if crash == Some(2) {
                return self.crash(message, in_flight);
            }
            self.platform.correlate(id);
        }
        self.sender.complete_send(Remaining::Nothing);
        self.apply(message, update);
    }

    fn submit(&mut self, message: &Message, part: usize) -> SendOutcome {
        if !self.platform.call(self.now) {
            return SendOutcome::RateLimited(Duration::from_secs(60));
        }
        let text = message.part_text(part);
        if self.random.chance(self.rates.lost) {
            if self.random.chance(500) {
                // It may arrive late.
                let late = i64::try_from(self.random.next() % 60_000).unwrap();
                self.platform.store(text, after(self.now, late));
            }
            return SendOutcome::Ambiguous;
        }
        if self.random.chance(self.rates.rejected) {
            let rejected =
                SendOutcome::Rejected { code: Some("MSG-242".into()), error: "no".into(), rc_id: None };
            return if self.random.chance(500) { rejected } else { SendOutcome::Retryable(Duration::ZERO) };
        }
        SendOutcome::Accepted(self.platform.store(text, self.now))
    }

    /// The worker crashes, or its writes fail, with a send in flight; the next worker recovers it.
    fn crash(&mut self, mut message: Message, in_flight: &InFlight) {
        self.report.crashes += 1;
        self.now = after(self.now, LEASE_MS);
        self.sender.apply_outcome(&SendOutcome::Ambiguous, 0, self.now);
        let update = sender::record_outcome(&mut message, in_flight, &SendOutcome::Ambiguous, self.now);
        if update == MessageUpdate::AlreadyRecorded {
            self.platform.correlate(message.rc_id().unwrap());
        } else {
            self.sender.assume_rate_limited(in_flight);
        }
        self.sender.complete_send(Remaining::Nothing);
        self.apply(message, update);
    }

    fn apply(&mut self, message: Message, update: MessageUpdate) {
        match update {
            MessageUpdate::Accepted | MessageUpdate::Ended | MessageUpdate::AlreadyRecorded => {
                self.done.push(message);
            }
            MessageUpdate::Unchanged => self.outbox.push_front(message),
            MessageUpdate::ReconcileAt(at) => {
                self.report.lost_responses += 1;
                self.reconciling.push((at, message));
            }
        }
    }

    fn reconcile(&mut self) {
        let now = self.now;
        let (due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.reconciling).into_iter().partition(|(at, _)| *at <= now);
        self.reconciling = waiting;
        if due.is_empty() {
            return;
        }
        let content = |text: &str| PartContent {
            from: FROM.to_owned(),
            to: TO.to_owned(),
            text: text.to_owned(),
            media: Vec::new(),
        };
        let parts: Vec<AmbiguousPart> = due
            .iter()
            .map(|(_, message)| AmbiguousPart {
                content: content(&message.body),
                submitted_at: message.parts[0].submitted_at.unwrap(),
            })
            .collect();
        let since = parts.iter().map(|part| part.submitted_at).min().unwrap();
        let found = self.platform.uncorrelated_since(since);
        let ids: Vec<String> = found.iter().map(|record| record.id.clone()).collect();
        let records: Vec<UncorrelatedRecord> = found
            .iter()
            .map(|record| UncorrelatedRecord { content: content(&record.text), created_at: record.at })
            .collect();
        let matches = sender::match_records(&parts, &records);
        for ((_, mut message), found) in due.into_iter().zip(matches) {
            let rc_id = found.map(|index| ids[index].clone());
            if let Some(id) = &rc_id {
                self.platform.correlate(id);
            }
            assert_eq!(
                sender::apply_reconciliation(&mut message, 0, rc_id.as_deref(), now),
                Remaining::Nothing,
                "nothing is resent automatically"
            );
            self.done.push(message);
        }
    }

    fn evaluate(mut self, began: Timestamp, sends: usize) -> SimulationReport {
        let mut texts: BTreeMap<&str, i64> = BTreeMap::new();
        for record in &self.platform.records {
            *texts.entry(&record.text).or_default() += 1;
        }
        for message in &self.done {
            *self.report.by_status.entry(message.status.as_str()).or_default() += 1;
            let is_sent = message.status == MessageStatus::Sent;
            let ended = [MessageStatus::Sent, MessageStatus::Failed, MessageStatus::Unknown];
            let stages = [PartStage::Sent, PartStage::Failed, PartStage::Unknown];
            assert!(ended.contains(&message.status) && stages.contains(&message.parts[0].stage));
            if is_sent {
                *texts.entry(&message.body).or_default() -= 1;
            }
        }
        assert_eq!(self.done.len(), sends, "every message has a final status");
        self.report.wrong = texts.values().filter(|count| **count != 0).count();
        self.report.records = self.platform.records.len();
        self.report.rate_limited = self.platform.rate_limited;
        self.report.minutes = self.now.duration_since(began).as_secs_f64() / 60.0;
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let (made, allowed) = (self.done.len() as f64, self.report.minutes * LIMIT as f64);
        self.report.used = made / allowed;
        self.report
    }
}

/// The failure rates of the test and of the simulation of a million sends.
pub const BAD_DAY: FailureRates = FailureRates { lost: 50, crash: 10, rejected: 20, other_clients: 5 };

#[test]
fn no_message_is_sent_twice_or_lost_on_a_bad_day() {
    let report = simulate(20_000, BAD_DAY, 7);
    assert_eq!((report.wrong, report.rate_limited), (0, 0), "{report:?}");
    assert!(report.lost_responses > 800 && report.crashes > 100, "{report:?}");
    assert!(report.by_status["unknown"] > 300 && report.by_status["sent"] > 18_000, "{report:?}");
}

#[test]
fn nearly_all_of_the_rate_limit_is_used_and_never_exceeded() {
    let calm = FailureRates { lost: 0, crash: 0, rejected: 0, other_clients: 0 };
    // More than a simulated day.
    let report = simulate(60_000, calm, 11);
    assert!(report.minutes > 24.0 * 60.0 && report.used >= 0.95, "{report:?}");
    assert_eq!((report.wrong, report.rate_limited), (0, 0), "{report:?}");
}
