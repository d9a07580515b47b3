//! The routes of the contract, with who can call them. The tests of scopes and of isolation go through this list, so they
//! cover a new route or fail for what it lacks.

pub use contract::Operation;
use serde_json::Value;
use shared::http::route::{Access, Route};

pub fn all() -> Vec<Route> {
    contract::operations().into_iter().map(|Operation { route, .. }| route).collect()
}

/// The example of a body that the route needs, or null.
pub fn body(route: &Route) -> Value {
    route.required_example().unwrap_or_default()
}

/// Whether the route needs a key.
pub fn needs_key(route: &Route) -> bool {
    matches!(route.access, Access::Key | Access::Operator)
}
