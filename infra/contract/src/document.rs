//! The OpenAPI document.

use std::collections::BTreeMap;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use shared::http::ErrorBody;
use shared::http::catalogue;
use shared::http::route::{Access, IdempotencyKey, Parameter, ResponseBody, Route, RouteResponse};

use crate::components::{self, header, reference};
use crate::{Operation, TAGS, operations, webhooks};

/// The whole contract.
pub fn document() -> Value {
    let mut requests = settings().for_deserialize().into_generator();
    let mut responses = settings().for_serialize().into_generator();
    let _ = responses.subschema_for::<ErrorBody<'_>>();
    let (mut paths, mut errors) = (Map::new(), Map::new());
    for operation in operations() {
        let mut described = describe(&operation, &mut requests, &mut responses);
        for (status, response) in errors_of(&operation.route) {
            if described["responses"].get(status.to_string()).is_none() {
                described["responses"][status.to_string()] =
                    share(&mut errors, operation.route.access, status, response);
            }
        }
        let path = paths.entry(operation.route.path()).or_insert_with(|| json!({}));
        path[operation.route.method().to_lowercase()] = described;
    }
    let path_items = webhooks::path_items(&mut responses);
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ringbridge",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "contact": { "name": "The operator of the deployment" },
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{
            "url": "https://gateway.example",
            "description": "A placeholder. Use the URL of the deployment, from which this document can be read as well.",
        }],
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "webhooks": webhooks::webhooks(),
        "components": {
            "schemas": schemas(requests, responses),
            "parameters": components::parameters(),
            "responses": errors,
            "pathItems": path_items,
            "headers": components::headers(),
            "securitySchemes": components::security_schemes(),
        },
    });
    simplify(&mut document);
    document
}

const INTRODUCTION: &str = "Requests and responses are JSON with camelCase fields. Times are ISO 8601 in UTC with \
milliseconds. Phone numbers are E.164. Unknown fields, and unknown query parameters of lists, are rejected; out-of-range values are \
never clamped. Resources of other tenants are reported as not found.

Errors: the body of an error has a stable `code`, which the description of each response lists, and a text for people. New codes \
may be added to a status at any time.

Pagination: a list returns at most `limit` entries and a `nextCursor`. Send it as `cursor`, with the same filters, to get the next \
page; `nextCursor` is `null` on the last page. A page can have fewer entries than `limit`, even none, without being the last one.

Idempotency: `POST /v1/sms/send` and `POST /v1/tenants` accept the header `Idempotency-Key`. A request with the key and the content \
of an earlier one returns the response of that request and changes nothing. All other requests that can change something reject \
the header with 400 `idempotency_not_supported`, because a client must not rely on a key that has no effect.

Headers: every response has `X-Request-Id`, except those to RingCentral. Responses to requests with a valid key have \
`RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`. A path of this document with another method returns 405 \
`method_not_allowed`, with `Allow`. API Gateway itself responds to throttled requests and time-outs, \
with `{\"message\":\"…\"}`.";

fn describe(operation: &Operation, requests: &mut SchemaGenerator, responses: &mut SchemaGenerator) -> Value {
    let route = &operation.route;
    let mut described = json!({
        "operationId": operation_id(operation),
        "summary": route.title,
        "description": route.description,
        "tags": [operation.tag],
        "security": security(route),
        "responses": {},
        "x-function": operation.function,
    });
    if matches!(route.access, Access::Browser | Access::RingCentral) {
        described["x-internal"] = json!(true);
    }
    let parameters = parameters(route);
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
    let mut words = operation.function.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    let id = first + &words.map(components::capitalized).collect::<String>();
    if operation.route.method() == "HEAD" { format!("{id}Head") } else { id }
}

fn parameters(route: &Route) -> Vec<Value> {
    let mut parameters: Vec<Value> = route.path_parameters().map(components::path_parameter).collect();
    if route.idempotency_key == IdempotencyKey::Supported {
        parameters.push(reference("parameters", "IdempotencyKey"));
    }
    if route.is_list {
        parameters.extend(["Limit", "Cursor"].map(|name| reference("parameters", name)));
    }
    parameters.extend(route.query.iter().map(|parameter| described_parameter(parameter, "query")));
    parameters.extend(route.headers.iter().map(|parameter| described_parameter(parameter, "header")));
    parameters
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
        components::add_rate_limit(&mut headers);
    }
    if let Some(declared) = &response.header {
        headers[declared.name] =
            json!({ "description": declared.description, "schema": { "type": "string" } });
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

/// The error responses of a route, by status.
fn errors_of(route: &Route) -> BTreeMap<u16, Value> {
    let mut by_status: BTreeMap<u16, Vec<(&str, &str)>> = BTreeMap::new();
    for ((status, code), advice) in catalogue::errors_of(route.access, &route.codes()) {
        by_status.entry(status).or_default().push((code, advice));
    }
    by_status.into_iter().map(|(status, codes)| (status, error(status, &codes, route.access))).collect()
}

fn error(status: u16, codes: &[(&str, &str)], access: Access) -> Value {
    let lines: Vec<_> = codes.iter().map(|(code, advice)| format!("`{code}`: {advice}")).collect();
    let mut headers = json!({ "X-Request-Id": header("RequestId") });
    if [429, 503].contains(&status) {
        headers["Retry-After"] = header("RetryAfter");
    }
    if codes.iter().any(|(code, _)| *code == "idempotency_in_progress") {
        headers["Retry-After"] = header("RetryAfterConflict");
    }
    if status == 401 {
        headers["WWW-Authenticate"] = header("WwwAuthenticate");
    }
    if status == 429 {
        components::add_rate_limit(&mut headers);
    }
    let mut content = json!({ "application/json": { "schema": reference("schemas", "ErrorResponse") } });
    if access == Access::Browser {
        content["text/html"] = json!({ "schema": { "type": "string" } });
    }
    json!({ "description": lines.join("\n\n"), "headers": headers, "content": content })
}

/// Errors that are the same for all routes are components; returns the response or a reference to it.
fn share(shared: &mut Map<String, Value>, access: Access, status: u16, response: Value) -> Value {
    let name = match status {
        401 => "Unauthorized",
        413 => "BodyTooLarge",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "Unavailable",
        _ => return response,
    };
    if access == Access::Browser {
        return response;
    }
    if shared.entry(name).or_insert_with(|| response.clone()) == &response {
        reference("responses", name)
    } else {
        response
    }
}

/// The schemas of requests and responses.
///
/// # Panics
///
/// If a request and a response have different schemas of one name.
fn schemas(mut requests: SchemaGenerator, mut responses: SchemaGenerator) -> Map<String, Value> {
    let mut schemas = requests.take_definitions(false);
    for (name, schema) in responses.take_definitions(false) {
        let other = schemas.insert(name.clone(), schema.clone());
        assert!(other.is_none_or(|other| other == schema), "two schemas have the name {name}");
    }
    schemas
}

/// Removes the formats of integers, which are those of Rust's types and not of JSON Schema.
fn simplify(value: &mut Value) {
    if let Value::Object(fields) = value {
        let is_integer = fields.get("type").is_some_and(|kind| {
            kind == "integer"
                || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "integer"))
        });
        if is_integer {
            fields.remove("format");
        }
        fields.values_mut().for_each(simplify);
    } else if let Value::Array(items) = value {
        items.iter_mut().for_each(simplify);
    }
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}
