//! The API's contract: an OpenAPI 3.1 document, the API reference, and the tables of errors.
//!
//! Everything comes from the code that it describes: routes from [`routes`], errors from `shared::http::catalogue`, schemas from
//! the types that the functions parse and serialize. `docs/openapi.json`, `docs/api.html` and `docs/errors.md` are generated from
//! here, a test compares them, and two functions serve the first two.
//!
//! Why not utoipa: its schemas come from a derive macro of its own, which each request and response type would need beside
//! serde's and schemars'; it describes one schema per type, where a serializer and a parser differ (`null` is written, but need
//! not be sent); it knows no errors that follow from who can call a route; and it leaves the document's examples unchecked,
//! where a test here parses each one as the function does. Its macros would also be part of every function's binary.

mod document;
mod page;
pub mod routes;

pub use document::document;
pub use page::page;
pub use routes::{Operation, operations};
use shared::http::catalogue;

/// `docs/errors.md`.
pub fn errors() -> String {
    let operations = operations();
    let routes = operations.iter().map(|operation| (operation.route.key, operation.route.codes()));
    catalogue::as_markdown(routes)
}
