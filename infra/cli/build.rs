//! Generates the client from the contract, `docs/openapi.json`: a type for each schema and a function for each operation. So a
//! request that does not fit the contract does not compile, and none is written by hand.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

const CONTRACT: &str = "../../docs/openapi.json";

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(folder.join(CONTRACT)).expect("the contract is in the repository");
    let contract: Value = serde_json::from_str(&text).expect("the contract is JSON");
    let mut code = String::new();
    for (name, schema) in object(&contract["components"]["schemas"]) {
        if schema["properties"].is_object() {
            write_struct(&mut code, name, schema, &contract);
        }
    }
    for (path, methods) in object(&contract["paths"]) {
        for (method, operation) in object(methods) {
            if operation["operationId"].is_string() {
                write_operation(&mut code, path, method, operation, &contract);
            }
        }
    }
    let output = std::env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR");
    std::fs::write(Path::new(&output).join("api.rs"), code).expect("the output folder can be written");
    println!("cargo::rerun-if-changed={CONTRACT}");
    println!("cargo::rerun-if-changed=build.rs");
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A type for the properties of a schema.
fn write_struct(code: &mut String, name: &str, schema: &Value, contract: &Value) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    code.push_str("#[derive(Debug, Clone, Default, Serialize, Deserialize)]\n#[serde(default)]\n");
    writeln!(code, "pub struct {name} {{").expect("a string can be written");
    for (field, property) in object(&schema["properties"]) {
        let mut kind = type_of(property, contract);
        if !required.contains(&field.as_str()) && !kind.starts_with("Option<") {
            kind = format!("Option<{kind}>");
        }
        write_field(code, field, &kind);
    }
    code.push_str("}\n");
}

fn write_field(code: &mut String, name: &str, kind: &str) {
    let skipped =
        if kind.starts_with("Option<") { ", skip_serializing_if = \"Option::is_none\"" } else { "" };
    writeln!(code, "    #[serde(rename = \"{name}\"{skipped})]\n    pub {}: {kind},", identifier(name))
        .expect("a string can be written");
}

/// A function that makes the request of an operation, and a type for its query.
fn write_operation(code: &mut String, path: &str, method: &str, operation: &Value, contract: &Value) {
    let name = snake(operation["operationId"].as_str().unwrap_or_default());
    let mut arguments = Vec::new();
    let mut query = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let parameter = resolve(parameter, contract);
        let of = parameter["name"].as_str().unwrap_or_default();
        match parameter["in"].as_str() {
            Some("path") => arguments.push(format!("{}: &str", identifier(of))),
            Some("query") => query.push((of, type_of(&parameter["schema"], contract))),
            _ => {}
        }
    }
    let query_type = format!("{}Query", pascal(&name));
    if !query.is_empty() {
        writeln!(code, "#[derive(Debug, Clone, Default, Serialize)]\npub struct {query_type} {{")
            .expect("a string can be written");
        for (of, kind) in &query {
            write_field(code, of, &format!("Option<{kind}>"));
        }
        code.push_str("}\n");
        arguments.push(format!("query: &{query_type}"));
    }
    let body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
    if let Some(body) = body {
        arguments.push(format!("body: &{}", last(body)));
    }
    let responses = object(&operation["responses"]).filter(|(status, _)| status.starts_with('2'));
    let mut schemas = responses.map(|(_, response)| &response["content"]["application/json"]["schema"]);
    let reply = schemas
        .find(|schema| !schema.is_null())
        .map_or("Value".to_owned(), |schema| type_of(schema, contract));
    let path =
        path.split('/').map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(parameter) => format!("Part::Parameter({})", identifier(parameter)),
            None => format!("Part::Fixed(\"{part}\")"),
        });
    let path: Vec<String> = path.skip(1).collect();
    let arguments = arguments.join(", ");
    let (method, path) = (method.to_uppercase(), path.join(", "));
    writeln!(code, "pub fn {name}({arguments}) -> Call<{reply}> {{").expect("a string can be written");
    let query = if query.is_empty() { "" } else { ".query(query)" };
    let body = if body.is_none() { "" } else { ".body(body)" };
    writeln!(code, "    Call::new(\"{method}\", &[{path}]){query}{body}\n}}")
        .expect("a string can be written");
}

fn resolve<'a>(value: &'a Value, contract: &'a Value) -> &'a Value {
    value["$ref"]
        .as_str()
        .map_or(value, |path| contract.pointer(&path[1..]).expect("a reference leads somewhere"))
}

fn type_of(schema: &Value, contract: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let is_struct = resolve(schema, contract)["properties"].is_object();
        return if is_struct {
            last(reference).to_owned()
        } else {
            type_of(resolve(schema, contract), contract)
        };
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let mut kinds = choices.iter().filter(|choice| choice["type"] != "null");
        return match (kinds.next(), kinds.next()) {
            (Some(only), None) => format!("Option<{}>", type_of(only, contract)),
            _ => "Value".to_owned(),
        };
    }
    let (kinds, nullable): (Vec<&str>, bool) = match &schema["type"] {
        Value::String(kind) => (vec![kind], false),
        Value::Array(kinds) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
            let nullable = kinds.contains(&"null");
            (kinds.into_iter().filter(|kind| *kind != "null").collect(), nullable)
        }
        _ => (Vec::new(), false),
    };
    let kind = match kinds.as_slice() {
        ["string"] => "String".to_owned(),
        ["integer"] => "i64".to_owned(),
        ["boolean"] => "bool".to_owned(),
        ["array"] => format!("Vec<{}>", type_of(&schema["items"], contract)),
        _ => "Value".to_owned(),
    };
    if nullable { format!("Option<{kind}>") } else { kind }
}

fn last(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or_default()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        match character {
            '-' => snake.push('_'),
            upper if upper.is_ascii_uppercase() => {
                snake.push('_');
                snake.push(upper.to_ascii_lowercase());
            }
            other => snake.push(other),
        }
    }
    snake
}

fn pascal(snake: &str) -> String {
    snake.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

fn identifier(name: &str) -> String {
    let snake = snake(name);
    if snake == "type" { "r#type".to_owned() } else { snake }
}
