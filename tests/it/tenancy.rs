//! Tenants, apps and keys: permissions and visibility.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::clock::{Clock, SystemClock};
use shared::limits;

use crate::send::post_once;
use crate::world::{Reply, TestTenant, World};

/// A well-formed id that does not exist.
const RANDOM_TENANT: &str = "tenant_00000000000000aa";

pub async fn send(world: &World, method: &str, path: &str, key: &str, body: Value) -> Reply {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    world.call(method, path, key, Some(body).filter(|body| !body.is_null())).await
}

/// The id of the app of a key.
pub async fn app_of(world: &World, key: &str) -> String {
    let apps = world.get("/v1/apps", key).await.expect(200).json();
    apps["apps"][0]["appId"].as_str().unwrap().to_owned()
}

/// Creates an additional key of the tenant's app.
pub async fn additional_key(world: &World, tenant: &TestTenant, body: Value) -> String {
    let app = app_of(world, &tenant.key).await;
    let made = send(world, "POST", &format!("/v1/apps/{app}/keys"), &tenant.key, body).await.expect(201);
    made.json()["apiKey"].as_str().unwrap().to_owned()
}

/// Adds app records to a tenant that has one app, until only `room` more can be registered.
pub async fn fill_with_apps(world: &World, tenant: &TestTenant, room: usize) {
    for at in 1..usize::try_from(limits::APPS_PER_TENANT).unwrap() - room {
        let item = json!({ "tenant": { "S": tenant.id }, "item": { "S": format!("app#app_{at:016x}") } });
        world.put_item("TenantsTable", item).await;
    }
}

/// A response without the parts that differ every time.
pub fn comparable(reply: &Reply) -> (u16, String, Vec<String>) {
    let id = reply.header("x-request-id").to_owned();
    assert!(!id.is_empty());
    let mut names: Vec<String> = reply.headers.keys().map(ToString::to_string).collect();
    names.sort();
    (reply.status.as_u16(), reply.text.replace(&id, "ID"), names)
}

#[tokio::test]
async fn the_operator_creates_lists_gets_suspends_and_resumes_tenants() {
    let world = World::start().await;
    let operator = world.operator_key();
    let order = json!({ "name": " Acme ", "limits": { "requestsPerMinute": 7 }, "returnUrl": "https://acme.example" });
    let made = send(&world, "POST", "/v1/tenants", &operator, order).await.expect(201).json();
    assert_eq!((&made["name"], &made["status"]), (&json!("Acme"), &json!("active")));
    assert_eq!(
        made["limits"],
        json!({ "requestsPerMinute": 7, "tenantRequestsPerMinute": 1_000, "connectTokensPerHour": 100, "apps": 20 })
    );
    let path = format!("/v1/tenants/{}", made["tenantId"].as_str().unwrap());
    assert_eq!(world.get(&path, &operator).await.expect(200).json(), made);
    // Newest first, page by page.
    let first = world.get("/v1/tenants?limit=1", &operator).await.expect(200).json();
    assert_eq!(first["tenants"], json!([made]));
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = world.get(&format!("/v1/tenants?cursor={cursor}"), &operator).await.expect(200).json();
    assert_eq!((rest["tenants"].as_array().unwrap().len(), &rest["nextCursor"]), (1, &Value::Null));
    assert_eq!(rest["tenants"][0]["tenantId"], json!(world.tenant().id));
    for (status, expected) in [("suspended", 403), ("active", 200)] {
        send(&world, "PATCH", &path, &operator, json!({ "status": status })).await.expect(200);
        let tenant = world.tenant();
        world.set_status(&tenant, status).await;
        let reply = world.get("/v1/rc/status", &tenant.key).await;
        assert_eq!(reply.status.as_u16(), expected);
        if expected == 403 {
            assert_eq!(reply.json()["error"], "Tenant suspended or inactive");
        }
    }
}

