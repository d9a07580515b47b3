//! The worker's decisions (`shared::model::sender`), driven through many sends with lost answers and crashes against a
//! RingCentral that counts and remembers. No text may go out twice, none may be lost, and no call may be one too many.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::model::ids::{ExtensionId, TenantId};
use shared::model::message::{Message, MessageStatus, Stage};
use shared::model::sender::{self, Answer, Flight, Lane, Lost, Seen, Turn, Verdict};

use crate::random::Random;

const FROM: &str = "+14155550100";
const TO: &str = "+16505550111";
const LIMIT: usize = 40;
const LEASE_MS: i64 = 70_000;

/// How often something goes wrong, in thousandths.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// The answer is lost: in half of the cases the text has gone out.
    pub lost: u64,
    /// The worker dies: before the call, after it, or when half is written down.
    pub crash: u64,
    /// RingCentral refuses for good, or can't be reached.
    pub refused: u64,
    /// Somebody else calls RingCentral for the same extension.
    pub others: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    pub by_status: BTreeMap<&'static str, usize>,
    /// Texts that RingCentral has sent, and those of them that no message accounts for, or that two do.
    pub records: usize,
    pub wrong: usize,
    pub too_many: usize,
    pub lost_answers: usize,
    pub crashes: usize,
    pub minutes: f64,
    /// Sends for each of the allowed ones, in the time that it took.
    pub used: f64,
}

#[derive(Default)]
struct RingCentral {
    window: VecDeque<Timestamp>,
    records: Vec<Record>,
    too_many: usize,
}

struct Record {
    id: String,
    text: String,
    at: Timestamp,
    tied: bool,
}

fn after(at: Timestamp, ms: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(ms)).unwrap()
}

impl RingCentral {
    fn counts(&mut self, now: Timestamp) -> usize {
        while self.window.front().is_some_and(|at| after(*at, 60_000) <= now) {
            self.window.pop_front();
        }
        self.window.len()
    }

    fn call(&mut self, now: Timestamp) -> bool {
        let taken = self.counts(now) < LIMIT;
        if taken {
            self.window.push_back(now);
        } else {
            self.too_many += 1;
        }
        taken
    }

    fn store(&mut self, text: &str, at: Timestamp) -> String {
        let id = self.records.len().to_string();
        self.records.push(Record { id: id.clone(), text: text.to_owned(), at, tied: false });
        id
    }

    fn tie(&mut self, id: &str) {
        let at: usize = id.parse().unwrap();
        assert!(!std::mem::replace(&mut self.records[at].tied, true), "a record is tied twice");
    }

    fn free_since(&self, since: Timestamp) -> Vec<&Record> {
        // Records come nearly in order: what is looked for is among the last.
        let recent = self.records.iter().rev().take(2_000);
        recent.filter(|record| !record.tied && record.at >= since).collect()
    }
}

struct Run {
    random: Random,
    trouble: Trouble,
    now: Timestamp,
    lane: Lane,
    platform: RingCentral,
    outbox: VecDeque<Message>,
    settling: Vec<(Timestamp, Message)>,
    done: Vec<Message>,
    report: Report,
}

/// Sends so many texts, a tenth of them with the same words as others.
pub fn simulate(sends: usize, trouble: Trouble, seed: u64) -> Report {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let tenant = TenantId::generate();
    let extension = ExtensionId::parse("101").unwrap();
    let message = |at: usize| {
        let body = if at.is_multiple_of(10) { format!("Same {}", at % 50) } else { format!("No. {at}") };
        Message::outbound(tenant.clone(), extension.clone(), FROM.into(), TO.into(), body, None, now)
    };
    let mut run = Run {
        random: Random(seed | 1),
        trouble,
        now,
        lane: Lane::default(),
        platform: RingCentral::default(),
        outbox: VecDeque::new(),
        settling: Vec::new(),
        done: Vec::new(),
        report: Report::default(),
    };
    let mut accepted = 0;
    while accepted < sends || !run.outbox.is_empty() || !run.settling.is_empty() {
        // As many as a minute's worth wait at a time.
        while accepted < sends && run.outbox.len() < 40 {
            run.outbox.push_back(message(accepted));
            accepted += 1;
        }
        run.step();
    }
    run.judge(now, sends)
}

impl Run {
    fn step(&mut self) {
        self.settle();
        let opens = self.lane.opens_at(self.now);
        if self.outbox.is_empty() {
            let next = self.settling.iter().map(|(at, _)| *at).min();
            self.now = next.unwrap_or(self.now).max(self.now);
            return;
        }
        if opens > self.now {
            self.now = opens;
            return;
        }
        if self.random.chance(self.trouble.others) && self.platform.counts(self.now) < LIMIT {
            self.platform.call(self.now);
        }
        let mut message = self.outbox.pop_front().unwrap();
        let flight = self.lane.depart(&message.id, self.now);
        match sender::turn(&mut message, flight.at) {
            Turn::Send(part) => self.send(message, part, &flight),
            Turn::Ended | Turn::Gone => panic!("nothing expires or is taken back here"),
        }
    }

    fn send(&mut self, mut message: Message, part: usize, flight: &Flight) {
        let crash = self.random.chance(self.trouble.crash).then(|| self.random.next() % 3);
        if crash == Some(0) {
            return self.crash(message, flight);
        }
        let latency = 20 + i64::try_from(self.random.next() % 280).unwrap();
        self.now = after(self.now, latency / 2);
        let arrived = self.now;
        let answer = self.answer(&message, part);
        self.now = after(self.now, latency / 2);
        if crash == Some(1) {
            return self.crash(message, flight);
        }
        self.lane.heed(&answer, 1_000, self.now);
        let verdict = sender::note(&mut message, flight, &answer, self.now);
        let remaining = LIMIT.saturating_sub(self.platform.counts(arrived));
        self.lane.learn(LIMIT.try_into().unwrap(), remaining.try_into().unwrap(), 60, self.now);
        if let Answer::Taken(id) = &answer {
            // The message is written; the tie follows, from this worker or from the next.
            if crash == Some(2) {
                return self.crash(message, flight);
            }
            self.platform.tie(id);
        }
        self.lane.land(false);
        self.file(message, verdict);
    }

