//! Events about a tenant's connections and messages, as apps receive them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::ids::{EventId, MessageId, TenantId};
use super::string_enum::string_enum;

string_enum! {
    pub enum EventKind {
        SmsInbound = "sms_inbound",
        /// The status of an outbound message changed.
        SmsStatus = "sms_status",
        /// The health of an extension's connection changed.
        ExtensionStatus = "extension_status",
        /// An extension was connected, or authorized again.
        RcConnected = "rc_connected",
        RcDisconnected = "rc_disconnected",
        /// An app's webhook URL was disabled, or will be soon if it keeps failing.
        WebhookDisabled = "webhook_disabled",
    }
}

/// The version of the event format. Fields may be added at any time; a breaking change gets a new version.
pub const VERSION: u32 = 1;

/// An immutable record of something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The same for every app that receives it.
    pub id: EventId,
    pub tenant: TenantId,
    pub kind: EventKind,
    pub at: Timestamp,
    /// The further fields of the JSON object: camelCase names, no secrets.
    pub data: Map<String, Value>,
}

impl Event {
    /// `data` is a JSON object.
    pub fn new(tenant: &TenantId, kind: EventKind, now: Timestamp, data: Value) -> Self {
        let data = match data {
            Value::Object(fields) => fields,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        Self { id: EventId::generate(now), tenant: tenant.clone(), kind, at: now, data }
    }

    /// The JSON of webhooks and of the event list: the common fields and `data` in one object.
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

    /// The tenant's own number that the event is about, if any.
    pub fn own_number(&self) -> Option<&str> {
        let field = match self.kind {
            EventKind::SmsInbound => "to",
            EventKind::SmsStatus => "from",
            _ => return None,
        };
        self.data.get(field)?.as_str()
    }

    /// The message that the event is about, if any.
    pub fn message(&self) -> Option<MessageId> {
        self.data.get("messageId")?.as_str().and_then(MessageId::parse)
    }

    /// An event that may be written more than once: the same time and seed give the same id. `data` is a JSON object.
    pub fn repeatable(tenant: &TenantId, kind: EventKind, at: Timestamp, seed: &str, data: Value) -> Self {
        Self { id: EventId::repeatable(at, seed), ..Self::new(tenant, kind, at, data) }
    }
}
