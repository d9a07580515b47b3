//! The API's contract: an OpenAPI 3.1 document, the API reference, the tables of errors, and the connector for Power Automate.
//!
//! Everything comes from the code that it describes: routes from [`routes`], errors from `shared::http::catalogue`, schemas from
//! the types that the functions parse and serialize. `docs/openapi.json`, `docs/api.html` and `docs/errors.md` are generated from
//! here, a test compares them, and two functions serve the first two.
//!
//! Why not utoipa (5.4): it would replace the derive macro of schemars and this crate's assembly of the document, but
//!
//! - it has one schema for each type, for requests and responses alike, and an `Option` field is not required in it unless an
//!   attribute at the field says so. Our responses always have their `null` fields, and our requests need not;
//! - two sets of responses of one operation do not merge: of two entries with the same status, the later one wins. Here, the errors
//!   of a status follow from who can call the route, from its body and from its own codes together;
//! - it does not have the `webhooks` of OpenAPI 3.1;
//! - it does not parse the examples of requests, nor compare the document with the routes of `template.yaml`. Tests here do both.

mod components;
mod document;
mod page;
mod power_automate;
pub mod routes;
mod webhooks;

pub use document::document;
pub use page::page;
pub use routes::{Operation, TAGS, operations};
use serde_json::Value;
use shared::http::catalogue;

/// `docs/power-automate/apiDefinition.swagger.json`.
pub fn connector_definition(document: &Value) -> Value {
    power_automate::definition(document)
}

/// `docs/power-automate/apiProperties.json`.
pub fn connector_properties() -> Value {
    power_automate::properties()
}

/// `docs/errors.md`.
pub fn errors() -> String {
    let operations = operations();
    let routes = operations.iter().map(|operation| (operation.route.key, operation.route.codes()));
    catalogue::as_markdown(routes)
}
