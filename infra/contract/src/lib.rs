//! The contract: what a program may ask of the API and what it is answered, as OpenAPI 3.1 and as a page for people.
//!
//! Everything comes from where it is true: routes, statuses and codes from `shared::http::catalogue`, schemas of requests
//! and answers from the very types that the functions read and write. What only a person can say (who may call, in one
//! sentence what for, an example) is in [`operations`], one row for each route. `docs/openapi.json` and `docs/api.html`
//! are written from here, a test compares them, and two functions serve them as they are.

mod document;
mod operation;
mod operations;
mod page;
pub mod routes;

pub use document::document;
pub use operation::{Answer, Body, Operation, Request};
pub use operations::all as operations;
pub use page::page;
