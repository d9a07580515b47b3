//! The production decisions about consents (`shared::model::consent`) and sending (`shared::model::sender`) in random schedules of
//! requests, opt-outs, opt-ins, steps of the worker and restarts: no send begins after an opt-out was stored.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use shared::model::consent::{
    ConsentPair, ConsentReport, ConsentReporter, ConsentSource, ConsentStatus, ConsentUpdate, Replaces,
    StoredConsent,
};
use shared::model::ids::{ExtensionId, TenantId};
use shared::model::message::{Message, MessageStatus};
use shared::model::phone::E164;
use shared::model::sender::{self, HeadAction, InFlight, MessageUpdate, Remaining, SendOutcome, SenderState};

use crate::random::Random;

/// What a worker has done for the message at the head of the outbox. It may be killed after each step.
#[derive(Clone)]
enum Step {
    Idle,
    Claimed(InFlight),
    /// The consent was read at this moment.
    Decided(Timestamp, InFlight, Box<Message>, HeadAction),
}

struct Schedule {
    random: Random,
    now: Timestamp,
    tenant: TenantId,
    pair: ConsentPair,
    consent: StoredConsent,
    sender: SenderState,
    outbox: VecDeque<Message>,
    step: Step,
    /// When the consent was read for sends that reached RingCentral: from then on a send is under way.
    sends: Vec<Timestamp>,
    /// When opt-outs and opt-ins came into force.
    statuses: Vec<(Timestamp, ConsentStatus)>,
    blocked: usize,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let number = |text| E164::parse(text).unwrap();
        Self {
            random: Random(seed | 1),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            tenant: TenantId::generate(),
            pair: ConsentPair::of_number(number("+14155550100"), number("+16505550111")),
            consent: StoredConsent::Absent,
            sender: SenderState::default(),
            outbox: VecDeque::new(),
            step: Step::Idle,
            sends: Vec::new(),
            statuses: Vec::new(),
            blocked: 0,
        }
    }

    fn status(&self) -> ConsentStatus {
        match &self.consent {
            StoredConsent::Readable(consent) => consent.state.status(),
            StoredConsent::Absent | StoredConsent::Unreadable => ConsentStatus::Unknown,
        }
    }

    fn run(mut self) -> Self {
        for _ in 0..60 {
            self.now = self.now.checked_add(SignedDuration::from_secs(2)).unwrap();
            match self.random.below(10) {
                0 | 1 => self.request(),
                2 => self.keyword(ConsentStatus::OptedOut),
                3 => self.keyword(ConsentStatus::OptedIn),
                4 => self.restart(),
                _ => self.work(),
            }
        }
        self
    }

    /// The transaction that accepts a message tests the consent.
    fn request(&mut self) {
        if self.status() == ConsentStatus::OptedOut {
            self.blocked += 1;
            return;
        }
        let extension = ExtensionId::parse("101").unwrap();
        let (from, to) = (self.pair.scope.from().unwrap().to_string(), self.pair.to.to_string());
        let message = Message::outbound(self.tenant.clone(), extension, from, to, "x".into(), None, self.now);
        self.outbox.push_back(message);
    }

    /// The message may be older than others that were stored before.
    fn keyword(&mut self, status: ConsentStatus) {
        let reporter =
            [ConsentReporter::Recipient, ConsentReporter::RecipientToGateway][self.random.below(2)];
        let late = i64::try_from(self.random.below(3)).unwrap() * 3;
        let at = self.now.checked_sub(SignedDuration::from_secs(late)).unwrap();
        let report = ConsentReport { status, source: ConsentSource::Keyword, reporter, at };
        let update = ConsentUpdate::of(&self.tenant, &self.pair, &self.consent, &report, None, self.now);
        let Some(update) = update else { return };
        let expected = match &self.consent {
            StoredConsent::Absent => Replaces::Nothing,
            StoredConsent::Readable(consent) => Replaces::Version(consent.version),
            StoredConsent::Unreadable => Replaces::Anything,
        };
        assert_eq!(update.replaces, expected);
        self.consent = StoredConsent::Readable(update.consent);
        self.statuses.push((self.now, self.status()));
    }

    fn work(&mut self) {
        match std::mem::replace(&mut self.step, Step::Idle) {
            Step::Idle => {
                let Some(head) = self.outbox.front() else { return };
                if self.sender.next_send_at(self.now) <= self.now {
                    let in_flight = self.sender.begin_send(&head.id, self.now);
                    self.step = Step::Claimed(in_flight);
                }
            }
            Step::Claimed(in_flight) => {
                let mut message = self.outbox.front().unwrap().clone();
                let recipient = self.status();
                let action = sender::head_action(&mut message, &self.sender, recipient, in_flight.at);
                self.step = Step::Decided(self.now, in_flight, Box::new(message), action);
            }
            Step::Decided(at, in_flight, mut message, action) => {
                self.outbox.pop_front();
                match action {
                    HeadAction::Send(_) => {
                        self.sends.push(at);
                        let outcome = SendOutcome::Accepted("1".to_owned());
                        self.sender.apply_outcome(&outcome, 0, self.now);
                        sender::record_outcome(&mut message, &in_flight, &outcome, self.now);
                        self.sender.complete_send(Remaining::Nothing);
                    }
                    HeadAction::SaveEnded => {
                        assert_eq!(message.status, MessageStatus::Failed);
                        assert_eq!(message.error_code.as_deref(), Some("recipient_opted_out"));
                        self.sender.discard_head();
                        self.blocked += 1;
                    }
                    HeadAction::Remove => self.sender.discard_head(),
                }
            }
        }
    }

    /// The worker is killed. The next one recovers the send in flight, which is never repeated.
    fn restart(&mut self) {
        let step = std::mem::replace(&mut self.step, Step::Idle);
        let (in_flight, saved) = match step {
            Step::Idle => return,
            Step::Claimed(in_flight) => (in_flight, None),
            // The message had ended, or was submitted, when the worker was killed.
            Step::Decided(_, in_flight, message, HeadAction::SaveEnded) => (in_flight, Some(message)),
            Step::Decided(at, in_flight, _, _) => {
                self.sends.push(at);
                (in_flight, None)
            }
        };
        let head = self.outbox.pop_front().unwrap();
        let has_ended = saved.is_some();
        let mut message = saved.map_or(head, |message| *message);
        self.sender.apply_outcome(&SendOutcome::Ambiguous, 0, self.now);
        let update = sender::record_outcome(&mut message, &in_flight, &SendOutcome::Ambiguous, self.now);
        assert_eq!(update == MessageUpdate::Unchanged, has_ended, "{update:?}");
        self.sender.complete_send(Remaining::Nothing);
    }
}

#[test]
fn no_send_begins_after_an_opt_out_was_stored() {
    let (mut sends, mut blocked) = (0, 0);
    for seed in 0..1_000 {
        let schedule = Schedule::new(seed * 7_919).run();
        for begin in &schedule.sends {
            let before = schedule.statuses.iter().rev().find(|(at, _)| at <= begin);
            let is_opted_out = before.is_some_and(|(_, status)| *status == ConsentStatus::OptedOut);
            assert!(!is_opted_out, "schedule {seed}: a send began at {begin} after {before:?}");
        }
        sends += schedule.sends.len();
        blocked += schedule.blocked;
    }
    assert!(sends > 2_000 && blocked > 2_000, "{sends} {blocked}");
}
