//! What the operations of the OpenAPI document have in common.

use serde_json::{Map, Value, json};
use shared::http::route::{LIST_PARAMETERS, printable};
use shared::limits;

/// The path parameters: name, pattern and description.
const PATH_PARAMETERS: [(&str, &str, &str); 9] = [
    ("tenantId", "^tenant_[0-9a-f]{16}$", "The id of a tenant."),
    ("appId", "^app_[0-9a-f]{16}$", "The id of an app."),
    ("keyId", "^key_[0-9a-f]{16}$", "The id of an API key of the app."),
    ("extensionId", "^[1-9][0-9]{0,18}$", "RingCentral's id of a connected extension."),
    ("deliveryId", "^dlv_[0-9a-f]{28}$", "The id of a delivery to the app."),
    ("id", "^app_[0-9a-f]{16}$", "The id of a trigger."),
    ("recordId", "^qr_[0-9a-f]{40}$", "The id of a quarantined record."),
    ("mediaId", "^media_[0-9a-f]{14,66}$", "The id of a file of a message, or of an upload."),
    ("messageId", "^msg_[0-9a-f]{12,64}$", "The id of a message."),
];

pub(crate) fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

pub(crate) fn header(name: &str) -> Value {
    reference("headers", name)
}

/// A reference to a path parameter.
///
/// # Panics
///
/// If the parameter is not described.
pub(crate) fn path_parameter(name: &str) -> Value {
    let is_known = PATH_PARAMETERS.iter().any(|(known, ..)| *known == name);
    assert!(is_known, "the path parameter {name} is not described");
    reference("parameters", &component_name(name))
}

fn component_name(path_parameter: &str) -> String {
    if path_parameter == "id" { "TriggerId".to_owned() } else { capitalized(path_parameter) }
}

pub(crate) fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

pub(crate) fn parameters() -> Map<String, Value> {
    let mut parameters = Map::new();
    for (name, pattern, description) in PATH_PARAMETERS {
        let schema = json!({ "type": "string", "pattern": pattern });
        let parameter = json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema });
        parameters.insert(component_name(name), parameter);
    }
    for parameter in LIST_PARAMETERS {
        let described = json!({
            "name": parameter.name, "in": "query", "required": false, "description": parameter.description,
            "schema": (parameter.schema)(),
        });
        parameters.insert(capitalized(parameter.name), described);
    }
    let key = json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "Identifies the request for 24 hours. Use a new key for each message or tenant.",
        "schema": printable(limits::IDEMPOTENCY_KEY_CHARS),
    });
    parameters.insert("IdempotencyKey".to_owned(), key);
    parameters
}

/// Adds the headers of the rate limit.
pub(crate) fn add_rate_limit(headers: &mut Value) {
    for (header_name, name) in [
        ("RateLimit-Limit", "RateLimitLimit"),
        ("RateLimit-Remaining", "RateLimitRemaining"),
        ("RateLimit-Reset", "RateLimitReset"),
    ] {
        headers[header_name] = header(name);
    }
}

pub(crate) fn headers() -> Value {
    let whole = || json!({ "type": "integer", "minimum": 0 });
    json!({
        "RequestId": { "description": "The id of the request, by which the operator finds it in the log.", "required": true, "schema": { "type": "string" } },
        "RateLimitLimit": { "description": "The number of requests that the key can make in a rolling minute.", "schema": whole() },
        "RateLimitRemaining": { "description": "The number of requests left.", "schema": whole() },
        "RateLimitReset": { "description": "Seconds until the oldest counted request leaves the window.", "schema": whole() },
        "RetryAfter": { "description": "Seconds to wait before repeating the request.", "required": true, "schema": whole() },
        "RetryAfterConflict": { "description": "Seconds to wait before repeating the request, with the code `idempotency_in_progress`.", "schema": whole() },
        "WwwAuthenticate": { "description": "The authentication scheme, `Bearer`.", "required": true, "schema": { "type": "string" } },
    })
}

pub(crate) fn security_schemes() -> Value {
    json!({
        "key": { "type": "http", "scheme": "bearer", "description": "The API key of an app: `Authorization: Bearer KEY`." },
        "keyInHeader": { "type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The API key of an app, for clients that cannot set `Authorization`: `X-API-Key: KEY`." },
        "operator": { "type": "http", "scheme": "bearer", "description": "The operator key: `Authorization: Bearer KEY`." },
    })
}
