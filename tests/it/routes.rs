//! Every route of the contract with who may call it. The matrices of scopes and of isolation walk over this, so a new
//! route is in them, or fails them for what it lacks.

use contract::Operation;
use serde_json::Value;
use shared::http::routes::{self, Access};

/// A route with what its callers need.
#[derive(Debug)]
pub struct Route {
    pub access: Access,
    pub operation: Operation,
}

impl Route {
    /// A body that it takes; nothing if it needs none.
    pub fn body(&self) -> Value {
        self.operation.example().cloned().unwrap_or_default()
    }

    /// It asks for a key, whosever.
    pub fn takes_keys(&self) -> bool {
        matches!(self.access, Access::Key | Access::Operator)
    }
}

/// All of them.
pub fn all() -> Vec<Route> {
    let described = contract::operations();
    let find = |route: &str| described.iter().find(|(_, operation)| operation.route == route);
    routes::all()
        .into_iter()
        .map(|(route, access, _)| {
            let (_, operation) = find(route).unwrap_or_else(|| panic!("{route} has no row in the contract"));
            Route { access, operation: operation.clone() }
        })
        .collect()
}
