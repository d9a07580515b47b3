//! `docs/endpoints.md`, generated from the OpenAPI document and `template.yaml`.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::template;

const BEFORE: &str = "\
# Endpoints

<!-- Generated. To update: UPDATE_DOCS=1 cargo test --package tests --test it contract:: -->

Requests and responses are JSON with camelCase fields. Times are ISO 8601 in UTC; phone numbers are E.164. Send an API key as
`Authorization: Bearer KEY` or `X-API-Key: KEY`. Unknown fields are rejected. Resources of other tenants are reported as not
found. An error is `{\"error\": \"<text>\", \"code\": \"<stable_snake_case>\", \"field\": \"<json path>\"?, \"requestId\": \"…\"}`
([errors.md](errors.md)). Lists are paginated: pass `nextCursor` of a page as `cursor` to get the next one.

The column *key* names the scopes of which a key needs one; *operator* is the operator key. The first key of an app has all
scopes. Further keys can have fewer scopes, an expiry, and a list of allowed IP addresses. Responses to requests with a key have
the headers `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`; over the limit, the API returns 429 with
`Retry-After`.

The API reference has parameters, schemas and examples: `GET /docs` of a running stack, or [openapi.json](openapi.json).
";

const FUNCTIONS: &str = "
## Functions without an endpoint

| function | invoked by | what it does |
| --- | --- | --- |
";

pub fn as_markdown(document: &Value) -> String {
    let mut page = BEFORE.to_owned();
    for tag in document["tags"].as_array().unwrap() {
        let rows = rows(document, &tag["name"]);
        if rows.is_empty() {
            continue; // The tag of webhooks has no endpoints.
        }
        writeln!(page, "\n## {}\n", tag["name"].as_str().unwrap()).unwrap();
        page.push_str(
            "| endpoint | key | success | what it does | function |\n| --- | --- | --- | --- | --- |\n",
        );
        page.extend(rows);
    }
    page.push_str(FUNCTIONS);
    for function in template::functions_without_routes() {
        let invokers = function.invokers.join(", ");
        writeln!(page, "| `{}` | {invokers} | {} |", function.name, function.description).unwrap();
    }
    page
}

fn rows(document: &Value, tag: &Value) -> Vec<String> {
    let mut rows = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation["tags"].as_array().unwrap().contains(tag) {
                rows.push(format!(
                    "| {} `{path}` | {} | {} | {} | `{}` |\n",
                    method.to_uppercase(),
                    keys(operation),
                    successes(operation),
                    operation["summary"].as_str().unwrap(),
                    operation["x-function"].as_str().unwrap(),
                ));
            }
        }
    }
    rows
}

/// The scopes of which a key needs one, and whether the operator key is accepted.
fn keys(operation: &Value) -> String {
    let mut keys = BTreeSet::new();
    for (scheme, scopes) in
        operation["security"].as_array().unwrap().iter().flat_map(|scheme| scheme.as_object().unwrap())
    {
        let scopes = scopes.as_array().unwrap();
        keys.extend(scopes.iter().map(|scope| format!("`{}`", scope.as_str().unwrap())));
        if scheme == "operator" {
            keys.insert("operator".to_owned());
        } else if scopes.is_empty() {
            keys.insert("any".to_owned());
        }
    }
    if keys.is_empty() { "none".to_owned() } else { keys.into_iter().collect::<Vec<_>>().join(", ") }
}

fn successes(operation: &Value) -> String {
    let statuses = operation["responses"].as_object().unwrap().keys();
    let successes: Vec<&str> =
        statuses.map(String::as_str).filter(|status| status.starts_with(['2', '3'])).collect();
    successes.join(", ")
}
