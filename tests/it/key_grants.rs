//! What a key may pass on: keys that it creates, rotates or registers can do no more than it can.

use serde_json::{Value, json};
use shared::model::app::Scope;

use crate::tenancy::{additional_key, app_of, send};
use crate::world::{TestTenant, World, now};

const ALL: [&str; 7] = [
    "sms:send",
    "sms:read",
    "rc:manage",
    "apps:manage",
    "triggers:manage",
    "consents:read",
    "consents:write",
];

/// A tenant's app with a main key that can do everything, and a key that can do less.
struct Fixture {
    world: World,
    tenant: TestTenant,
    app: String,
    weak: String,
    end: String,
    later: String,
}

impl Fixture {
    async fn start() -> Self {
        let world = World::start().await;
        let tenant = world.tenant();
        let app = app_of(&world, &tenant.key).await;
        let at = async |hours| format!("{:.3}", now(&world).await + jiff::SignedDuration::from_hours(hours));
        let (end, later) = (at(2).await, at(3).await);
        let weak = json!({ "scopes": ["apps:manage", "sms:read"], "allowedIps": ["127.0.0.0/8", "192.0.2.0/25"], "expiresAt": end });
        let weak = additional_key(&world, &tenant, weak).await;
        Self { world, tenant, app, weak, end, later }
    }

    /// The attributes of the key of an app that `wanted` selects.
    async fn key_of(&self, app: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let keys = self.world.get(&format!("/v1/apps/{app}/keys"), &self.tenant.key).await.expect(200).json();
        let key = keys["keys"].as_array().unwrap().iter().find(|key| wanted(key)).unwrap();
        json!({ "scopes": scopes_of(key), "allowedIps": key["allowedIps"], "expiresAt": key["expiresAt"] })
    }
}

/// The scopes of a key, in the order of the model.
fn scopes_of(key: &Value) -> Value {
    let scopes = Scope::ALL.map(|scope| json!(scope.as_str())).into_iter();
    scopes.filter(|scope| key["scopes"].as_array().unwrap().contains(scope)).collect()
}