    fn answer(&mut self, message: &Message, part: usize) -> Answer {
        if !self.platform.call(self.now) {
            return Answer::TooMany(Duration::from_secs(60));
        }
        let text = message.part_text(part);
        if self.random.chance(self.trouble.lost) {
            if self.random.chance(500) {
                // It may arrive late.
                let late = i64::try_from(self.random.next() % 60_000).unwrap();
                self.platform.store(text, after(self.now, late));
            }
            return Answer::Lost;
        }
        if self.random.chance(self.trouble.refused) {
            let refused = Answer::Refused { code: Some("MSG-242".into()), error: "no".into() };
            return if self.random.chance(500) { refused } else { Answer::NotSent(Duration::ZERO) };
        }
        Answer::Taken(self.platform.store(text, self.now))
    }

    /// The worker dies, or can't write any more, with the flight in the lane; the next one takes over.
    fn crash(&mut self, mut message: Message, flight: &Flight) {
        self.report.crashes += 1;
        self.now = after(self.now, LEASE_MS);
        self.lane.heed(&Answer::Lost, 0, self.now);
        let verdict = sender::note(&mut message, flight, &Answer::Lost, self.now);
        if verdict == Verdict::Written {
            self.platform.tie(message.rc_id().unwrap());
        } else {
            self.lane.heed_silence(flight);
        }
        self.lane.land(false);
        self.file(message, verdict);
    }

    fn file(&mut self, message: Message, verdict: Verdict) {
        match verdict {
            Verdict::Taken | Verdict::Ended | Verdict::Written => self.done.push(message),
            Verdict::Stays => self.outbox.push_front(message),
            Verdict::Lost(at) => {
                self.report.lost_answers += 1;
                self.settling.push((at, message));
            }
        }
    }

    fn settle(&mut self) {
        let now = self.now;
        let (due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.settling).into_iter().partition(|(at, _)| *at <= now);
        self.settling = waiting;
        if due.is_empty() {
            return;
        }
        let same = |text: &str| (FROM.to_owned(), TO.to_owned(), text.to_owned());
        let lost: Vec<Lost> = due
            .iter()
            .map(|(_, message)| Lost { same: same(&message.body), at: message.parts[0].posted_at.unwrap() })
            .collect();
        let since = lost.iter().map(|lost| lost.at).min().unwrap();
        let free = self.platform.free_since(since);
        let ids: Vec<String> = free.iter().map(|record| record.id.clone()).collect();
        let seen: Vec<Seen> =
            free.iter().map(|record| Seen { same: same(&record.text), at: record.at }).collect();
        for ((_, mut message), found) in due.into_iter().zip(sender::find(&lost, &seen)) {
            let rc_id = found.map(|at| ids[at].clone());
            if let Some(id) = &rc_id {
                self.platform.tie(id);
            }
            assert!(
                !sender::looked(&mut message, 0, rc_id.as_deref(), now),
                "nothing is sent again by itself"
            );
            self.done.push(message);
        }
    }

    fn judge(mut self, began: Timestamp, sends: usize) -> Report {
        let mut texts: BTreeMap<&str, i64> = BTreeMap::new();
        for record in &self.platform.records {
            *texts.entry(&record.text).or_default() += 1;
        }
        for message in &self.done {
            *self.report.by_status.entry(message.status.as_str()).or_default() += 1;
            let is_sent = message.status == MessageStatus::Sent;
            let ended = [MessageStatus::Sent, MessageStatus::Failed, MessageStatus::Unknown];
            let stages = [Stage::Sent, Stage::Failed, Stage::Unknown];
            assert!(ended.contains(&message.status) && stages.contains(&message.parts[0].stage));
            if is_sent {
                *texts.entry(&message.body).or_default() -= 1;
            }
        }
        assert_eq!(self.done.len(), sends, "every message has come to an end");
        self.report.wrong = texts.values().filter(|count| **count != 0).count();
        self.report.records = self.platform.records.len();
        self.report.too_many = self.platform.too_many;
        self.report.minutes = self.now.duration_since(began).as_secs_f64() / 60.0;
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let (made, allowed) = (self.done.len() as f64, self.report.minutes * LIMIT as f64);
        self.report.used = made / allowed;
        self.report
    }
}

/// The trouble that a million sends are tried with.
pub const BAD_DAY: Trouble = Trouble { lost: 50, crash: 10, refused: 20, others: 5 };

#[test]
fn no_text_is_sent_twice_or_lost_on_a_bad_day() {
    let report = simulate(20_000, BAD_DAY, 7);
    assert_eq!((report.wrong, report.too_many), (0, 0), "{report:?}");
    assert!(report.lost_answers > 800 && report.crashes > 100, "{report:?}");
    assert!(report.by_status["unknown"] > 300 && report.by_status["sent"] > 18_000, "{report:?}");
}

#[test]
fn nearly_all_of_the_limit_is_used_and_nothing_beyond_it() {
    let calm = Trouble { lost: 0, crash: 0, refused: 0, others: 0 };
    // A simulated day and more.
    let report = simulate(60_000, calm, 11);
    assert!(report.minutes > 24.0 * 60.0 && report.used >= 0.95, "{report:?}");
    assert_eq!((report.wrong, report.too_many), (0, 0), "{report:?}");
}