#[tokio::test]
async fn requests_with_one_idempotency_key_create_one_tenant() {
    let world = World::start().await;
    let operator = world.operator_key();
    let create = async |key: &str, body: Value| post_once(&world, "/v1/tenants", &operator, key, &body).await;
    let order = json!({ "name": "Acme", "limits": { "requestsPerMinute": 7 } });
    let mut made = BTreeSet::new();
    for reply in join_all((0..20).map(|_| create("order-4711", order.clone()))).await {
        match reply.status.as_u16() {
            201 => drop(made.insert(reply.text)),
            _ => assert_eq!(reply.error(), (409, "idempotency_in_progress".into())),
        }
    }
    assert_eq!(made.len(), 1, "{made:?}");
    let first = made.pop_first().unwrap();
    let all = world.get("/v1/tenants", &operator).await.expect(200).json();
    assert_eq!(all["tenants"].as_array().unwrap().len(), 2, "the tenant, and the one of the test");
    // Spaces around the name and the default of a limit do not make another request.
    let same = json!({ "limits": { "tenantRequestsPerMinute": 1_000, "connectTokensPerHour": 100, "requestsPerMinute": 7 }, "name": " Acme " });
    assert_eq!(create("order-4711", same).await.expect(201).text, first);
    let other = json!({ "name": "Other" });
    assert_eq!(create("order-4711", other.clone()).await.error(), (422, "idempotency_key_reused".into()));
    assert_eq!(create("", other.clone()).await.error(), (400, "invalid_field".into()));
    create("order-4712", other).await.expect(201);
    // The key is stored for two days.
    world.advance(49 * 3_600).await;
    assert_ne!(create("order-4711", order).await.expect(201).text, first);
}

#[tokio::test]
async fn invalid_requests_are_rejected_with_the_path_of_the_invalid_field() {
    let world = World::start().await;
    let (operator, tenant) = (world.operator_key(), world.tenant());
    let app = app_of(&world, &tenant.key).await;
    let (keys, rotate) = (format!("/v1/apps/{app}/keys"), format!("/v1/apps/{app}/rotate-key"));
    let (app_path, tenant_path) = (format!("/v1/apps/{app}"), format!("/v1/tenants/{}", tenant.id));
    let long = "x".repeat(101);
    let cases = [
        ("POST", "/v1/tenants", &operator, json!({}), "invalid_name", "name"),
        ("POST", "/v1/tenants", &operator, json!({ "name": long }), "invalid_name", "name"),
        ("POST", "/v1/tenants", &operator, json!({ "name": 1 }), "invalid_body", "name"),
        ("POST", "/v1/tenants", &operator, json!({ "name": "a", "plan": "x" }), "unknown_field", "plan"),
        (
            "POST",
            "/v1/tenants",
            &operator,
            json!({ "name": "a", "limits": { "perDay": 1 } }),
            "unknown_field",
            "limits.perDay",
        ),
        (
            "POST",
            "/v1/tenants",
            &operator,
            json!({ "name": "a", "limits": { "requestsPerMinute": 0 } }),
            "invalid_field",
            "limits.requestsPerMinute",
        ),
        (
            "POST",
            "/v1/tenants",
            &operator,
            json!({ "name": "a", "limits": { "tenantRequestsPerMinute": 0 } }),
            "invalid_field",
            "limits.tenantRequestsPerMinute",
        ),
        (
            "POST",
            "/v1/tenants",
            &operator,
            json!({ "name": "a", "limits": { "tenantRequestsPerMinute": 1_000_001 } }),
            "invalid_field",
            "limits.tenantRequestsPerMinute",
        ),
        (
            "POST",
            "/v1/tenants",
            &operator,
            json!({ "name": "a", "limits": { "requestsPerMinute": 1_000_001 } }),
            "invalid_field",
            "limits.requestsPerMinute",
        ),
        (
            "POST",
            "/v1/tenants",
            &operator,
            json!({ "name": "a", "limits": { "connectTokensPerHour": "9" } }),
            "invalid_body",
            "limits.connectTokensPerHour",
        ),
        (
            "PATCH",
            &tenant_path,
            &operator,
            json!({ "limits": { "apps": 201 } }),
            "invalid_field",
            "limits.apps",
        ),
        ("PATCH", &tenant_path, &operator, json!({ "status": "deleting" }), "invalid_field", "status"),
        ("POST", "/v1/apps/register", &operator, json!({ "name": "a" }), "missing_field", "tenantId"),
        (
            "POST",
            "/v1/apps/register",
            &operator,
            json!({ "name": "a", "tenantId": RANDOM_TENANT }),
            "tenant_unavailable",
            "tenantId",
        ),
        (
            "POST",
            "/v1/apps/register",
            &operator,
            json!({ "name": "a", "tenantId": "x" }),
            "invalid_id",
            "tenantId",
        ),
        (
            "POST",
            "/v1/apps/register",
            &tenant.key,
            json!({ "name": "a", "tenantId": tenant.id, "webhookUrl": "https://u@a.example" }),
            "invalid_webhook_url",
            "webhookUrl",
        ),
        ("PUT", &app_path, &tenant.key, json!({ "name": "" }), "invalid_name", "name"),
        ("PUT", &app_path, &tenant.key, json!({ "role": long }), "invalid_field", "role"),
        (
            "PUT",
            &app_path,
            &tenant.key,
            json!({ "webhookUrl": "https://10.0.0.1/" }),
            "invalid_webhook_url",
            "webhookUrl",
        ),
        ("PUT", &app_path, &tenant.key, json!({ "tenantId": tenant.id }), "unknown_field", "tenantId"),
        ("POST", &rotate, &tenant.key, json!({ "overlapSeconds": -1 }), "invalid_field", "overlapSeconds"),
        ("POST", &rotate, &tenant.key, json!({ "overlap": 1 }), "unknown_field", "overlap"),
        ("POST", &keys, &tenant.key, json!({}), "missing_field", "scopes"),
        ("POST", &keys, &tenant.key, json!({ "scopes": [] }), "invalid_field", "scopes"),
        ("POST", &keys, &tenant.key, json!({ "scopes": ["sms:read", "all"] }), "invalid_field", "scopes[1]"),
        ("POST", &keys, &tenant.key, json!({ "scopes": ["sms:read", 5] }), "invalid_body", "scopes[1]"),
        (
            "POST",
            &keys,
            &tenant.key,
            json!({ "scopes": ["sms:read"], "expiresAt": "2020-01-01T00:00:00Z" }),
            "invalid_field",
            "expiresAt",
        ),
        (
            "POST",
            &keys,
            &tenant.key,
            json!({ "scopes": ["sms:read"], "allowedIps": ["10.0.0.0/8", "x"] }),
            "invalid_field",
            "allowedIps[1]",
        ),
    ];
    for (method, path, key, body, code, field) in cases {
        let reply = send(&world, method, path, key, body.clone()).await;
        assert_eq!(reply.error(), (400, code.to_owned()), "{method} {path} {body}: {}", reply.text);
        assert_eq!(reply.json()["field"], field, "{method} {path} {body}");
        assert_eq!(reply.json()["requestId"], reply.header("x-request-id"));
    }
    let large = json!({ "name": "x".repeat(103_000) });
    assert_eq!(
        send(&world, "POST", "/v1/tenants", &operator, large).await.error(),
        (413, "body_too_large".into())
    );
    for query in ["limit=0", "limit=101", "limit=x", "cursor=abc", "page=2"] {
        for (path, key) in [("/v1/tenants", &operator), ("/v1/apps", &tenant.key), ("/v1/audit", &tenant.key)]
        {
            let reply = world.get(&format!("{path}?{query}"), key).await;
            assert_eq!(reply.error(), (400, "invalid_query".to_owned()), "{path}?{query}");
            assert_eq!(reply.json()["field"], query.split('=').next().unwrap());
        }
    }
}

