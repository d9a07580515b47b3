//! The JSON of events.

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::connection::{ConnectionChange, Disconnection};
use crate::model::consent::ConsentChanged;
use crate::model::delivery::EndpointWarning;
use crate::model::event::{Event, EventEnvelope, EventKind};
use crate::model::message::{InboundMessage, StatusChange};

/// A page of the events of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EventList")]
pub struct Events {
    /// The events, oldest first.
    #[schemars(with = "Vec<AnyEvent>")]
    events: Vec<Value>,
    /// Send it as `cursor` with the next request, now or later.
    next_cursor: Option<String>,
}

impl Events {
    pub fn of(events: &[Event], next_cursor: Option<String>) -> Self {
        Self { events: events.iter().map(Event::json).collect(), next_cursor }
    }
}

/// The schema of [`Event::json`]: an object for each type, by the discriminator `type`.
#[derive(Debug)]
struct AnyEvent;

impl JsonSchema for AnyEvent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Event".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let types = EventKind::ALL.map(|kind| (kind.as_str(), event_schema(generator, kind)));
        let mapping: serde_json::Map<_, _> = types
            .iter()
            .map(|(kind, schema)| ((*kind).to_owned(), schema.as_value()["$ref"].clone()))
            .collect();
        schemars::json_schema!({
            "description": "An event. New fields may be added at any time.",
            "oneOf": types.map(|(_, schema)| schema),
            "discriminator": { "propertyName": "type", "mapping": mapping },
        })
    }
}

/// The schema of the events of a type, as a reference.
pub fn event_schema(generator: &mut SchemaGenerator, kind: EventKind) -> Schema {
    let connection = ConnectionChange::json_schema;
    let (name, description, data): (_, _, fn(&mut SchemaGenerator) -> Schema) = match kind {
        EventKind::SmsInbound => ("SmsInboundEvent", "A message was received.", InboundMessage::json_schema),
        EventKind::SmsStatus => {
            ("SmsStatusEvent", "The status of an outbound message changed.", StatusChange::json_schema)
        }
        EventKind::ExtensionStatus => {
            ("ExtensionStatusEvent", "The status of a connection changed.", connection)
        }
        EventKind::RcConnected => {
            ("RcConnectedEvent", "An extension was connected, or authorized again.", connection)
        }
        EventKind::RcDisconnected => {
            ("RcDisconnectedEvent", "An extension was disconnected.", Disconnection::json_schema)
        }
        EventKind::ConsentChanged => {
            ("ConsentChangedEvent", "A recipient opted out or in.", ConsentChanged::json_schema)
        }
        EventKind::WebhookDisabled => (
            "WebhookDisabledEvent",
            "An app's webhook URL keeps failing, or was disabled.",
            EndpointWarning::json_schema,
        ),
    };
    let data = data(generator);
    define(generator, name, kind.as_str(), description, &data)
}

/// The schema of the event that `POST /v1/apps/{appId}/test-webhook` sends, as a reference.
pub fn test_event_schema(generator: &mut SchemaGenerator) -> Schema {
    let data = schemars::json_schema!({
        "properties": { "appId": { "type": "string", "description": "The id of the app." } },
        "required": ["appId"],
    });
    define(generator, "TestEvent", "test", "A test event, on request.", &data)
}

/// Defines one object with the fields of the envelope and of the data.
fn define(
    generator: &mut SchemaGenerator,
    name: &str,
    kind: &str,
    description: &str,
    data: &Schema,
) -> Schema {
    let mut event = EventEnvelope::json_schema(generator).to_value();
    event["description"] = json!(description);
    event["properties"]["type"] =
        json!({ "type": "string", "const": kind, "description": "The type of the event." });
    for (field, schema) in data.as_value()["properties"].as_object().into_iter().flatten() {
        event["properties"][field] = schema.clone();
    }
    if let (Some(all), Some(required)) =
        (event["required"].as_array_mut(), data.as_value()["required"].as_array())
    {
        all.extend(required.iter().cloned());
    }
    generator.definitions_mut().insert(name.to_owned(), event);
    Schema::new_ref(format!("#{}/{name}", generator.settings().definitions_path))
}