#[tokio::test]
async fn a_key_creates_only_keys_that_can_do_no_more_than_it_can() {
    let fixture = Fixture::start().await;
    let (world, end, later) = (&fixture.world, &fixture.end, &fixture.later);
    let other = json!({ "name": "Other", "tenantId": fixture.tenant.id });
    let other = send(world, "POST", "/v1/apps/register", &fixture.tenant.key, other).await.expect(201).json();
    let local = ["127.0.0.1"];
    for (more, field, named) in [
        (
            json!({ "scopes": ALL, "allowedIps": local, "expiresAt": end }),
            "scopes",
            "sms:send, rc:manage, triggers:manage",
        ),
        (
            json!({ "scopes": ["apps:manage", "sms:send"], "allowedIps": local, "expiresAt": end }),
            "scopes",
            "sms:send",
        ),
        (json!({ "scopes": ALL }), "scopes", "sms:send"),
        (json!({ "scopes": ["sms:read"], "expiresAt": end }), "allowedIps", "127.0.0.0/8, 192.0.2.0/25"),
        (json!({ "scopes": ["sms:read"], "allowedIps": [], "expiresAt": end }), "allowedIps", "127.0.0.0/8"),
        (
            json!({ "scopes": ["sms:read"], "allowedIps": ["0.0.0.0/0"], "expiresAt": end }),
            "allowedIps",
            "127.0.0.0/8",
        ),
        (
            json!({ "scopes": ["sms:read"], "allowedIps": ["126.0.0.0/7"], "expiresAt": end }),
            "allowedIps",
            "127.0.0.0/8",
        ),
        (
            json!({ "scopes": ["sms:read"], "allowedIps": ["127.0.0.1", "198.51.100.1"], "expiresAt": end }),
            "allowedIps",
            "127",
        ),
        (
            json!({ "scopes": ["sms:read"], "allowedIps": ["192.0.2.0/24"], "expiresAt": end }),
            "allowedIps",
            "192.0.2.0/25",
        ),
        (
            json!({ "scopes": ["sms:read"], "allowedIps": ["192.0.2.128"], "expiresAt": end }),
            "allowedIps",
            "192.0.2.0/25",
        ),
        (
            json!({ "scopes": ["sms:read"], "allowedIps": ["::/0"], "expiresAt": end }),
            "allowedIps",
            "127.0.0.0/8",
        ),
        (
            json!({ "scopes": ["sms:read"], "allowedIps": ["::ffff:0.0.0.0/96"], "expiresAt": end }),
            "allowedIps",
            "127.0.0.0/8",
        ),
        (json!({ "scopes": ["sms:read"], "allowedIps": local }), "expiresAt", end),
        (json!({ "scopes": ["sms:read"], "allowedIps": local, "expiresAt": null }), "expiresAt", end),
        (json!({ "scopes": ["sms:read"], "allowedIps": local, "expiresAt": later }), "expiresAt", end),
    ] {
        for app in [&fixture.app, other["appId"].as_str().unwrap()] {
            let reply =
                send(world, "POST", &format!("/v1/apps/{app}/keys"), &fixture.weak, more.clone()).await;
            assert_eq!(reply.error(), (403, "insufficient_scope".to_owned()), "{more}: {}", reply.text);
            let error = reply.json();
            assert_eq!(error["field"], field, "{more}");
            assert!(error["error"].as_str().unwrap().contains(named), "{more}: {error}");
        }
    }
    let path = format!("/v1/apps/{}/keys", fixture.app);
    let sooner = format!("{:.3}", now(world).await + jiff::SignedDuration::from_hours(1));
    for no_more in [
        json!({ "scopes": ["apps:manage", "sms:read"], "allowedIps": ["127.0.0.0/8", "192.0.2.0/25"], "expiresAt": end }),
        json!({ "scopes": ["sms:read"], "allowedIps": ["192.0.2.64/26", "192.0.2.0/26"], "expiresAt": sooner }),
        json!({ "scopes": ["apps:manage"], "allowedIps": ["::ffff:127.0.0.1"], "expiresAt": sooner }),
    ] {
        send(world, "POST", &path, &fixture.weak, no_more).await.expect(201);
    }
    // A key of a key can't get back what the first one lacks.
    let child = json!({ "scopes": ["apps:manage"], "allowedIps": ["127.0.0.1"], "expiresAt": sooner });
    let child = send(world, "POST", &path, &fixture.weak, child).await.expect(201).json();
    let grandchild = json!({ "scopes": ["sms:read"], "allowedIps": ["127.0.0.1"], "expiresAt": sooner });
    let refused = send(world, "POST", &path, child["apiKey"].as_str().unwrap(), grandchild).await;
    assert_eq!(refused.error(), (403, "insufficient_scope".to_owned()));
}

