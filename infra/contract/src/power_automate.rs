//! The connector for Power Automate: an OpenAPI 2.0 definition of a few operations, derived from the OpenAPI 3.1 document, and the
//! properties that Microsoft's tools read beside it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use shared::model::app::TriggerMessage;

/// The operations: path, method, operation id, and visibility.
const OPERATIONS: [(&str, &str, &str, &str); 5] = [
    (SUBSCRIBE, "post", "WhenMessageReceived", "important"),
    ("/v1/triggers/sms-received/subscribe/{id}", "delete", "DeleteTrigger", "internal"),
    ("/v1/sms/send", "post", "SendMessage", "important"),
    ("/v1/sms/status/{messageId}", "get", "GetMessage", "important"),
    ("/v1/sms/messages", "get", "ListMessages", "important"),
];

const SUBSCRIBE: &str = "/v1/triggers/sms-received/subscribe";

/// `apiDefinition.swagger.json`, from the OpenAPI document.
pub(crate) fn definition(document: &Value) -> Value {
    let (mut paths, mut tags) = (Map::new(), Vec::new());
    for (path, method, id, visibility) in OPERATIONS {
        let mut operation = operation(document, &document["paths"][path][method]);
        operation["operationId"] = json!(id);
        operation["x-ms-visibility"] = json!(visibility);
        tags.extend(items(&operation["tags"]).cloned());
        paths.insert(path.to_owned(), json!({ method: operation }));
    }
    let trigger = &mut paths[SUBSCRIBE];
    trigger["post"]["summary"] = json!("When a message is received");
    trigger["post"]["x-ms-trigger"] = json!("single");
    trigger["x-ms-notification-content"] =
        json!({ "description": "The received message.", "schema": notification(document) });
    json!({
        "swagger": "2.0",
        "info": {
            "title": "Ringbridge",
            "version": document["info"]["version"],
            "description": "Sends and receives SMS through RingCentral numbers.",
            "contact": document["info"]["contact"],
            "license": { "name": document["info"]["license"]["name"] },
        },
        "host": "gateway.example",
        "basePath": "/",
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "tags": items(&document["tags"]).filter(|tag| tags.contains(&tag["name"])).collect::<Vec<_>>(),
        "paths": paths,
        "definitions": {
            "ErrorResponse": schema(document, &document["components"]["schemas"]["ErrorResponse"]),
        },
        "securityDefinitions": { "api_key": { "type": "apiKey", "in": "header", "name": "X-API-Key" } },
        "security": [{ "api_key": [] }],
    })
}

/// `apiProperties.json`.
pub(crate) fn properties() -> Value {
    let key = json!({
        "type": "securestring",
        "uiDefinition": {
            "displayName": "API key",
            "description": "An API key of Ringbridge",
            "tooltip": "A key with the scopes triggers:manage, sms:send and sms:read",
            "constraints": { "tabIndex": 2, "clearText": false, "required": "true" },
        },
    });
    json!({
        "properties": {
            "connectionParameters": { "api_key": key },
            "iconBrandColor": "#007ee5",
            "capabilities": [],
            "policyTemplateInstances": [],
        },
    })
}

fn operation(document: &Value, described: &Value) -> Value {
    let mut parameters: Vec<Value> =
        items(&described["parameters"]).map(|one| parameter(document, resolve(document, one).0)).collect();
    let content = &described["requestBody"]["content"]["application/json"];
    if !content.is_null() {
        parameters.push(json!({
            "name": "body", "in": "body", "required": described["requestBody"]["required"],
            "schema": schema(document, &content["schema"]),
        }));
    }
    let mut responses = Map::new();
    for (status, response) in fields(&described["responses"]) {
        let response = resolve(document, response).0;
        if status.starts_with('2') {
            let schema = schema(document, &response["content"]["application/json"]["schema"]);
            responses.insert(
                status.to_owned(),
                json!({ "description": response["description"], "schema": schema }),
            );
        }
    }
    let error = json!({ "description": "An error.", "schema": { "$ref": "#/definitions/ErrorResponse" } });
    responses.insert("default".to_owned(), error);
    json!({
        "summary": described["summary"],
        "description": described["description"],
        "tags": described["tags"],
        "parameters": parameters,
        "responses": responses,
    })
}

fn parameter(document: &Value, parameter: &Value) -> Value {
    let mut converted = schema(document, &parameter["schema"]);
    for name in ["name", "in", "required", "description"] {
        converted[name] = parameter[name].clone();
    }
    describe_property(
        &mut converted,
        parameter["name"].as_str().unwrap_or_default(),
        parameter["required"] == true,
    );
    if parameter["in"] == "path" {
        converted["x-ms-url-encoding"] = json!("single");
    }
    converted
}

/// The keywords that OpenAPI 2.0 has as well.
const KEYWORDS: [&str; 10] = [
    "description",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "default",
];

/// A schema without references and without `null`, which OpenAPI 2.0 does not have.
fn schema(document: &Value, original: &Value) -> Value {
    let (described, nullable) = resolve(document, original);
    let mut converted = json!({});
    for keyword in KEYWORDS {
        if let Some(value) = original.get(keyword).or_else(|| described.get(keyword)) {
            converted[keyword] = value.clone();
        }
    }
    let kinds: Vec<_> = match &described["type"] {
        Value::Array(kinds) => kinds.iter().filter(|kind| *kind != "null").cloned().collect(),
        kind => vec![kind.clone()],
    };
    converted["type"] = kinds.into_iter().next().unwrap_or_default();
    if nullable || items(&described["type"]).any(|kind| kind == "null") {
        converted["x-nullable"] = json!(true);
    }
    if described["enum"].is_array() {
        let values: Vec<_> = items(&described["enum"]).filter(|value| !value.is_null()).collect();
        converted["enum"] = json!(values);
    }
    if described["items"].is_object() {
        converted["items"] = schema(document, &described["items"]);
    }
    let required: Vec<_> = items(&described["required"]).filter_map(Value::as_str).collect();
    for (name, property) in fields(&described["properties"]) {
        let mut property = schema(document, property);
        describe_property(&mut property, name, required.contains(&name));
        if name == "callbackUrl" {
            property["x-ms-notification-url"] = json!(true);
            property["x-ms-visibility"] = json!("internal");
        }
        converted["properties"][name] = property;
    }
    if !required.is_empty() {
        converted["required"] = json!(required);
    }
    converted
}

fn notification(document: &Value) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let message = TriggerMessage::json_schema(&mut settings.into_generator());
    schema(document, message.as_value())
}

fn describe_property(property: &mut Value, name: &str, required: bool) {
    property["x-ms-summary"] = json!(title(name));
    property["x-ms-visibility"] = json!(if required { "important" } else { "advanced" });
}

/// `rcMessageId` is `RC Message ID`.
fn title(name: &str) -> String {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        match words.last_mut() {
            Some(word) if !letter.is_uppercase() && letter != '-' => word.push(letter),
            _ if letter == '-' => {}
            _ => words.push(letter.to_string()),
        }
    }
    let words = words.into_iter().filter(|word| !word.is_empty()).map(|word| match word.as_str() {
        "rc" | "Rc" | "Id" | "id" | "Url" | "url" => word.to_uppercase(),
        _ => crate::components::capitalized(&word),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What a reference, or the alternative to `null`, is; and whether `null` is an alternative.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> (&'a Value, bool) {
    if let Some(path) = value["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        return document.pointer(path).map_or((value, false), |found| resolve(document, found));
    }
    match items(&value["anyOf"]).find(|one| one["type"] != "null") {
        Some(one) => (resolve(document, one).0, true),
        None => (value, false),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}
