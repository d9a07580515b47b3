//! The document as a page for people: without a script, and with nothing from another host.

use std::collections::BTreeMap;

use askama::Template;
use serde_json::Value;

use crate::{Operation, operations};

/// What people call the ways in.
const WAYS: [(&str, &str); 2] = [("key", "key"), ("operator", "operator's key")];

#[derive(Template)]
#[template(path = "api.html")]
struct Page<'a> {
    style: &'static str,
    title: &'a str,
    version: &'a str,
    introduction: Vec<Vec<Piece<'a>>>,
    subjects: Vec<Subject<'a>>,
    events: Vec<DescribedEvent<'a>>,
}

/// Text, or code.
enum Piece<'a> {
    Text(&'a str),
    Code(&'a str),
}

struct Subject<'a> {
    name: &'a str,
    id: String,
    description: &'a str,
    operations: Vec<DescribedOperation<'a>>,
}

/// An event that a webhook URL receives.
struct DescribedEvent<'a> {
    kind: &'a str,
    description: &'a str,
    fields: Vec<Field<'a>>,
}

struct DescribedOperation<'a> {
    id: &'a str,
    method: &'static str,
    path: &'static str,
    summary: &'a str,
    description: Vec<Piece<'a>>,
    /// Who may call.
    opens: Vec<String>,
    parameters: Vec<Field<'a>>,
    body: Option<Shape<'a>>,
    body_required: bool,
    successes: Vec<Success<'a>>,
    errors: Vec<(&'a str, Vec<Vec<Piece<'a>>>)>,
}

struct Success<'a> {
    status: &'a str,
    description: Vec<Piece<'a>>,
    shape: Option<Shape<'a>>,
}

/// A body: its fields and an example.
struct Shape<'a> {
    fields: Vec<Field<'a>>,
    example: String,
}

struct Field<'a> {
    name: String,
    kind: String,
    required: bool,
    description: Vec<Piece<'a>>,
}

/// The page of a document.
///
/// # Errors
///
/// If the template can't be filled, which no document of ours does.
pub fn page(document: &Value) -> Result<String, askama::Error> {
    let text = |value: &'static str| document["info"][value].as_str().unwrap_or_default();
    let mut subjects: Vec<Subject<'_>> = items(&document["tags"])
        .map(|tag| {
            let text = |value: &str| tag[value].as_str().unwrap_or_default();
            let (name, description) = (text("name"), text("description"));
            Subject { name, id: anchor(name), description, operations: Vec::new() }
        })
        .collect();
    // In the order of the rows: the document has its paths in that of the alphabet.
    for Operation { tag, route, .. } in operations() {
        let described = &document["paths"][route.path()][route.method().to_lowercase()];
        if let Some(subject) = subjects.iter_mut().find(|subject| subject.name == tag) {
            subject.operations.push(operation(document, route.path(), route.method(), described));
        }
    }
    // The tag of webhooks has no operations of the API.
    subjects.retain(|subject| !subject.operations.is_empty());
    Page {
        style: include_str!("../templates/api.css"),
        title: text("title"),
        version: text("version"),
        introduction: text("description").split("\n\n").map(pieces).collect(),
        subjects,
        events: fields(&document["webhooks"])
            .map(|(kind, webhook)| event(document, kind, resolve(document, webhook)))
            .collect(),
    }
    .render()
    .map(|page| {
        page.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n") + "\n"
    })
}

fn event<'a>(document: &'a Value, kind: &'a str, webhook: &'a Value) -> DescribedEvent<'a> {
    let mut found = Vec::new();
    collect(
        document,
        &webhook["post"]["requestBody"]["content"]["application/json"]["schema"],
        "",
        &mut found,
    );
    DescribedEvent {
        kind,
        description: webhook["post"]["description"].as_str().unwrap_or_default(),
        fields: found,
    }
}

fn operation<'a>(
    document: &'a Value,
    path: &'static str,
    method: &'static str,
    described: &'a Value,
) -> DescribedOperation<'a> {
    let text = |value: &str| described[value].as_str().unwrap_or_default();
    let (mut successes, mut errors) = (Vec::new(), Vec::new());
    for (status, response) in fields(&described["responses"]) {
        let response = resolve(document, response);
        let description = response["description"].as_str().unwrap_or_default();
        if status.starts_with(['2', '3']) {
            let shape = response["content"].get("application/json").map(|json| shape(document, json));
            successes.push(Success { status, description: pieces(description), shape });
        } else {
            errors.push((status, description.split("\n\n").map(pieces).collect()));
        }
    }
    let content = fields(&described["requestBody"]["content"]).next();
    DescribedOperation {
        id: text("operationId"),
        method,
        path,
        summary: text("summary"),
        description: pieces(text("description")),
        opens: opens(&described["security"]),
        parameters: items(&described["parameters"]).map(|one| parameter(document, one)).collect(),
        body: content.map(|(_, body)| shape(document, body)),
        body_required: described["requestBody"]["required"] == true,
        successes,
        errors,
    }
}

