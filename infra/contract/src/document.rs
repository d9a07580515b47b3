//! The document: OpenAPI 3.1.

use std::collections::BTreeMap;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use shared::http::ErrorBody;
use shared::http::catalogue;
use shared::http::route::{Access, Parameter, ResponseBody, Route, RouteResponse};

use crate::{Operation, operations};

/// The whole contract.
pub fn document() -> Value {
    let mut requests = settings().for_deserialize().into_generator();
    let mut responses = settings().for_serialize().into_generator();
    let _ = responses.subschema_for::<ErrorBody<'_>>();
    let (mut paths, mut tags) = (Map::new(), Vec::new());
    for operation in operations() {
        if tags.last() != Some(&operation.tag) {
            tags.push(operation.tag);
        }
        let mut described = describe(&operation, &mut requests, &mut responses);
        for (status, response) in errors(&operation.route) {
            let known = described["responses"].get(&status).is_some();
            if !known {
                described["responses"][status] = response;
            }
        }
        let path = paths.entry(operation.route.path()).or_insert_with(|| json!({}));
        path[operation.route.method().to_lowercase()] = described;
    }
    let mut schemas = requests.take_definitions(false);
    schemas.extend(responses.take_definitions(false));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ringbridge",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The origin of this document." }],
        "tags": tags.iter().map(|tag| json!({ "name": tag })).collect::<Vec<_>>(),
        "paths": paths,
        "components": { "schemas": schemas, "headers": headers(), "securitySchemes": schemes() },
    })
}

const INTRODUCTION: &str = "Requests and responses are JSON with camelCase fields. Times are ISO 8601 in UTC with \
milliseconds. Phone numbers are E.164. Unknown fields, and unknown query parameters of lists, are rejected; out-of-range values are \
never clamped. Resources of other tenants are reported as not found. Every response has `X-Request-Id`, except those to \
RingCentral; every response to a request with a key has the headers of its rate limit. API Gateway itself responds to unknown routes, \
throttled requests and time-outs, with `{\"message\":\"…\"}`.";

fn describe(operation: &Operation, requests: &mut SchemaGenerator, responses: &mut SchemaGenerator) -> Value {
    let route = &operation.route;
    let mut parameters: Vec<Value> = route.path_parameters().map(id_parameter).collect();
    parameters.extend(route.query_parameters().map(|parameter| described_parameter(parameter, "query")));
    parameters.extend(route.headers.iter().map(|parameter| described_parameter(parameter, "header")));
    let mut described = json!({
        "operationId": operation_id(operation),
        "summary": route.title,
        "tags": [operation.tag],
        "security": security(route),
        "responses": {},
        "x-function": operation.function,
    });
    if !route.description.is_empty() {
        described["description"] = json!(route.description);
    }
    if !parameters.is_empty() {
        described["parameters"] = json!(parameters);
    }
    if let Some(request) = &route.request {
        let schema = (request.schema)(requests);
        described["requestBody"] = json!({
            "required": request.required,
            "content": { request.media: { "schema": schema, "example": request.example() } },
        });
    }
    for response in route.responses() {
        described["responses"][response.status.to_string()] = success(response, route.access, responses);
    }
    described
}

/// The function's name in camelCase; `HEAD` says so, since it shares its function.
fn operation_id(operation: &Operation) -> String {
    let mut id = String::new();
    for (at, word) in operation.function.split('-').enumerate() {
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if at > 0 => id.extend(first.to_uppercase()),
            Some(first) => id.push(first),
            None => {}
        }
        id.push_str(letters.as_str());
    }
    if operation.route.method() == "HEAD" { format!("{id}Head") } else { id }
}

