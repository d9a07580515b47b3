//! The requests that Ringbridge sends to the webhook URL of an app.

use schemars::Schema;
use schemars::generate::SchemaGenerator;
use serde_json::{Map, Value, json};
use shared::model::event::EventKind;
use shared::views::events::{event_schema, test_event_schema};

use crate::components::{capitalized, reference};

/// The event that only `POST /v1/apps/{appId}/test-webhook` sends.
const TEST: &str = "test";

/// The webhooks by the type of their event. They refer to [`path_items`], because some generators of clients mistake webhooks that
/// are written out for requests of the client.
pub(crate) fn webhooks() -> Map<String, Value> {
    let kinds = EventKind::ALL.into_iter().map(EventKind::as_str).chain([TEST]);
    kinds.map(|kind| (kind.to_owned(), reference("pathItems", &pascal_case(kind)))).collect()
}

pub(crate) fn path_items(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut items = Map::new();
    for kind in EventKind::ALL {
        let schema = event_schema(generator, kind);
        items.insert(pascal_case(kind.as_str()), path_item(generator, kind.as_str(), &schema));
    }
    let schema = test_event_schema(generator);
    items.insert(pascal_case(TEST), path_item(generator, TEST, &schema));
    items
}

fn pascal_case(kind: &str) -> String {
    kind.split('_').map(capitalized).collect()
}

fn path_item(generator: &SchemaGenerator, kind: &str, schema: &Schema) -> Value {
    let name =
        schema.as_value()["$ref"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let description = &generator.definitions()[name]["description"];
    json!({
        "post": {
            "operationId": format!("on{}", pascal_case(kind)),
            "summary": format!("Receive {kind}"),
            "description": description,
            "tags": ["Webhooks"],
            "security": [],
            "parameters": [
                header("webhook-id", "The id of the event, the same for every attempt."),
                header("webhook-timestamp", "When this attempt was signed, in Unix seconds."),
                header("webhook-signature", "The signatures of Standard Webhooks, separated by spaces."),
            ],
            "requestBody": { "required": true, "content": { "application/json": { "schema": schema } } },
            "responses": {
                "2XX": { "description": "The event is delivered." },
                "410": { "description": "The webhook URL is no longer in use. It is disabled." },
                "default": { "description": "The event is sent again later." },
            },
        },
    })
}

fn header(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "header", "required": true, "description": description, "schema": { "type": "string" } })
}
