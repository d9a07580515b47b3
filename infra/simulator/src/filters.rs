//! Event filters: which are known, whom they are about, and how `~` is resolved.

use axum::http::StatusCode;

use crate::caller::Caller;
use crate::clock::{Millis, SECOND};
use crate::error::ApiError;
use crate::state::World;

/// What a filter listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Inbound messages with their content.
    Instant,
    /// Any change in a mailbox, as counts.
    MessageStore,
    /// The extension itself.
    Extension,
    /// Consent changes.
    Consents,
    /// Renewal reminders.
    Reminder,
}

/// A filter, taken apart.
#[derive(Debug, Clone)]
pub struct Filter {
    negated: bool,
    /// What it listens to.
    pub topic: Topic,
    account: String,
    extension: Option<String>,
    query: Option<String>,
}

impl Filter {
    /// Takes a filter apart; none if it is not one that the simulator knows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let negated = text.starts_with('!');
        let text = text.trim_start_matches('!');
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned()).filter(|q| !q.is_empty())),
            None => (text, None),
        };
        let mut parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        // Clients may leave out the prefix.
        if parts.first() == Some(&"restapi") {
            parts.drain(..2.min(parts.len()));
        }
        let whole = |topic, account: &str, extension: Option<&str>| {
            Some(Self {
                negated,
                topic,
                account: account.to_owned(),
                extension: extension.map(str::to_owned),
                query: query.clone(),
            })
        };
        match parts.as_slice() {
            ["account", a, "extension", e, "message-store", "instant"] => {
                let sms = query.as_deref().is_some_and(|q| {
                    url::form_urlencoded::parse(q.as_bytes()).any(|(k, v)| k == "type" && v == "SMS")
                });
                if sms { whole(Topic::Instant, a, Some(e)) } else { None }
            }
            ["account", a, "extension", e, "message-store"] => whole(Topic::MessageStore, a, Some(e)),
            ["account", a, "extension", e] => whole(Topic::Extension, a, Some(e)),
            ["accounts", a, "sms", "consents"] => whole(Topic::Consents, a, None),
            ["subscription", "~"] => {
                let filter = whole(Topic::Reminder, "~", None)?;
                filter.reminder()?;
                Some(filter)
            }
            _ => None,
        }
    }

    /// Is it about the subscription's own end?
    #[must_use]
    pub fn is_reminder(&self) -> bool {
        self.topic == Topic::Reminder
    }

    /// A value of its query.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.query.as_deref()?.as_bytes());
        pairs.find(|(k, _)| k == name).map(|(_, v)| v.into_owned())
    }

    /// Threshold and interval of a reminder, in milliseconds.
    #[must_use]
    pub fn reminder(&self) -> Option<(Millis, Millis)> {
        let seconds = |name| self.query(name)?.parse::<i64>().ok().filter(|n| *n > 0).map(|n| n * SECOND);
        Some((seconds("threshold")?, seconds("interval")?))
    }

    /// The extension that a resolved filter is about.
    #[must_use]
    pub fn extension_id(&self) -> Option<i64> {
        self.extension.as_deref()?.parse().ok()
    }

    /// The filter with real ids, if the caller may listen to that.
    pub fn resolved(&self, world: &World, caller: &Caller) -> Result<String, ApiError> {
        let refused = |code, text: &str| Err(ApiError::new(StatusCode::FORBIDDEN, code, text));
        let own = caller.extension(world)?;
        match self.topic {
            Topic::Instant | Topic::MessageStore => caller.need_scope("ReadMessages")?,
            Topic::Extension => caller.need_scope("ReadAccounts")?,
            Topic::Consents => caller.need_scope("SMS")?,
            Topic::Reminder => {}
        }
        if self.account != "~" && self.account != own.account_id.to_string() {
            return refused("SUB-406", "Subscription to events of another account is not allowed");
        }
        let account = own.account_id;
        let extension = match self.extension.as_deref() {
            None => None,
            Some("~") => Some(own.id),
            Some(id) => {
                let other = id.parse().ok().and_then(|id: i64| world.extensions.get(&id));
                let Some(other) = other.filter(|e| e.account_id == account) else {
                    return refused("SUB-408", "Unknown user in the event filter");
                };
                if other.id != own.id && !own.admin {
                    return refused("SUB-405", "Subscription to events of another extension is not allowed");
                }
                Some(other.id)
            }
        };
        let extension = extension.map(|e| e.to_string()).unwrap_or_default();
        let path = match self.topic {
            Topic::Instant => {
                format!("/restapi/v1.0/account/{account}/extension/{extension}/message-store/instant")
            }
            Topic::MessageStore => {
                format!("/restapi/v1.0/account/{account}/extension/{extension}/message-store")
            }
            Topic::Extension => format!("/restapi/v1.0/account/{account}/extension/{extension}"),
            Topic::Consents => format!("/restapi/v2/accounts/{account}/sms/consents"),
            Topic::Reminder => "/restapi/v1.0/subscription/~".to_owned(),
        };
        let query = self.query.as_deref().map(|q| format!("?{q}")).unwrap_or_default();
        let not = if self.negated { "!" } else { "" };
        Ok(format!("{not}{path}{query}"))
    }

    /// Does it take events away instead of adding them?
    #[must_use]
    pub fn is_negated(&self) -> bool {
        self.negated
    }
}

/// When the first reminder of a subscription is due, if it asked for any.
#[must_use]
pub fn first_reminder(filters: &[String], expires_at: Millis) -> Option<Millis> {
    let (threshold, _) = filters.iter().find_map(|f| Filter::parse(f)?.reminder())?;
    Some(expires_at - threshold)
}
