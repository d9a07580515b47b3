//! One standard queue: messages, visibility and redrive. Callers pass the current time.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

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
    /// `MessageGroupId`: the tenant of a fair queue.
    #[serde(default)]
    pub group: Option<String>,
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

    /// Receives up to `limit` messages and hides them for `visibility_seconds`. Those of the group with the fewest messages in
    /// flight come first, so that no group delays the others; within a group the oldest comes first.
    pub fn receive(&mut self, now: Timestamp, limit: usize, visibility_seconds: i64) -> ReceivedMessages {
        self.remove_expired(now);
        let redrive = self.redrive_policy();
        let mut received = ReceivedMessages::default();
        let mut in_flight = self.in_flight_of_groups(now);
        while received.messages.len() < limit {
            let Some(index) = self.next(now, &in_flight, &received.messages) else { break };
            let message = &mut self.messages[index];
            if let Some((target, _)) = redrive.as_ref().filter(|(_, allowed)| message.receives >= *allowed) {
                received.dead.push((target.clone(), self.messages.remove(index)));
                continue;
            }
            *in_flight.entry(message.group.clone()).or_default() += 1;
            message.receives += 1;
            message.first_received.get_or_insert(now);
            message.receipt = Some(uuid::Uuid::new_v4().to_string());
            message.visible_at = add_seconds(now, visibility_seconds);
            received.messages.push(message.clone());
        }
        received
    }

    fn in_flight_of_groups(&self, now: Timestamp) -> HashMap<Option<String>, usize> {
        let mut counts = HashMap::new();
        for message in self.messages.iter().filter(|message| message.visible_at > now && message.receives > 0)
        {
            *counts.entry(message.group.clone()).or_default() += 1;
        }
        counts
    }

    /// The index of the message that is received next, after the received ones.
    fn next(
        &self,
        now: Timestamp,
        in_flight: &HashMap<Option<String>, usize>,
        received: &[QueuedMessage],
    ) -> Option<usize> {
        let is_left = |message: &QueuedMessage| {
            message.visible_at <= now && received.iter().all(|earlier| earlier.id != message.id)
        };
        let left = self.messages.iter().enumerate().filter(|(_, message)| is_left(message));
        let of_group = |message: &QueuedMessage| in_flight.get(&message.group).copied().unwrap_or_default();
        left.min_by_key(|(index, message)| (of_group(message), *index)).map(|(index, _)| index)
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

    /// Deletes the messages whose retention period has ended.
    pub fn remove_expired(&mut self, now: Timestamp) {
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
            group: None,
            moved_from: None,
        }
    }

    fn of_group(id: &str, group: &str, now: Timestamp) -> QueuedMessage {
        QueuedMessage { group: Some(group.to_owned()), ..message(id, now) }
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
    fn a_group_with_many_messages_delays_no_other_group() {
        let now = Timestamp::UNIX_EPOCH;
        let mut queue = StoredQueue::default();
        queue.messages.extend((0..20).map(|at| of_group(&format!("busy {at}"), "busy", now)));
        queue.messages.push(of_group("neighbour 0", "neighbour", now));
        queue.messages.push(of_group("neighbour 1", "neighbour", now));
        let mut receive = |limit| {
            let received = queue.receive(now, limit, 30).messages;
            received.into_iter().map(|message| message.id).collect::<Vec<_>>()
        };
        assert_eq!(receive(1), ["busy 0"]);
        assert_eq!(receive(3), ["neighbour 0", "busy 1", "neighbour 1"]);
        assert_eq!(receive(2), ["busy 2", "busy 3"]);
    }

    #[test]
    fn a_message_comes_once_in_a_batch_even_if_it_is_not_hidden() {
        let now = Timestamp::UNIX_EPOCH;
        let mut queue = StoredQueue { messages: vec![message("a", now)], ..StoredQueue::default() };
        assert_eq!(queue.receive(now, 10, 0).messages.len(), 1);
        assert_eq!(queue.receive(now, 10, 0).messages.len(), 1);
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
