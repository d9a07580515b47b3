//! Events: which subscription hears of what, and the envelope that it gets.

use serde_json::{Value, json};

use crate::clock::{Millis, iso, seconds_left};
use crate::filters::{Filter, Topic};
use crate::messages::Message;
use crate::state::World;
use crate::subscriptions::{Status, Subscription};

/// An event on its way to a receiver.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The subscription it is for.
    pub subscription_id: String,
    /// Where it goes.
    pub address: String,
    /// The token that proves it is ours.
    pub token: Option<String>,
    /// The header of that token.
    pub token_header: String,
    /// What it says.
    pub envelope: Value,
}

/// What changed in a mailbox.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// New messages.
    pub new: Vec<i64>,
    /// How many others changed.
    pub updated: usize,
}

impl World {
    /// Tells everyone who listens to `topic` of an extension (or an account, without one).
    fn announce(&mut self, at: Millis, topic: Topic, account: i64, extension: Option<i64>, about: &About) {
        let mut events = Vec::new();
        for subscription in &self.subscriptions {
            if subscription.status != Status::Active
                || !subscription.is_live(at)
                || subscription.account_id != account
            {
                continue;
            }
            let filters: Vec<(Filter, &String)> =
                subscription.filters.iter().filter_map(|f| Filter::parse(f).map(|p| (p, f))).collect();
            let fits = |f: &Filter| f.topic == topic && f.extension_id() == extension && about.fits(f);
            if filters.iter().any(|(f, _)| f.is_negated() && fits(f)) {
                continue;
            }
            if let Some((_, text)) = filters.iter().find(|(f, _)| !f.is_negated() && fits(f)) {
                events.push(self.envelope(at, subscription, text, about.body.clone()));
            }
        }
        self.outbox.extend(events);
    }

    fn envelope(&self, at: Millis, subscription: &Subscription, filter: &str, mut body: Value) -> Outgoing {
        let owner = subscription.extension_id.to_string();
        // A numeric string of 19 digits, as instant events have it.
        let uuid = uuid::Uuid::new_v4().as_u128() % 9_000_000_000_000_000_000 + 1_000_000_000_000_000_000;
        let mut envelope = json!({
            "uuid": uuid.to_string(),
            "event": filter,
            "timestamp": iso(at),
            "subscriptionId": subscription.id,
        });
        if self.settings.owner_id_in_body {
            body["ownerId"] = owner.into();
        } else {
            envelope["ownerId"] = owner.into();
        }
        envelope["body"] = body;
        Outgoing {
            subscription_id: subscription.id.clone(),
            address: subscription.address.clone(),
            token: subscription.verification_token.clone(),
            token_header: self.settings.event_token_header.clone(),
            envelope,
        }
    }

    /// A message came in: its content goes to those who want instant messages.
    pub fn announce_inbound(&mut self, at: Millis, message: &Message, media: &str) {
        let about = About { body: message.instant_body(media, self), direction: None };
        self.announce(at, Topic::Instant, message.account_id, Some(message.extension_id), &about);
    }

    /// A mailbox changed: counts go to those who listen to the message store.
    pub fn announce_change(
        &mut self,
        at: Millis,
        account: i64,
        extension: i64,
        outbound: bool,
        change: &Change,
    ) {
        let mut item = json!({"type": "SMS"});
        if !change.new.is_empty() {
            item["newCount"] = change.new.len().into();
            item["newMessageIds"] = change.new.clone().into();
        }
        if change.updated > 0 {
            item["updatedCount"] = change.updated.into();
        }
        let body = json!({
            "accountId": account.to_string(),
            "extensionId": extension.to_string(),
            "lastUpdated": iso(at),
            "changes": [item],
        });
        let about = About { body, direction: Some(if outbound { "Outbound" } else { "Inbound" }) };
        self.announce(at, Topic::MessageStore, account, Some(extension), &about);
    }

    /// A consent changed.
    pub fn announce_consents(&mut self, at: Millis, account: i64, records: &[Value]) {
        let about = About { body: json!({"records": records}), direction: None };
        self.announce(at, Topic::Consents, account, None, &about);
    }

    /// Reminds those subscriptions whose time for it has come, and sets the next time.
    pub fn remind(&mut self, at: Millis) {
        let mut events = Vec::new();
        for index in 0..self.subscriptions.len() {
            let subscription = &self.subscriptions[index];
            if subscription.remind_at.is_none_or(|due| at < due) {
                continue;
            }
            let filter = subscription.filters.iter().find_map(|f| Some((Filter::parse(f)?.reminder()?.1, f)));
            let next =
                filter.as_ref().map(|(interval, _)| at + interval).filter(|n| *n < subscription.expires_at);
            if let Some((_, text)) = filter
                && subscription.status == Status::Active
                && subscription.is_live(at)
            {
                let body = json!({"expiresIn": seconds_left(subscription.expires_at, at)});
                events.push(self.envelope(at, subscription, text, body));
            }
            self.subscriptions[index].remind_at = next;
        }
        self.outbox.extend(events);
    }
}

/// What an event says, and what filters may ask of it.
struct About {
    body: Value,
    direction: Option<&'static str>,
}

impl About {
    fn fits(&self, filter: &Filter) -> bool {
        filter.query("type").is_none_or(|t| t.split(',').any(|t| t == "SMS"))
            && filter.query("direction").is_none_or(|d| self.direction.is_none_or(|own| own == d))
    }
}
