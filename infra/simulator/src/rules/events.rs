//! Webhook events: which subscriptions get an event, and its envelope.

use serde_json::{Value, json};

use crate::platform::clock::{Millis, format_time, seconds_until};
use crate::platform::events::WebhookEvent;
use crate::platform::filters::{EventFilter, EventTopic, FilterMode};
use crate::platform::messages::{MessageDirection, MessageRecord};
use crate::platform::state::PlatformState;
use crate::platform::subscriptions::{SubscriptionRecord, WebhookStatus};
use crate::platform::urls::BaseUrls;
use crate::platform::variants::{parse_variant, variant_name};

/// What changed in a mailbox.
#[derive(Debug, Clone, Copy)]
pub enum MailboxChange {
    /// The message with this id is new.
    MessageCreated(i64),
    /// A message changed.
    MessageUpdated,
}

/// The mailbox of a message, and the direction of the message, which filters can select.
#[derive(Debug, Clone, Copy)]
pub struct ChangedMailbox {
    account_id: i64,
    extension_id: i64,
    direction: MessageDirection,
}

impl ChangedMailbox {
    #[must_use]
    pub fn of(message: &MessageRecord) -> Self {
        let MessageRecord { account_id, extension_id, direction, .. } = *message;
        Self { account_id, extension_id, direction }
    }
}

/// One event, before it is addressed to subscriptions.
struct PublishedEvent {
    topic: EventTopic,
    account_id: i64,
    /// `None` for topics of an account.
    extension_id: Option<i64>,
    /// `None` if filters cannot select a direction.
    direction: Option<MessageDirection>,
    body: Value,
}

impl PublishedEvent {
    fn matches(&self, filter: &EventFilter) -> bool {
        filter.topic == self.topic
            && filter.extension_id() == self.extension_id
            && filter.query("type").is_none_or(|t| t.split(',').any(|t| t == "SMS"))
            && self
                .direction
                .is_none_or(|own| filter.query("direction").is_none_or(|d| parse_variant(&d) == Some(own)))
    }
}

impl PlatformState {
    /// Queues an event for every subscription with a matching filter.
    fn publish(&mut self, at: Millis, event: &PublishedEvent) {
        let mut queued = Vec::new();
        for subscription in &self.subscriptions {
            if subscription.status != WebhookStatus::Active
                || !subscription.is_live(at)
                || subscription.account_id != event.account_id
            {
                continue;
            }
            let filters = subscription.filters.iter().filter_map(|f| Some((EventFilter::parse(f)?, f)));
            let matching: Vec<_> = filters.filter(|(filter, _)| event.matches(filter)).collect();
            if matching.iter().any(|(f, _)| f.mode == FilterMode::Exclude) {
                continue;
            }
            if let Some((_, text)) = matching.first() {
                queued.push(self.addressed_event(at, subscription, text, event.body.clone()));
            }
        }
        self.queued_events.extend(queued);
    }

    fn addressed_event(
        &self,
        at: Millis,
        subscription: &SubscriptionRecord,
        filter: &str,
        mut body: Value,
    ) -> WebhookEvent {
        let owner = subscription.extension_id.to_string();
        // RingCentral's instant events have a number of 19 digits as `uuid`.
        let uuid = uuid::Uuid::new_v4().as_u128() % 9_000_000_000_000_000_000 + 1_000_000_000_000_000_000;
        let mut envelope = json!({
            "uuid": uuid.to_string(),
            "event": filter,
            "timestamp": format_time(at),
            "subscriptionId": subscription.id,
        });
        if self.settings.owner_id_in_body {
            body["ownerId"] = owner.into();
        } else {
            envelope["ownerId"] = owner.into();
        }
        envelope["body"] = body;
        WebhookEvent {
            subscription_id: subscription.id.clone(),
            address: subscription.address.clone(),
            token: subscription.verification_token.clone(),
            token_header: variant_name(&self.settings.event_token_header),
            envelope,
        }
    }

    /// Sends the content of an inbound message to the subscriptions for instant messages.
    pub fn publish_inbound_message(&mut self, at: Millis, message: &MessageRecord, urls: &BaseUrls) {
        let event = PublishedEvent {
            topic: EventTopic::InstantMessage,
            account_id: message.account_id,
            extension_id: Some(message.extension_id),
            direction: None,
            body: self.instant_event_body(message, urls),
        };
        self.publish(at, &event);
    }

    /// Sends counts of new and changed messages to the subscriptions for the mailbox.
    pub fn publish_mailbox_change(&mut self, at: Millis, mailbox: ChangedMailbox, change: MailboxChange) {
        let ChangedMailbox { account_id, extension_id, direction } = mailbox;
        let change = match change {
            MailboxChange::MessageCreated(id) => json!({"type": "SMS", "newCount": 1, "newMessageIds": [id]}),
            MailboxChange::MessageUpdated => json!({"type": "SMS", "updatedCount": 1}),
        };
        let event = PublishedEvent {
            topic: EventTopic::MessageStore,
            account_id,
            extension_id: Some(extension_id),
            direction: Some(direction),
            body: json!({
                "accountId": account_id.to_string(),
                "extensionId": extension_id.to_string(),
                "lastUpdated": format_time(at),
                "changes": [change],
            }),
        };
        self.publish(at, &event);
    }

    /// `records` are consent records of one account.
    pub fn publish_consents(&mut self, at: Millis, account_id: i64, records: &[Value]) {
        let body = json!({"records": records});
        let topic = EventTopic::Consents;
        self.publish(at, &PublishedEvent { topic, account_id, extension_id: None, direction: None, body });
    }

    /// Sends the renewal reminders that are due at `at`, and schedules the next ones.
    pub fn send_reminders(&mut self, at: Millis) {
        let mut queued = Vec::new();
        for index in 0..self.subscriptions.len() {
            let subscription = &self.subscriptions[index];
            if subscription.remind_at.is_none_or(|due| at < due) {
                continue;
            }
            let mut filters = subscription.filters.iter();
            let filter = filters.find_map(|f| Some((EventFilter::parse(f)?.reminder()?.1, f)));
            let next =
                filter.as_ref().map(|(interval, _)| at + interval).filter(|n| *n < subscription.expires_at);
            if let Some((_, text)) = filter
                && subscription.status == WebhookStatus::Active
                && subscription.is_live(at)
            {
                let body = json!({"expiresIn": seconds_until(subscription.expires_at, at)});
                queued.push(self.addressed_event(at, subscription, text, body));
            }
            self.subscriptions[index].remind_at = next;
        }
        self.queued_events.extend(queued);
    }
}