fn id_parameter(name: &str) -> Value {
    let (pattern, description) = match name {
        "tenantId" => ("^tenant_[0-9a-f]{16}$", "The id of a tenant."),
        "appId" => ("^app_[0-9a-f]{16}$", "The id of an app."),
        "keyId" => ("^key_[0-9a-f]{16}$", "The id of an API key of the app."),
        "extensionId" => ("^[1-9][0-9]{0,18}$", "The RingCentral id of a connected extension."),
        "deliveryId" => ("^dlv_[0-9a-f]{28}$", "The id of a delivery to the app."),
        "id" => ("^app_[0-9a-f]{16}$", "The id of the trigger."),
        "messageId" => ("^msg_[0-9a-f]{12,64}$", "The id of a message."),
        _ => ("^.+$", ""),
    };
    let schema = json!({ "type": "string", "pattern": pattern });
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

fn described_parameter(parameter: &Parameter, location: &str) -> Value {
    json!({
        "name": parameter.name, "in": location, "required": false, "description": parameter.description,
        "schema": (parameter.schema)(),
    })
}

/// Each entry is one alternative; a key needs one of the route's scopes.
fn security(route: &Route) -> Value {
    let mut ways = Vec::new();
    if route.access == Access::Key {
        for scheme in ["key", "keyInHeader"] {
            if route.scopes.is_empty() {
                ways.push(json!({ scheme: [] }));
            }
            ways.extend(route.scopes.iter().map(|scope| json!({ scheme: [scope.as_str()] })));
        }
    }
    if route.operator {
        ways.push(json!({ "operator": [] }));
    }
    json!(ways)
}

fn success(response: &RouteResponse, access: Access, schemas: &mut SchemaGenerator) -> Value {
    let mut headers = json!({});
    if access != Access::RingCentral {
        headers["X-Request-Id"] = header("RequestId");
    }
    if matches!(access, Access::Key | Access::Operator) {
        limits(&mut headers);
    }
    let mut described = json!({ "description": response.description, "headers": headers });
    match &response.body {
        ResponseBody::Json { schema, example } => {
            let example: Value = serde_json::from_str(example).expect("an example is JSON");
            described["content"] =
                json!({ "application/json": { "schema": schema(schemas), "example": example } });
        }
        ResponseBody::HtmlPage => {
            described["content"] = json!({ "text/html": { "schema": { "type": "string" } } });
        }
        ResponseBody::Redirect => {
            described["headers"]["Location"] = json!({ "description": "The URL that the browser is redirected to.", "schema": { "type": "string" } });
        }
        ResponseBody::Empty => {}
    }
    described
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn limits(headers: &mut Value) {
    for (header_name, name) in [
        ("RateLimit-Limit", "RateLimitLimit"),
        ("RateLimit-Remaining", "RateLimitRemaining"),
        ("RateLimit-Reset", "RateLimitReset"),
    ] {
        headers[header_name] = header(name);
    }
}

/// The error responses of a route, by status.
fn errors(route: &Route) -> BTreeMap<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<(&str, &str)>> = BTreeMap::new();
    for ((status, code), advice) in catalogue::errors_of(route.access, &route.codes()) {
        by_status.entry(status).or_default().push((code, advice));
    }
    let described = |(status, codes): (u16, Vec<(&str, &str)>)| {
        let lines: Vec<_> = codes.iter().map(|(code, advice)| format!("`{code}`: {advice}")).collect();
        let codes: Vec<_> = codes.iter().map(|(code, _)| *code).collect();
        let schema =
            json!({ "$ref": "#/components/schemas/Error", "properties": { "code": { "enum": codes } } });
        let mut headers = json!({ "X-Request-Id": header("RequestId") });
        if [429, 503].contains(&status) {
            headers["Retry-After"] = header("RetryAfter");
        }
        if status == 429 {
            limits(&mut headers);
        }
        let mut content = json!({ "application/json": { "schema": schema } });
        if route.access == Access::Browser {
            content["text/html"] = json!({ "schema": { "type": "string" } });
        }
        (
            status.to_string(),
            json!({ "description": lines.join("\n\n"), "headers": headers, "content": content }),
        )
    };
    by_status.into_iter().map(described).collect()
}

fn headers() -> Value {
    let whole = || json!({ "type": "integer", "minimum": 0 });
    json!({
        "RequestId": { "description": "The id of the request, by which the operator finds it in the log.", "schema": { "type": "string" } },
        "RateLimitLimit": { "description": "The number of requests that the key can make in a rolling minute.", "schema": whole() },
        "RateLimitRemaining": { "description": "The number of requests left.", "schema": whole() },
        "RateLimitReset": { "description": "Seconds until the oldest counted request leaves the window.", "schema": whole() },
        "RetryAfter": { "description": "Seconds to wait.", "schema": whole() },
    })
}

fn schemes() -> Value {
    json!({
        "key": { "type": "http", "scheme": "bearer", "description": "The API key of an app: `Authorization: Bearer KEY`." },
        "keyInHeader": { "type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The API key in a header of its own." },
        "operator": { "type": "http", "scheme": "bearer", "description": "The operator key." },
    })
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}
