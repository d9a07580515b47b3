//! Every route, with who may call it and a request that it takes. The matrices of scopes and of isolation walk over
//! this; a route of the catalogue that is not here fails them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::http::catalogue::{self, Access};

/// A route with what its callers need.
#[derive(Debug, Clone)]
pub struct Route {
    /// `GET`.
    pub method: &'static str,
    /// With the names of its parameters: `/v1/apps/{appId}`.
    pub path: &'static str,
    pub access: Access,
    /// A key needs one of them.
    pub scopes: &'static [&'static str],
    /// The operator's key opens it.
    pub operator: bool,
    /// A body that it takes.
    pub body: Value,
    /// It answers with a part of a list, and takes a cursor.
    pub is_list: bool,
}

impl Route {
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The names of the ids in its path.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
    }
}

/// Scopes of a route that takes a key, and a body that it takes.
fn row(route: &str) -> (&'static [&'static str], Value) {
    const APPS: &[&str] = &["apps:manage"];
    const MANAGE: &[&str] = &["rc:manage"];
    const READ: &[&str] = &["rc:manage", "sms:read"];
    let nothing = Value::Null;
    match route {
        "POST /v1/tenants" | "PATCH /v1/tenants/{tenantId}" => (&[], json!({ "name": "x" })),
        "GET /v1/tenants" | "GET /v1/tenants/{tenantId}" | "DELETE /v1/tenants/{tenantId}" => (&[], nothing),
        "POST /v1/apps/register" => (APPS, json!({ "name": "x", "tenantId": "tenant_00000000000000aa" })),
        "PUT /v1/apps/{appId}" => (APPS, json!({ "name": "x" })),
        "POST /v1/apps/{appId}/keys" => (APPS, json!({ "scopes": ["sms:read"] })),
        "GET /v1/apps"
        | "GET /v1/apps/{appId}"
        | "DELETE /v1/apps/{appId}"
        | "POST /v1/apps/{appId}/rotate-key"
        | "POST /v1/apps/{appId}/rotate-webhook-secret"
        | "GET /v1/apps/{appId}/keys"
        | "DELETE /v1/apps/{appId}/keys/{keyId}"
        | "GET /v1/audit" => (APPS, nothing),
        "POST /v1/rc/connect-token"
        | "POST /v1/rc/invite-token"
        | "DELETE /v1/rc/extensions/{extensionId}"
        | "POST /v1/rc/numbers/refresh"
        | "POST /v1/rc/disconnect" => (MANAGE, nothing),
        "GET /v1/rc/status" | "GET /v1/rc/extensions" | "GET /v1/rc/numbers" => (READ, nothing),
        other => panic!("{other} has no row of scopes and body"),
    }
}

/// All of them.
pub fn all() -> Vec<Route> {
    let lists = ["GET /v1/tenants", "GET /v1/apps", "GET /v1/audit"];
    let both = ["POST /v1/apps/register", "GET /v1/audit"];
    catalogue::routes()
        .into_iter()
        .map(|(route, access, codes)| {
            let (method, path) = route.split_once(' ').unwrap();
            let (scopes, body) = match access {
                Access::Open | Access::Browser => (&[][..], Value::Null),
                Access::Key | Access::Operator => row(route),
            };
            let is_list = lists.contains(&route);
            assert!(!is_list || codes.contains(&"invalid_query"), "{route}");
            let operator = access == Access::Operator || both.contains(&route);
            Route { method, path, access, scopes, operator, body, is_list }
        })
        .collect()
}

#[test]
fn every_scope_of_the_product_opens_something_or_is_not_there_yet() {
    let named: BTreeSet<_> = all().iter().flat_map(|route| route.scopes).copied().collect();
    let known: BTreeSet<_> = shared::model::app::Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    assert!(named.is_subset(&known), "{named:?}");
}