/// `key with rc:manage or sms:read`.
fn opens(security: &Value) -> Vec<String> {
    WAYS.iter()
        .filter_map(|(scheme, name)| {
            let mut ways = items(security).filter_map(|way| way.get(scheme)).peekable();
            ways.peek()?;
            let scopes: Vec<_> = ways.flat_map(items).filter_map(Value::as_str).collect();
            Some(if scopes.is_empty() {
                (*name).to_owned()
            } else {
                format!("{name} with {}", scopes.join(" or "))
            })
        })
        .collect()
}

fn parameter<'a>(document: &'a Value, parameter: &'a Value) -> Field<'a> {
    let parameter = resolve(document, parameter);
    let text = |value: &str| parameter[value].as_str().unwrap_or_default();
    Field {
        name: text("name").to_owned(),
        kind: format!("{}, {}", text("in"), kind(document, &parameter["schema"])),
        required: parameter["required"] == true,
        description: pieces(text("description")),
    }
}

fn shape<'a>(document: &'a Value, body: &'a Value) -> Shape<'a> {
    let mut found = Vec::new();
    collect(document, &body["schema"], "", &mut found);
    Shape { fields: found, example: serde_json::to_string_pretty(&body["example"]).unwrap_or_default() }
}

/// The fields of an object, those within it behind it with their path.
fn collect<'a>(document: &'a Value, schema: &'a Value, before: &str, found: &mut Vec<Field<'a>>) {
    let schema = resolve(document, schema);
    let required: Vec<_> = items(&schema["required"]).filter_map(Value::as_str).collect();
    for (name, field) in fields(&schema["properties"]) {
        let name_in_full = format!("{before}{name}");
        // A description beside a reference replaces that of the schema.
        let description =
            field["description"].as_str().or_else(|| resolve(document, field)["description"].as_str());
        found.push(Field {
            name: name_in_full.clone(),
            kind: kind(document, field),
            required: required.contains(&name),
            description: pieces(description.unwrap_or_default()),
        });
        collect(document, field, &format!("{name_in_full}."), found);
    }
    if schema["type"] == "array" || items(&schema["type"]).any(|kind| kind == "array") {
        let before = before.trim_end_matches('.');
        collect(document, &schema["items"], &format!("{before}[]."), found);
    }
}

/// What a reference points to; of two that may be, the one that is not null.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(path) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        return document.pointer(path).map_or(schema, |found| resolve(document, found));
    }
    let one = items(&schema["anyOf"]).find(|one| one["type"] != "null");
    one.map_or(schema, |one| resolve(document, one))
}

/// `string or null`, `one of a, b`, `array of string`.
fn kind(document: &Value, schema: &Value) -> String {
    let may_be_null = items(&schema["anyOf"]).any(|one| one["type"] == "null");
    let schema = resolve(document, schema);
    let word = |name: &str| match (name, schema["format"].as_str()) {
        ("string", Some("date-time")) => "time".to_owned(),
        ("array", _) => format!("array of {}", kind(document, &schema["items"])),
        (name, _) => name.to_owned(),
    };
    let mut words: Vec<_> = match &schema["type"] {
        Value::String(kind) => vec![word(kind)],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).map(word).collect(),
        _ => Vec::new(),
    };
    if may_be_null {
        words.push("null".to_owned());
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values
            .iter()
            .filter(|value| !value.is_null())
            .map(|value| value.to_string().replace('"', ""))
            .collect();
        return values.join(", ");
    }
    if let Some(types) = schema["discriminator"]["mapping"].as_object() {
        let types: Vec<_> = types.keys().map(String::as_str).collect();
        return format!("one of the events {}", types.join(", "));
    }
    let mut text = words.join(" or ");
    for (name, sign) in [("minLength", "≥"), ("maxLength", "≤"), ("minimum", "≥"), ("maximum", "≤")] {
        let Some(bound) = schema[name].as_u64().filter(|bound| *bound > 0) else { continue };
        let what = if name.ends_with("Length") { " characters" } else { "" };
        text = format!("{text}, {sign} {bound}{what}");
    }
    text
}

/// Text with its `code`.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(at, part)| if at % 2 == 0 { Piece::Text(part) } else { Piece::Code(part) }).collect()
}

fn anchor(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let fields: BTreeMap<_, _> =
        value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
    fields.into_iter()
}
