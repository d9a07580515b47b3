//! Events about a tenant's connections and messages, as apps receive them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

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
        /// A recipient opted out or in.
        ConsentChanged = "consent_changed",
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

/// The fields that all events have.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventEnvelope<'a> {
    /// The type of the event.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The version of the event format.
    version: u32,
    /// The id of the event, the same for every app that receives it.
    id: &'a str,
    /// When it happened.
    #[schemars(with = "Timestamp")]
    timestamp: String,
    /// The tenant that the event is about.
    tenant_id: &'a str,
}

fn fields_of(data: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(data).expect("events are plain data") {
        Value::Object(fields) => fields,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

impl Event {
    /// `data` serializes as a JSON object.
    pub fn new(tenant: &TenantId, kind: EventKind, now: Timestamp, data: &impl Serialize) -> Self {
        Self { id: EventId::generate(now), tenant: tenant.clone(), kind, at: now, data: fields_of(data) }
    }

    /// The JSON of webhooks and of the event list: the common fields and `data` in one object.
    pub fn json(&self) -> Value {
        let mut all = self.data.clone();
        all.extend(fields_of(&EventEnvelope {
            kind: self.kind.as_str(),
            version: VERSION,
            id: self.id.as_str(),
            timestamp: format!("{:.3}", self.at),
            tenant_id: self.tenant.as_str(),
        }));
        Value::Object(all)
    }

    /// The tenant's own number that the event is about, if any.
    pub fn own_number(&self) -> Option<&str> {
        let field = match self.kind {
            EventKind::SmsInbound => "to",
            EventKind::SmsStatus | EventKind::ConsentChanged => "from",
            _ => return None,
        };
        self.data.get(field)?.as_str()
    }

    /// The message that the event is about, if any.
    pub fn message(&self) -> Option<MessageId> {
        self.data.get("messageId")?.as_str().and_then(MessageId::parse)
    }

    /// An event that may be written more than once: the same time and seed give the same id.
    pub fn repeatable(
        tenant: &TenantId,
        kind: EventKind,
        at: Timestamp,
        seed: &str,
        data: &impl Serialize,
    ) -> Self {
        Self { id: EventId::repeatable(at, seed), ..Self::new(tenant, kind, at, data) }
    }
}
