//! The contract: it is what the code says, it is OpenAPI, and the stack keeps it.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use serde_json::{Value, json};
use shared::http::catalogue;
use shared::http::route::ResponseBody;
use shared::model::event::EventKind;

use crate::endpoint_tables;
use crate::send::without_limit;
use crate::template;
use crate::world::{World, root};

fn written(name: &str, now: &str) {
    let file = root().join("docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, now).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == now, "docs/{name} is not what the code says: run with UPDATE_DOCS=1");
}

#[test]
fn the_documents_are_what_the_code_says() {
    let document = contract::document();
    written("openapi.json", &format!("{}\n", serde_json::to_string_pretty(&document).unwrap()));
    written("api.html", &contract::page(&document).unwrap());
    written("errors.md", &contract::errors());
    written("endpoints.md", &endpoint_tables::as_markdown(&document));
    let json = |value: &Value| format!("{}\n", serde_json::to_string_pretty(value).unwrap());
    written("power-automate/apiDefinition.swagger.json", &json(&contract::connector_definition(&document)));
    written("power-automate/apiProperties.json", &json(&contract::connector_properties()));
}

/// Each function states its route; `template.yaml` is the one other place that names routes and functions.
#[test]
fn the_template_has_the_routes_that_the_functions_state() {
    let operations = contract::operations();
    let functions: BTreeMap<_, _> = operations
        .iter()
        .map(|operation| (operation.route.key.to_owned(), operation.function.clone()))
        .collect();
    assert_eq!(functions.len(), operations.len(), "two functions state the same route");
    assert_eq!(functions, template::routes_with_functions());
    let ids: BTreeSet<_> = fields(&contract::document()["paths"])
        .flat_map(|(_, methods)| {
            fields(methods).map(|(_, one)| one["operationId"].to_string()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(ids.len(), operations.len(), "every operation has a different id");
}

#[test]
fn every_code_of_a_route_is_in_the_catalogue_and_every_error_belongs_to_a_route() {
    let operations = contract::operations();
    let mut used: BTreeSet<_> = operations.iter().flat_map(|operation| operation.route.codes()).collect();
    // Of the default route, which is no operation.
    used.insert("method_not_allowed");
    assert_eq!(catalogue::codes(), used);
}

/// The description of OpenAPI 3.1 itself is checked in CI with a validator that its authors keep; this is what can be
/// said without: every schema is one, and every reference leads somewhere.
#[test]
fn every_schema_is_one_and_every_reference_leads_somewhere() {
    let document = contract::document();
    let mut schemas = 0;
    walk(&document, &mut |value| {
        if let Some(path) = value["$ref"].as_str() {
            assert!(document.pointer(path.trim_start_matches('#')).is_some(), "{path}");
        }
        if let Some(schema) = value.get("schema") {
            assert!(jsonschema::meta::is_valid(schema), "{schema}");
            schemas += 1;
        }
    });
    assert!(schemas > 100, "{schemas}");
    for (name, schema) in fields(&document["components"]["schemas"]) {
        assert!(jsonschema::meta::is_valid(schema), "{name}");
    }
}

#[test]
fn every_example_parses_by_its_type_and_its_schema() {
    let document = contract::document();
    for contract::Operation { route, .. } in contract::operations() {
        let described = &document["paths"][route.path()][route.method().to_lowercase()];
        if let Some(request) = &route.request {
            (request.parse)(request.example()).unwrap_or_else(|error| panic!("{}: {error}", route.key));
            let schema = &described["requestBody"]["content"][request.media]["schema"];
            hold(&document, schema, &request.example(), route.key);
            let mut more = request.example();
            more["somethingElse"] = json!(1);
            let strict = request.media == "application/json";
            assert_eq!(
                validator(&document, schema).is_valid(&more),
                !strict,
                "{}: unknown fields",
                route.key
            );
        }
        for response in route.responses() {
            if let ResponseBody::Json { example, .. } = response.body {
                let example = serde_json::from_str(example).unwrap();
                hold(&document, response_schema(described, response.status), &example, route.key);
            }
        }
    }
}

/// What generators and linters need: no schema is `true` or `false`, and an error is a plain reference.
#[test]
fn every_generator_can_read_the_schemas() {
    let document = contract::document();
    let mut bodies = Vec::new();
    walk(&document, &mut |value| {
        for name in ["schema", "items"] {
            assert!(value.get(name).is_none_or(|schema| !schema.is_boolean()), "{value}");
        }
        for (name, property) in fields(&value["properties"]) {
            assert!(!property.is_boolean(), "{name}");
        }
        if value.get("required").is_some_and(Value::is_boolean) && value.get("content").is_some() {
            bodies.push(value.clone());
        }
    });
    for body in bodies {
        for (_, media) in fields(&body["content"]) {
            assert!(media["schema"]["$ref"].is_string(), "a body without a named schema: {body}");
        }
    }
    for contract::Operation { route, .. } in contract::operations() {
        let described = &document["paths"][route.path()][route.method().to_lowercase()];
        for (status, response) in fields(&described["responses"]) {
            let response = resolve(&document, response);
            let schema = &response["content"]["application/json"]["schema"];
            if status >= "400" && !schema.is_null() {
                assert_eq!(*schema, json!({ "$ref": "#/components/schemas/ErrorResponse" }), "{}", route.key);
            }
        }
    }
}

#[test]
fn everything_in_the_contract_has_a_description() {
    let document = contract::document();
    let mut missing = Vec::new();
    let mut check = |what: String, described: &Value| {
        let text =
            resolve(&document, described)["description"].as_str().or(described["description"].as_str());
        if text.is_none_or(|text| !text.ends_with(['.', '`'])) {
            missing.push(format!("{what}: {text:?}"));
        }
    };
    for tag in document["tags"].as_array().unwrap() {
        check(tag["name"].to_string(), tag);
    }
    for section in ["paths", "webhooks"] {
        for (path, methods) in fields(&document[section]) {
            for (method, operation) in fields(resolve(&document, methods)) {
                check(format!("{method} {path}"), operation);
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    check(format!("{method} {path} {parameter}"), parameter);
                }
                for (status, response) in fields(&operation["responses"]) {
                    check(format!("{method} {path} {status}"), response);
                }
            }
        }
    }
    for (name, schema) in fields(&document["components"]["schemas"]) {
        for (property, described) in fields(&schema["properties"]) {
            check(format!("{name}.{property}"), described);
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_type_of_event_has_a_schema_and_a_webhook() {
    let document = contract::document();
    let mapping = &document["components"]["schemas"]["Event"]["discriminator"]["mapping"];
    for kind in EventKind::ALL.map(EventKind::as_str) {
        let reference = json!({ "$ref": mapping[kind] });
        let schema = resolve(&document, &reference);
        assert_eq!(schema["properties"]["type"]["const"], kind);
        let webhook = resolve(&document, &document["webhooks"][kind]);
        let body = &webhook["post"]["requestBody"]["content"]["application/json"];
        assert_eq!(body["schema"]["$ref"], mapping[kind]);
    }
}

/// What a reference points to.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let path = value["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
    path.map_or(value, |path| document.pointer(path).unwrap())
}

fn response_schema(described: &Value, status: u16) -> &Value {
    &described["responses"][status.to_string()]["content"]["application/json"]["schema"]
}

#[track_caller]
fn hold(document: &Value, schema: &Value, value: &Value, what: &str) {
    let validator = validator(document, schema);
    let wrong: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:?}\n{value}");
}

/// A schema of the document, with the components that it refers to.
fn validator(document: &Value, schema: &Value) -> Validator {
    let schema = json!({ "allOf": [schema], "components": document["components"] });
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn walk(value: &Value, look: &mut impl FnMut(&Value)) {
    look(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|value| walk(value, look)),
        Value::Array(items) => items.iter().for_each(|value| walk(value, look)),
        _ => {}
    }
}

#[tokio::test]
async fn the_contract_is_served_as_it_is_written() {
    let world = World::start().await;
    let served = world.get("/openapi.json", "").await.expect(200);
    assert_eq!(served.header("content-type"), "application/json");
    assert_eq!(served.json(), contract::document());
    let page = world.get("/docs", "").await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
    for never in ["<script", "http://", "https://app.example\"", "src=", "@import"] {
        assert!(!page.text.contains(never), "the page has {never}");
    }
    for contract::Operation { route, .. } in contract::operations() {
        assert!(page.text.contains(route.path()), "{} is not on the page", route.key);
    }
}

/// Every route is asked for real, and what it answers is of its documented statuses and schemas.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_stack_answers_is_what_the_contract_says() {
    let world = World::start().await;
    let document = contract::document();
    without_limit(&world, &world.tenant()).await;
    let mut asked = BTreeSet::new();
    for (route, reply) in crate::answers::of_every_route(&world).await {
        let (method, path) = route.split_once(' ').unwrap();
        let described = &document["paths"][path][method.to_lowercase()];
        let status = reply.status.as_u16();
        let response = resolve(&document, &described["responses"][status.to_string()]);
        assert!(response.is_object(), "{route} answers {status}, which is not documented: {}", reply.text);
        let media = reply.header("content-type").split(';').next().unwrap_or_default().to_owned();
        let body = response["content"].get(&media);
        if let Some(schema) = body.map(|body| &body["schema"]).filter(|_| media == "application/json") {
            hold(&document, schema, &reply.json(), &format!("{route} {status}"));
        }
        assert!(body.is_some() || reply.text.is_empty(), "{route} {status} answers {media}");
        for (name, header) in fields(&response["headers"]) {
            let is_certain = status < 400 || status == 429 || resolve(&document, header)["required"] == true;
            assert!(!is_certain || reply.headers.contains_key(name), "{route} {status} has no {name}");
        }
        asked.insert((route, status));
    }
    // Every documented success was seen.
    for contract::Operation { route, .. } in contract::operations() {
        for response in route.responses() {
            let seen = asked.contains(&(route.key, response.status));
            assert!(seen, "{} {} was not asked for", route.key, response.status);
        }
    }
}
