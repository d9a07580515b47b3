//! Every route with every kind of key: none, malformed, the operator's, and one for each single scope.

use serde_json::{Value, json};
use shared::http::route::{Access, Route};
use shared::model::app::Scope;

use crate::routes;
use crate::send::without_limit;
use crate::tenancy::{additional_key, app_of, send};
use crate::world::{Reply, World};

/// Well-formed ids that do not exist: a route checks the key before it reads anything.
const RANDOM_IDS: [(&str, &str); 9] = [
    ("appId", "app_00000000000000aa"),
    ("deliveryId", "dlv_00000000000000000000000000aa"),
    ("id", "app_00000000000000aa"),
    ("messageId", "msg_00000000000000000000000000aa"),
    ("mediaId", "media_00000000000000000000000000aa01"),
    ("keyId", "key_00000000000000aa"),
    ("tenantId", "tenant_00000000000000aa"),
    ("extensionId", "999999999"),
    ("recordId", "qr_00000000000000aa0000000000000000000000aa"),
];

/// Whether a route accepts a key.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Rejected because of the key.
    Refused(u16, &'static str),
    /// The key is accepted, whatever the response.
    Opens,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_accepts_its_scopes_and_no_others() {
    let world = World::start().await;
    let tenant = world.tenant();
    without_limit(&world, &tenant).await;
    let mut keys = Vec::new();
    for scope in Scope::ALL {
        keys.push((scope, additional_key(&world, &tenant, json!({ "scopes": [scope.as_str()] })).await));
    }
    let own = format!("/v1/apps/{}", app_of(&world, &tenant.key).await);
    let operator = world.operator_key();
    for route in routes::all() {
        let (path, name, method) = (filled(&route), route.key, route.method());
        if !routes::needs_key(&route) {
            for key in ["", "sgw_nonsense", &operator] {
                let reply = send(&world, method, &path, key, Value::Null).await;
                assert_eq!(reply.header("www-authenticate"), "", "{name} asks for a key");
            }
            continue;
        }
        for bad in ["", "sgw_nonsense"] {
            let reply = send(&world, method, &path, bad, routes::body(&route)).await;
            assert_eq!(verdict(&reply), Verdict::Refused(401, "unauthorized"), "{name}: {}", reply.text);
            assert_eq!(reply.json()["error"], "Missing or invalid API key");
            assert_eq!(reply.header("www-authenticate"), "Bearer");
        }
        let reply = send(&world, method, &path, &operator, routes::body(&route)).await;
        let expected = if route.operator { Verdict::Opens } else { Verdict::Refused(401, "unauthorized") };
        assert_eq!(verdict(&reply), expected, "{name} with the operator's key: {}", reply.text);
        for (scope, key) in &keys {
            let reply = send(&world, method, &path, key, routes::body(&route)).await;
            let fits = route.scopes.is_empty() || route.scopes.contains(scope);
            let opens = route.access == Access::Key && fits;
            let expected = if opens { Verdict::Opens } else { Verdict::Refused(403, "insufficient_scope") };
            assert_eq!(verdict(&reply), expected, "{name} with {scope:?}: {}", reply.text);
        }
    }
    // The exception: every key may read its own app.
    for (_, key) in &keys {
        world.get(&own, key).await.expect(200);
    }
}

fn filled(route: &Route) -> String {
    let mut path = route.path().to_owned();
    for name in route.path_parameters() {
        let id = RANDOM_IDS.iter().find(|(known, _)| *known == name);
        let (_, id) = id.unwrap_or_else(|| panic!("{name} has no random id"));
        path = path.replace(&format!("{{{name}}}"), id);
    }
    path
}

fn verdict(reply: &Reply) -> Verdict {
    match reply.status.as_u16() {
        401 => Verdict::Refused(401, "unauthorized"),
        // With a field, the route is open, and the request asks for more than the key has.
        403 if reply.error().1 == "insufficient_scope" && reply.json()["field"].is_null() => {
            Verdict::Refused(403, "insufficient_scope")
        }
        _ => Verdict::Opens,
    }
}