#[tokio::test]
async fn an_app_is_registered_listed_updated_and_deleted_with_its_keys() {
    let world = World::start().await;
    let tenant = world.tenant();
    let order = json!({ "name": "Second", "tenantId": tenant.id, "role": "bot", "webhookUrl": "https://a.example/in" });
    let made = send(&world, "POST", "/v1/apps/register", &tenant.key, order).await.expect(201).json();
    let (id, key) = (made["appId"].as_str().unwrap(), made["apiKey"].as_str().unwrap());
    assert!(made["webhookSecret"].as_str().unwrap().starts_with("whsec_"));
    assert!(key.starts_with(made["apiKeyPrefix"].as_str().unwrap()));
    let path = format!("/v1/apps/{id}");
    let shown = world.get(&path, &tenant.key).await.expect(200).json();
    assert_eq!(shown["apiKeyPrefix"], made["apiKeyPrefix"]);
    assert_eq!(shown["lastUsedAt"], Value::Null);
    for hidden in ["apiKey", "webhookSecret", "digest", "hash"] {
        assert!(shown.get(hidden).is_none());
    }
    let changed = send(&world, "PUT", &path, &tenant.key, json!({ "name": "2nd", "webhookUrl": null })).await;
    let changed = changed.expect(200).json();
    assert_eq!(
        (&changed["name"], &changed["webhookUrl"], &changed["role"]),
        (&json!("2nd"), &Value::Null, &json!("bot"))
    );
    // Page by page, each app once.
    let first = world.get("/v1/apps?limit=1", &tenant.key).await.expect(200).json();
    let cursor = first["nextCursor"].as_str().unwrap();
    let second =
        world.get(&format!("/v1/apps?limit=1&cursor={cursor}"), &tenant.key).await.expect(200).json();
    assert_ne!(first["apps"][0]["appId"], second["apps"][0]["appId"]);
    // The cursor is not valid for another tenant or another list.
    let other = world.new_tenant("Other").await;
    for (path, key) in [("/v1/apps", &other.key), ("/v1/audit", &tenant.key)] {
        let reply = world.get(&format!("{path}?cursor={cursor}"), key).await;
        assert_eq!(reply.error(), (400, "invalid_query".to_owned()));
    }
    world.get("/v1/rc/status", key).await.expect(200);
    send(&world, "DELETE", &path, &tenant.key, Value::Null).await.expect(200);
    assert_eq!(world.get("/v1/rc/status", key).await.json()["error"], "Invalid API key");
    assert_eq!(
        send(&world, "DELETE", &path, &tenant.key, Value::Null).await.error(),
        (404, "not_found".into())
    );
}

