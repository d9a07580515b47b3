//! Events: what happened to a tenant's connections and messages, as its programs are told.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::ids::{EventId, TenantId};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What kind of thing happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind { $($(#[$doc])* $name,)* }

        impl EventKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word of the contract.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

kinds! {
    /// A message came in.
    SmsInbound = "sms_inbound",
    /// The status of a message that was sent has changed.
    SmsStatus = "sms_status",
    /// The health of an extension's connection has changed.
    ExtensionStatus = "extension_status",
    /// An extension was connected, or authorized again.
    RcConnected = "rc_connected",
    /// An extension was disconnected.
    RcDisconnected = "rc_disconnected",
    /// A program's address was switched off, or soon will be.
    WebhookDisabled = "webhook_disabled",
}

impl EventKind {
    /// The kind behind a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

/// The version of the shape of events. New fields may come at any time; a change that breaks readers is a new version.
pub const VERSION: u32 = 1;

/// Something that happened. It is written once and never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its id, the same for everybody who is told of it.
    pub id: EventId,
    /// Whose.
    pub tenant: TenantId,
    /// What kind.
    pub kind: EventKind,
    /// When it happened.
    pub at: Timestamp,
    /// The rest, as the contract shows it: camelCase names, never a secret.
    pub data: Map<String, Value>,
}

impl Event {
    /// Something that happens now. `data` is a JSON object.
    pub fn new(tenant: &TenantId, kind: EventKind, now: Timestamp, data: Value) -> Self {
        let data = match data {
            Value::Object(fields) => fields,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        Self { id: EventId::generate(now), tenant: tenant.clone(), kind, at: now, data }
    }

    /// The event as a tenant's program gets it: what every event has, and its own data beside.
    pub fn json(&self) -> Value {
        let mut all = self.data.clone();
        for (name, value) in [
            ("type", json!(self.kind.as_str())),
            ("version", json!(VERSION)),
            ("id", json!(self.id.as_str())),
            ("timestamp", json!(format!("{:.3}", self.at))),
            ("tenantId", json!(self.tenant.as_str())),
        ] {
            all.insert(name.to_owned(), value);
        }
        Value::Object(all)
    }

    /// The tenant's own number that the event is about, if it is about one.
    pub fn own_number(&self) -> Option<&str> {
        let field = match self.kind {
            EventKind::SmsInbound => "to",
            EventKind::SmsStatus => "from",
            _ => return None,
        };
        self.data.get(field)?.as_str()
    }

    /// Something that happened at a moment, and that may be written down more than once: the same seed makes the same
    /// event. `data` is a JSON object.
    pub fn repeatable(tenant: &TenantId, kind: EventKind, at: Timestamp, seed: &str, data: Value) -> Self {
        Self { id: EventId::repeatable(at, seed), ..Self::new(tenant, kind, at, data) }
    }
}
