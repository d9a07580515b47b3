//! A number of messages of one sender that are accepted at once.

use jiff::{SignedDuration, Timestamp};
use shared::model::ids::MessageId;
use shared::model::sender::{Remaining, SendOutcome, SenderState, StatusCheck};

use crate::virtual_time::{stamp, virtual_ms};

/// Duration of a send.
const SEND: SignedDuration = SignedDuration::from_millis(200);

/// A number of messages that are accepted at once, sent at the pace of one sender.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    pub sends: u32,
    /// How often their statuses are read, and after which time the last time.
    pub status_checks: u32,
    pub takes: i64,
    pub most_in_a_minute: usize,
}

/// Sends messages that are accepted at once, at the pace of the product.
pub fn send_batch(sends: u32) -> Batch {
    let (start, mut now) = (stamp(0), stamp(0));
    let (mut sender, message, mut times) = (SenderState::default(), MessageId::generate(now), Vec::new());
    let (mut checks, mut last_check) = (0, start);
    let accepted = SendOutcome::Accepted("1".to_owned());
    while times.len() < sends as usize || sender.statuses_due.is_some() {
        let next_send = (times.len() < sends as usize).then(|| sender.next_send_at(now));
        match (sender.statuses_due, next_send) {
            (Some(due), next) if next.is_none_or(|next| due <= next) => {
                now = due.max(now);
                checks += u32::from(sender.take_status_check(now) == StatusCheck::Due);
                last_check = now;
            }
            (_, Some(next)) => {
                times.push(sender.begin_send(&message, next).at);
                now = next + SEND;
                sender.apply_outcome(&accepted, 0, now);
                sender.complete_send(Remaining::Nothing);
            }
            (_, None) => break,
        }
    }
    let within = |first: &Timestamp| {
        let window = *first..*first + SignedDuration::from_mins(1);
        times.iter().filter(|at| window.contains(at)).count()
    };
    Batch {
        sends,
        status_checks: checks,
        takes: virtual_ms(last_check) - virtual_ms(start),
        most_in_a_minute: times.iter().map(within).max().unwrap_or_default(),
    }
}
