//! One queue: messages, their visibility, order and redrive. It is told what time it is.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A repeated deduplication id is swallowed for five minutes.
const DEDUPLICATION: SignedDuration = SignedDuration::from_mins(5);

/// A message.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Message {
    /// Its id; it keeps it on the way to a dead-letter queue.
    pub id: String,
    /// Its text.
    pub body: String,
    /// `MessageAttributes` as they were sent.
    #[serde(default)]
    pub attributes: BTreeMap<String, Value>,
    /// When it was sent.
    pub sent: Timestamp,
    /// Hidden until then: by a delay, or by whoever received it.
    pub visible_at: Timestamp,
    /// How often it was received.
    pub receives: u32,
    /// When it was received first.
    #[serde(default)]
    pub first_received: Option<Timestamp>,
    /// Handle of the latest receive.
    #[serde(default)]
    pub receipt: Option<String>,
    /// Message group of a FIFO queue.
    #[serde(default)]
    pub group: Option<String>,
    /// Deduplication id of a FIFO queue.
    #[serde(default)]
    pub deduplication: Option<String>,
    /// Its place in a FIFO queue.
    #[serde(default)]
    pub sequence: u64,
    /// ARN of the queue that it was moved from.
    #[serde(default)]
    pub moved_from: Option<String>,
}

/// A queue.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Queue {
    /// Its attributes, as CreateQueue takes them.
    pub attributes: BTreeMap<String, String>,
    /// Its messages, the oldest first.
    pub messages: Vec<Message>,
    /// Deduplication ids with the message that took them.
    #[serde(default)]
    pub recent: BTreeMap<String, (Timestamp, String)>,
    /// Number of the next message.
    #[serde(default)]
    pub sequence: u64,
}

/// What a receive gives: messages to hand out, and those that went too far and belong into the dead-letter queue.
#[derive(Debug, Default)]
pub struct Received {
    /// Messages, hidden from now on.
    pub messages: Vec<Message>,
    /// Messages that were received too often, with the ARN of the queue to move them to.
    pub dead: Vec<(String, Message)>,
}

impl Queue {
    /// A numeric attribute.
    #[must_use]
    pub fn number(&self, name: &str, default: i64) -> i64 {
        self.attributes.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// Whether it keeps order.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.attributes.get("FifoQueue").is_some_and(|value| value == "true")
    }

    /// ARN of the dead-letter queue, and how many receives are allowed.
    #[must_use]
    pub fn redrive(&self) -> Option<(String, u32)> {
        let policy: Value = serde_json::from_str(self.attributes.get("RedrivePolicy")?).ok()?;
        let most = &policy["maxReceiveCount"];
        let most = most.as_u64().or_else(|| most.as_str()?.parse().ok())?;
        Some((policy["deadLetterTargetArn"].as_str()?.to_owned(), u32::try_from(most).ok()?))
    }

    /// Adds a message; a FIFO queue answers the id of the first one for a repeated deduplication id.
    pub fn add(&mut self, mut message: Message) -> (String, u64) {
        self.sequence += 1;
        message.sequence = self.sequence;
        if let Some(id) = message.deduplication.clone().filter(|_| self.is_fifo()) {
            let now = message.sent;
            self.recent.retain(|_, (at, _)| now.duration_since(*at) < DEDUPLICATION);
            if let Some((_, earlier)) = self.recent.get(&id) {
                return (earlier.clone(), self.sequence);
            }
            self.recent.insert(id, (now, message.id.clone()));
        }
        let answer = (message.id.clone(), message.sequence);
        self.messages.push(message);
        answer
    }

    /// How many messages could be received now.
    #[must_use]
    pub fn ready(&self, now: Timestamp) -> usize {
        self.receivable(now, usize::MAX).len()
    }

    /// Hands out up to `most` messages and hides them for `hidden` seconds.
    pub fn receive(&mut self, now: Timestamp, most: usize, hidden: i64) -> Received {
        self.expire(now);
        let redrive = self.redrive();
        let mut received = Received::default();
        // Messages that went too far make room for others.
        loop {
            let chosen = self.receivable(now, most - received.messages.len());
            let mut dead = false;
            for id in chosen {
                let Some(index) = self.messages.iter().position(|message| message.id == id) else { continue };
                if let Some((target, _)) =
                    redrive.as_ref().filter(|(_, allowed)| self.messages[index].receives >= *allowed)
                {
                    received.dead.push((target.clone(), self.messages.remove(index)));
                    dead = true;
                    continue;
                }
                let message = &mut self.messages[index];
                message.receives += 1;
                message.first_received.get_or_insert(now);
                message.receipt = Some(uuid::Uuid::new_v4().to_string());
                message.visible_at = later(now, hidden);
                received.messages.push(message.clone());
            }
            if !dead {
                return received;
            }
        }
    }

