//! Event filters as text: `/restapi/v1.0/account/~/extension/~/message-store/instant?type=SMS`.

use crate::platform::clock::{Millis, SECOND};

/// The events that a filter selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventTopic {
    /// Inbound messages with their content.
    InstantMessage,
    /// Any change in a mailbox, as counts.
    MessageStore,
    /// Changes of the extension itself.
    Extension,
    Consents,
    /// Renewal reminders.
    Reminder,
}

/// Whether a filter adds events to a subscription or, with a leading `!`, removes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterMode {
    Include,
    Exclude,
}

#[derive(Debug, Clone)]
pub struct EventFilter {
    pub mode: FilterMode,
    pub topic: EventTopic,
    /// As written: an id or `~`.
    pub account: String,
    /// As written: an id or `~`; `None` for topics of an account.
    pub extension: Option<String>,
    query: Option<String>,
}

impl EventFilter {
    /// `None` if the simulator does not support the filter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mode = if text.starts_with('!') { FilterMode::Exclude } else { FilterMode::Include };
        let text = text.trim_start_matches('!');
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned()).filter(|q| !q.is_empty())),
            None => (text, None),
        };
        let mut parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        // Clients may leave out `/restapi/v1.0`.
        if parts.first() == Some(&"restapi") {
            parts.drain(..2.min(parts.len()));
        }
        let filter = |topic, account: &str, extension: Option<&str>| Self {
            mode,
            topic,
            account: account.to_owned(),
            extension: extension.map(str::to_owned),
            query: query.clone(),
        };
        match parts.as_slice() {
            ["account", a, "extension", e, "message-store", "instant"] => {
                let sms = query.as_deref().is_some_and(|q| {
                    url::form_urlencoded::parse(q.as_bytes()).any(|(k, v)| k == "type" && v == "SMS")
                });
                sms.then(|| filter(EventTopic::InstantMessage, a, Some(e)))
            }
            ["account", a, "extension", e, "message-store"] => {
                Some(filter(EventTopic::MessageStore, a, Some(e)))
            }
            ["account", a, "extension", e] => Some(filter(EventTopic::Extension, a, Some(e))),
            ["accounts", a, "sms", "consents"] => Some(filter(EventTopic::Consents, a, None)),
            ["subscription", "~"] => {
                let filter = filter(EventTopic::Reminder, "~", None);
                filter.reminder().is_some().then_some(filter)
            }
            _ => None,
        }
    }

    /// The first value of a query parameter.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.query.as_deref()?.as_bytes());
        pairs.find(|(k, _)| k == name).map(|(_, v)| v.into_owned())
    }

    /// Threshold and interval of a reminder filter.
    #[must_use]
    pub fn reminder(&self) -> Option<(Millis, Millis)> {
        let seconds = |name| self.query(name)?.parse::<i64>().ok().filter(|n| *n > 0).map(|n| n * SECOND);
        Some((seconds("threshold")?, seconds("interval")?))
    }

    /// The extension of a resolved filter.
    #[must_use]
    pub fn extension_id(&self) -> Option<i64> {
        self.extension.as_deref()?.parse().ok()
    }

    /// The text of this filter with real ids in place of `~`.
    #[must_use]
    pub fn with_ids(&self, account: i64, extension: Option<i64>) -> String {
        let extension = extension.map(|id| id.to_string()).unwrap_or_default();
        let path = match self.topic {
            EventTopic::InstantMessage => {
                format!("/restapi/v1.0/account/{account}/extension/{extension}/message-store/instant")
            }
            EventTopic::MessageStore => {
                format!("/restapi/v1.0/account/{account}/extension/{extension}/message-store")
            }
            EventTopic::Extension => format!("/restapi/v1.0/account/{account}/extension/{extension}"),
            EventTopic::Consents => format!("/restapi/v2/accounts/{account}/sms/consents"),
            EventTopic::Reminder => "/restapi/v1.0/subscription/~".to_owned(),
        };
        let query = self.query.as_deref().map(|q| format!("?{q}")).unwrap_or_default();
        let prefix = match self.mode {
            FilterMode::Include => "",
            FilterMode::Exclude => "!",
        };
        format!("{prefix}{path}{query}")
    }
}

/// When the first reminder of a subscription is due; `None` without a reminder filter.
#[must_use]
pub fn first_reminder(filters: &[String], expires_at: Millis) -> Option<Millis> {
    let (threshold, _) = filters.iter().find_map(|f| EventFilter::parse(f)?.reminder())?;
    Some(expires_at - threshold)
}