#[tokio::test]
async fn concurrent_registrations_of_apps_and_flows_respect_the_limit() {
    let world = World::start().await;
    let tenant = world.new_tenant("Crowded").await;
    fill_with_apps(&world, &tenant, 3).await;
    let app = json!({ "name": "Further", "tenantId": tenant.id });
    let flow = json!({ "callbackUrl": "https://app.example/flow" });
    let register = async |at: usize| {
        let (path, order) = if at.is_multiple_of(2) {
            ("/v1/apps/register", &app)
        } else {
            ("/v1/triggers/sms-received/subscribe", &flow)
        };
        send(&world, "POST", path, &tenant.key, order.clone()).await
    };
    let replies = join_all((0..8).map(register)).await;
    let (made, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(made.len(), 3);
    for reply in refused {
        assert_eq!(reply.error(), (409, "too_many_apps".to_owned()));
    }
    // A deleted app makes room, and the limits of tenants are independent.
    let made = made[0].json();
    let id = made["appId"].as_str().or(made["id"].as_str()).unwrap();
    send(&world, "DELETE", &format!("/v1/apps/{id}"), &tenant.key, Value::Null).await.expect(200);
    register(0).await.expect(201);
    assert_eq!(register(1).await.error(), (409, "too_many_apps".to_owned()));
    // The operator may raise the limit.
    let more = json!({ "limits": { "apps": limits::APPS_PER_TENANT + 1 } });
    let path = format!("/v1/tenants/{}", tenant.id);
    send(&world, "PATCH", &path, &world.operator_key(), more).await.expect(200);
    register(0).await.expect(201);
    assert_eq!(register(1).await.error(), (409, "too_many_apps".to_owned()));
    world.new_tenant("Other").await;
}

/// Case T3.
#[tokio::test]
async fn a_rotated_key_is_valid_for_its_overlap_and_a_revoked_one_not_at_all() {
    let world = World::start().await;
    let tenant = world.tenant();
    let app = app_of(&world, &tenant.key).await;
    let rotate = format!("/v1/apps/{app}/rotate-key");
    let new =
        send(&world, "POST", &rotate, &tenant.key, json!({ "overlapSeconds": 600 })).await.expect(200).json();
    let new = new["apiKey"].as_str().unwrap().to_owned();
    for key in [&tenant.key, &new] {
        world.get("/v1/rc/status", key).await.expect(200);
    }
    world.advance(590).await;
    world.get("/v1/rc/status", &tenant.key).await.expect(200);
    world.advance(11).await;
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.json()["error"], "Invalid API key");
    world.get("/v1/rc/status", &new).await.expect(200);
    // Without an overlap the old key is revoked at once, on every warm function.
    let newest = world.post(&rotate, &new).await.expect(200).json();
    let newest = newest["apiKey"].as_str().unwrap().to_owned();
    assert_eq!(world.get("/v1/rc/status", &new).await.error(), (401, "unauthorized".to_owned()));
    // A key is revoked while concurrent requests use it.
    let further = additional_key(
        &world,
        &TestTenant { id: tenant.id, key: newest.clone() },
        json!({ "scopes": ["sms:read"] }),
    )
    .await;
    world.get("/v1/rc/status", &further).await.expect(200);
    let keys = world.get(&format!("/v1/apps/{app}/keys"), &newest).await.json();
    let id =
        keys["keys"].as_array().unwrap().iter().find(|key| key["isMain"] == false).unwrap()["keyId"].clone();
    let path = format!("/v1/apps/{app}/keys/{}", id.as_str().unwrap());
    let load = async {
        let mut last_success = None;
        for at in 0..40 {
            if world.get("/v1/rc/status", &further).await.status == 200 {
                last_success = Some(at);
            }
        }
        last_success
    };
    let revoke = async {
        send(&world, "DELETE", &path, &newest, Value::Null).await.expect(200);
        // From here on every request is rejected.
        assert_eq!(world.get("/v1/rc/status", &further).await.error(), (401, "unauthorized".to_owned()));
    };
    let (last_success, ()) = tokio::join!(load, revoke);
    assert!(last_success.is_none_or(|at| at < 39), "{last_success:?}");
}