    /// Ids of the messages that are to be had: visible, and in a FIFO queue with nobody of their group before them.
    fn receivable(&self, now: Timestamp, most: usize) -> Vec<String> {
        let fifo = self.is_fifo();
        let mut blocked: BTreeSet<&str> = BTreeSet::new();
        let mut chosen = Vec::new();
        for message in &self.messages {
            if chosen.len() == most {
                break;
            }
            let group = message.group.as_deref().unwrap_or_default();
            if fifo && blocked.contains(group) {
                continue;
            }
            if message.visible_at <= now {
                chosen.push(message.id.clone());
            } else {
                blocked.insert(group);
            }
        }
        chosen
    }

    /// Deletes by receipt. False: no message has it (any more).
    pub fn delete(&mut self, receipt: &str) -> bool {
        let before = self.messages.len();
        self.messages.retain(|message| message.receipt.as_deref() != Some(receipt));
        self.messages.len() < before
    }

    /// Hides a received message for so long from now on. False: it is not in flight.
    pub fn change_visibility(&mut self, receipt: &str, now: Timestamp, seconds: i64) -> bool {
        let held =
            |message: &&mut Message| message.receipt.as_deref() == Some(receipt) && message.visible_at > now;
        match self.messages.iter_mut().find(held) {
            Some(message) => {
                message.visible_at = later(now, seconds);
                true
            }
            None => false,
        }
    }

    /// Numbers of visible, hidden (in flight) and delayed messages.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> (usize, usize, usize) {
        let visible = self.messages.iter().filter(|message| message.visible_at <= now).count();
        let flying =
            self.messages.iter().filter(|message| message.visible_at > now && message.receives > 0).count();
        (visible, flying, self.messages.len() - visible - flying)
    }

    fn expire(&mut self, now: Timestamp) {
        let kept = self.number("MessageRetentionPeriod", 345_600);
        self.messages.retain(|message| later(message.sent, kept) > now);
    }
}

/// A moment so many seconds later.
#[must_use]
pub fn later(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::{Message, Queue, later};
    use jiff::Timestamp;
    use std::collections::BTreeMap;

    fn message(id: &str, group: Option<&str>, now: Timestamp) -> Message {
        Message {
            id: id.to_owned(),
            body: id.to_owned(),
            attributes: BTreeMap::new(),
            sent: now,
            visible_at: now,
            receives: 0,
            first_received: None,
            receipt: None,
            group: group.map(str::to_owned),
            deduplication: group.map(|_| id.to_owned()),
            sequence: 0,
            moved_from: None,
        }
    }

    fn queue(attributes: &[(&str, &str)]) -> Queue {
        let attributes =
            attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Queue { attributes, ..Queue::default() }
    }

    fn ids(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.id.as_str()).collect()
    }

    #[test]
    fn a_received_message_is_hidden_until_its_time_is_over() {
        let now = Timestamp::UNIX_EPOCH;
        let mut queue = queue(&[]);
        queue.add(message("a", None, now));
        assert_eq!(queue.receive(now, 10, 30).messages.len(), 1);
        assert_eq!(queue.receive(later(now, 29), 10, 30).messages.len(), 0);
        let again = queue.receive(later(now, 30), 10, 30).messages;
        assert_eq!(again[0].receives, 2);
        assert!(queue.delete(again[0].receipt.as_deref().unwrap()));
        assert!(queue.messages.is_empty());
    }

    #[test]
    fn a_message_received_too_often_goes_to_the_dead_letter_queue() {
        let now = Timestamp::UNIX_EPOCH;
        let mut queue =
            queue(&[("RedrivePolicy", r#"{"deadLetterTargetArn":"arn:dlq","maxReceiveCount":2}"#)]);
        queue.add(message("a", None, now));
        for _ in 0..2 {
            assert_eq!(queue.receive(now, 10, 0).messages.len(), 1);
        }
        let received = queue.receive(now, 10, 0);
        assert!(received.messages.is_empty());
        assert_eq!((received.dead[0].0.as_str(), received.dead[0].1.id.as_str()), ("arn:dlq", "a"));
    }

    #[test]
    fn a_group_of_a_fifo_queue_waits_for_its_first_message() {
        let now = Timestamp::UNIX_EPOCH;
        let mut queue = queue(&[("FifoQueue", "true")]);
        for (id, group) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
            queue.add(message(id, Some(group), now));
        }
        let first = queue.receive(now, 1, 30).messages;
        assert_eq!(ids(&first), ["a1"]);
        assert_eq!(ids(&queue.receive(now, 10, 30).messages), ["b1"]);
        queue.delete(first[0].receipt.as_deref().unwrap());
        assert_eq!(ids(&queue.receive(now, 10, 30).messages), ["a2"]);
    }

    #[test]
    fn a_repeated_deduplication_id_is_swallowed_for_five_minutes() {
        let now = Timestamp::UNIX_EPOCH;
        let mut queue = queue(&[("FifoQueue", "true")]);
        for seconds in [0, 299, 300] {
            let mut message = message("a", Some("g"), later(now, seconds));
            message.id = format!("a{seconds}");
            queue.add(message);
        }
        let kept: Vec<&str> = ids(&queue.messages);
        assert_eq!(kept, ["a0", "a300"]);
    }
}