#[tokio::test]
async fn registered_and_rotated_keys_have_at_most_the_callers_permissions() {
    let fixture = Fixture::start().await;
    let (world, tenant) = (&fixture.world, &fixture.tenant);
    let is_main = |key: &Value| key["isMain"] == true;
    let order = json!({ "name": "Further", "tenantId": tenant.id });
    let everything = json!({ "scopes": ALL, "allowedIps": [], "expiresAt": null });
    let weak = json!({ "scopes": ["sms:read", "apps:manage"], "allowedIps": ["127.0.0.0/8", "192.0.2.0/25"], "expiresAt": fixture.end });

    // The first key of an app.
    let operator = world.operator_key();
    for (key, expected) in [(&operator, &everything), (&tenant.key, &everything), (&fixture.weak, &weak)] {
        let made = send(world, "POST", "/v1/apps/register", key, order.clone()).await.expect(201).json();
        assert_eq!(fixture.key_of(made["appId"].as_str().unwrap(), is_main).await, *expected);
    }

    // A strong main key, rotated with a weaker key and then with a strong one.
    let made = send(world, "POST", "/v1/apps/register", &operator, order.clone()).await.expect(201).json();
    let app = made["appId"].as_str().unwrap();
    let rotate = format!("/v1/apps/{app}/rotate-key");
    let rotated = world.post(&rotate, &fixture.weak).await.expect(200).json();
    assert_eq!(fixture.key_of(app, is_main).await, weak);
    assert_eq!((scopes_of(&rotated), &rotated["expiresAt"]), (weak["scopes"].clone(), &weak["expiresAt"]));
    world.post(&rotate, &tenant.key).await.expect(200);
    assert_eq!(fixture.key_of(app, is_main).await, weak, "a rotation adds nothing");

    // Nothing in common: nothing changes.
    let elsewhere = json!({ "scopes": ["sms:send"], "allowedIps": ["198.51.100.0/24"] });
    for (scopes, ips) in [(json!(["sms:send"]), json!([])), (json!(["apps:manage"]), json!(["127.0.0.1"]))] {
        let narrow = json!({ "name": "Narrow", "tenantId": tenant.id });
        let narrow = send(world, "POST", "/v1/apps/register", &tenant.key, narrow).await.expect(201).json();
        let (id, main) = (narrow["appId"].as_str().unwrap(), narrow["apiKey"].as_str().unwrap());
        let key = json!({ "scopes": scopes, "allowedIps": ips });
        let rows = world.items("TenantsTable").await;
        let prefix = narrow["apiKeyPrefix"].as_str().unwrap();
        let row = rows.iter().find(|row| row["app"]["S"] == id && row["digest"]["S"].is_string()).unwrap();
        assert!(main.starts_with(prefix));
        // The main key has only what the caller lacks.
        let mut row = row.clone();
        let list = |values: &Value| json!({ "L": values.as_array().unwrap().iter().map(|v| json!({ "S": v })).collect::<Vec<_>>() });
        let (other_scopes, other_ips) = if ips == json!([]) {
            (json!(["rc:manage"]), json!([]))
        } else {
            (scopes.clone(), elsewhere["allowedIps"].clone())
        };
        row["scopes"] = list(&other_scopes);
        if other_ips != json!([]) {
            row["allowed_ips"] = list(&other_ips);
        }
        world.put_item("TenantsTable", row).await;
        let mut caller = key.clone();
        caller["scopes"] = json!(["apps:manage"]);
        let caller = additional_key(world, tenant, caller).await;
        let reply = world.post(&format!("/v1/apps/{id}/rotate-key"), &caller).await;
        assert_eq!(reply.error(), (403, "insufficient_scope".to_owned()), "{scopes} {ips}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_power_automate_key_can_touch_nothing_but_triggers() {
    let fixture = Fixture::start().await;
    let (world, app) = (&fixture.world, &fixture.app);
    let key_with = async |scope: &str| {
        let order = json!({ "scopes": [scope] });
        let path = format!("/v1/apps/{app}/keys");
        let made = send(world, "POST", &path, &fixture.tenant.key, order).await.expect(201);
        made.json()["apiKey"].as_str().unwrap().to_owned()
    };
    let key = key_with("triggers:manage").await;
    let order = json!({ "callbackUrl": "https://flows.example.com/run?sig=x" });
    let made =
        send(world, "POST", "/v1/triggers/sms-received/subscribe", &key, order).await.expect(201).json();
    let trigger = made["id"].as_str().unwrap();
    for (method, path, body) in [
        ("GET", "/v1/apps".to_owned(), Value::Null),
        ("PUT", format!("/v1/apps/{app}"), json!({ "webhookUrl": "https://evil.example/" })),
        ("PUT", format!("/v1/apps/{trigger}"), json!({ "name": "x" })),
        ("DELETE", format!("/v1/apps/{app}"), Value::Null),
        ("DELETE", format!("/v1/apps/{trigger}"), Value::Null),
        ("POST", format!("/v1/apps/{app}/keys"), json!({ "scopes": ["triggers:manage"] })),
        ("POST", format!("/v1/apps/{app}/rotate-key"), Value::Null),
        ("POST", format!("/v1/apps/{app}/rotate-webhook-secret"), Value::Null),
        ("POST", "/v1/apps/register".to_owned(), json!({ "name": "x", "tenantId": fixture.tenant.id })),
        ("GET", "/v1/sms/messages".to_owned(), Value::Null),
        ("POST", "/v1/rc/disconnect".to_owned(), Value::Null),
    ] {
        let reply = send(world, method, &path, &key, body).await;
        assert_eq!(reply.error(), (403, "insufficient_scope".to_owned()), "{method} {path}");
    }
    // And a key without the scope can't subscribe, but manages the trigger as an app.
    let apps = key_with("apps:manage").await;
    let order = json!({ "callbackUrl": "https://flows.example.com/run" });
    let refused = send(world, "POST", "/v1/triggers/sms-received/subscribe", &apps, order).await;
    assert_eq!(refused.error(), (403, "insufficient_scope".to_owned()));
    send(world, "DELETE", &format!("/v1/apps/{trigger}"), &apps, Value::Null).await.expect(200);
}