#[tokio::test]
async fn additional_keys_expire_and_are_accepted_only_from_their_address_ranges() {
    let world = World::start().await;
    let tenant = world.tenant();
    let local = additional_key(
        &world,
        &tenant,
        json!({ "scopes": ["sms:read"], "allowedIps": ["127.0.0.0/8", "::1"] }),
    )
    .await;
    world.get("/v1/rc/status", &local).await.expect(200);
    let elsewhere =
        additional_key(&world, &tenant, json!({ "scopes": ["sms:read"], "allowedIps": ["192.0.2.0/24"] }))
            .await;
    // Headers that any client can set change nothing.
    let request = world.http.get(format!("{}/v1/rc/status", world.gateway())).header("x-api-key", &elsewhere);
    let reply = Reply::of(request.header("x-forwarded-for", "192.0.2.1").send().await.unwrap()).await;
    assert_eq!(reply.error(), (403, "address_not_allowed".to_owned()));
    let end = (SystemClock::default().now() + jiff::SignedDuration::from_mins(10)).to_string();
    let short = additional_key(&world, &tenant, json!({ "scopes": ["sms:read"], "expiresAt": end })).await;
    world.get("/v1/rc/status", &short).await.expect(200);
    world.advance(660).await;
    assert_eq!(world.get("/v1/rc/status", &short).await.error(), (401, "unauthorized".to_owned()));
    // The 26th key of an app is rejected; an expired one makes room.
    let app = app_of(&world, &tenant.key).await;
    let path = format!("/v1/apps/{app}/keys");
    for _ in 0..22 {
        additional_key(&world, &tenant, json!({ "scopes": ["sms:read"] })).await;
    }
    let order = json!({ "scopes": ["sms:read"] });
    assert_eq!(
        send(&world, "POST", &path, &tenant.key, order.clone()).await.error(),
        (409, "too_many_keys".into())
    );
    let keys = world.get(&path, &tenant.key).await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 25);
}

#[tokio::test]
async fn the_last_use_of_a_key_is_recorded_once_a_minute() {
    let world = World::start().await;
    let tenant = world.tenant();
    let app = app_of(&world, &tenant.key).await;
    let path = format!("/v1/apps/{app}");
    let seen = async || world.get(&path, &tenant.key).await.expect(200).json()["lastUsedAt"].clone();
    let first = seen().await;
    assert!(first.is_string());
    for _ in 0..5 {
        world.get("/v1/rc/status", &tenant.key).await.expect(200);
    }
    assert_eq!(seen().await, first);
    world.advance(61).await;
    world.get("/v1/rc/status", &tenant.key).await.expect(200);
    assert_ne!(seen().await, first);
}

#[tokio::test]
async fn both_webhook_secrets_are_kept_for_a_day() {
    let world = World::start().await;
    let tenant = world.tenant();
    let app = app_of(&world, &tenant.key).await;
    let path = format!("/v1/apps/{app}/rotate-webhook-secret");
    let new = world.post(&path, &tenant.key).await.expect(200).json();
    assert!(new["webhookSecret"].as_str().unwrap().starts_with("whsec_"));
    let items = world.items("TenantsTable").await;
    let row = items.iter().find(|item| item["item"]["S"] == format!("app#{app}")).unwrap();
    let before = &row["replaced_webhooks"]["L"][0]["M"];
    assert_eq!(
        (&row["webhook_generation"]["N"], &before["webhook_generation"]["N"]),
        (&json!("2"), &json!("1"))
    );
    assert_ne!(row["webhook_secret"], before["webhook_secret"]);
    let until: i64 = before["until"]["N"].as_str().unwrap().parse().unwrap();
    let wait = until - SystemClock::default().now().as_millisecond();
    assert!((86_000_000..=86_400_000).contains(&wait), "{wait}");
}
