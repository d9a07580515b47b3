//! One standard queue: messages, visibility and redrive. Callers pass the current time.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct QueuedMessage {
    /// Stays the same when the message moves to a dead-letter queue.
    pub id: String,
    pub body: String,
    /// `MessageAttributes` as they were sent.
    #[serde(default)]
    pub attributes: BTreeMap<String, Value>,
    pub sent: Timestamp,
    /// Hidden until this time, because of a delay or because it was received.
    pub visible_at: Timestamp,
    pub receives: u32,
    #[serde(default)]
    pub first_received: Option<Timestamp>,
    /// The receipt handle of the latest receive.
    #[serde(default)]
    pub receipt: Option<String>,
    /// ARN of the queue from which it was moved here.
    #[serde(default)]
    pub moved_from: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct StoredQueue {
    /// The attributes of CreateQueue.
    pub attributes: BTreeMap<String, String>,
    /// Oldest first.
    pub messages: Vec<QueuedMessage>,
}

#[derive(Debug, Default)]
pub struct ReceivedMessages {
    /// Hidden in the queue from now on.
    pub messages: Vec<QueuedMessage>,
    /// Messages that were received too often, with the ARN of their dead-letter queue.
    pub dead: Vec<(String, QueuedMessage)>,
}

/// The receipt handle belongs to no message that is in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotInFlight;

/// Numbers of messages by state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageCounts {
    pub visible: usize,
    pub in_flight: usize,
    pub delayed: usize,
}

impl StoredQueue {
    #[must_use]
    pub fn numeric_attribute(&self, name: &str, default: i64) -> i64 {
        self.attributes.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// The ARN of the dead-letter queue, and the maximum number of receives.
    #[must_use]
    pub fn redrive_policy(&self) -> Option<(String, u32)> {
        let policy: Value = serde_json::from_str(self.attributes.get("RedrivePolicy")?).ok()?;
        let max_receives = &policy["maxReceiveCount"];
        let max_receives = max_receives.as_u64().or_else(|| max_receives.as_str()?.parse().ok())?;
        Some((policy["deadLetterTargetArn"].as_str()?.to_owned(), u32::try_from(max_receives).ok()?))
    }

    /// The number of messages that can be received now.
    #[must_use]
    pub fn visible(&self, now: Timestamp) -> usize {
        self.messages.iter().filter(|message| message.visible_at <= now).count()
    }

    /// Receives up to `limit` messages and hides them for `visibility_seconds`.
    pub fn receive(&mut self, now: Timestamp, limit: usize, visibility_seconds: i64) -> ReceivedMessages {
        self.remove_expired(now);
        let redrive = self.redrive_policy();
        let mut received = ReceivedMessages::default();
        let mut index = 0;
        while index < self.messages.len() && received.messages.len() < limit {
            let message = &mut self.messages[index];
            if message.visible_at > now {
                index += 1;
                continue;
            }
            if let Some((target, _)) = redrive.as_ref().filter(|(_, allowed)| message.receives >= *allowed) {
                received.dead.push((target.clone(), self.messages.remove(index)));
                continue;
            }
            message.receives += 1;
            message.first_received.get_or_insert(now);
            message.receipt = Some(uuid::Uuid::new_v4().to_string());
            message.visible_at = add_seconds(now, visibility_seconds);
            received.messages.push(message.clone());
            index += 1;
        }
        received
    }

    /// Deletes the message with this receipt handle. As in SQS, an outdated handle is not an error.
    pub fn delete(&mut self, receipt: &str) {
        self.messages.retain(|message| message.receipt.as_deref() != Some(receipt));
    }

    /// Hides a received message for some seconds from now.
    pub fn change_visibility(
        &mut self,
        receipt: &str,
        now: Timestamp,
        seconds: i64,
    ) -> Result<(), NotInFlight> {
        let in_flight = |message: &&mut QueuedMessage| {
            message.receipt.as_deref() == Some(receipt) && message.visible_at > now
        };
        let message = self.messages.iter_mut().find(in_flight).ok_or(NotInFlight)?;
        message.visible_at = add_seconds(now, seconds);
        Ok(())
    }

    #[must_use]
    pub fn counts(&self, now: Timestamp) -> MessageCounts {
        let visible = self.visible(now);
        let hidden = self.messages.iter().filter(|message| message.visible_at > now);
        let in_flight = hidden.filter(|message| message.receives > 0).count();
        MessageCounts { visible, in_flight, delayed: self.messages.len() - visible - in_flight }
    }

    fn remove_expired(&mut self, now: Timestamp) {
        let retention = self.numeric_attribute("MessageRetentionPeriod", 345_600);
        self.messages.retain(|message| add_seconds(message.sent, retention) > now);
    }
}

#[must_use]
pub fn add_seconds(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::{QueuedMessage, StoredQueue, add_seconds};
    use jiff::Timestamp;
    use std::collections::BTreeMap;

    fn message(id: &str, now: Timestamp) -> QueuedMessage {
        QueuedMessage {
            id: id.to_owned(),
            body: id.to_owned(),
            attributes: BTreeMap::new(),
            sent: now,
            visible_at: now,
            receives: 0,
            first_received: None,
            receipt: None,
            moved_from: None,
        }
    }

    #[test]
    fn a_received_message_is_hidden_until_its_visibility_timeout_ends() {
        let now = Timestamp::UNIX_EPOCH;
        let mut queue = StoredQueue::default();
        queue.messages.push(message("a", now));
        assert_eq!(queue.receive(now, 10, 30).messages.len(), 1);
        assert_eq!(queue.receive(add_seconds(now, 29), 10, 30).messages.len(), 0);
        let again = queue.receive(add_seconds(now, 30), 10, 30).messages;
        assert_eq!(again[0].receives, 2);
        queue.delete(again[0].receipt.as_deref().unwrap());
        assert!(queue.messages.is_empty());
    }

    #[test]
    fn a_message_received_too_often_goes_to_the_dead_letter_queue() {
        let now = Timestamp::UNIX_EPOCH;
        let policy = r#"{"deadLetterTargetArn":"arn:dlq","maxReceiveCount":2}"#;
        let attributes = BTreeMap::from([("RedrivePolicy".to_owned(), policy.to_owned())]);
        let mut queue = StoredQueue { attributes, messages: vec![message("a", now)] };
        for _ in 0..2 {
            assert_eq!(queue.receive(now, 10, 0).messages.len(), 1);
        }
        let received = queue.receive(now, 10, 0);
        assert!(received.messages.is_empty());
        assert_eq!((received.dead[0].0.as_str(), received.dead[0].1.id.as_str()), ("arn:dlq", "a"));
    }
}
