//! Every error of every route, returned over HTTP by the real functions.
//!
//! The catalogue has the errors of each route. Most are caused by one rule for all routes; the others have a row in
//! [`BY_HAND`], or a test in another file, named in [`ELSEWHERE`] ([`crate::error_coverage`]). A pair of route and code without a test fails (`every_error_in_the_catalogue_is_tested`).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::http::catalogue;
use shared::http::route::Access;

use crate::error_coverage::{ELSEWHERE, NEVER, OF_BROWSERS};
use crate::house::{read, root};
use crate::routes;
use crate::tenancy::{additional_key, app_of, fill_with_apps, send};
use crate::world::{Reply, TestTenant, World};

/// Errors of every route with a key, except for the rate limit, which is tested last.
const OF_KEYS: [&str; 4] = ["unauthorized", "tenant_suspended", "address_not_allowed", "insufficient_scope"];
/// Errors caused by outages or by the form of a request, independent of the route.
const OF_ALL: [&str; 10] = [
    "rate_limited",
    "unavailable",
    "internal",
    "invalid_body",
    "unknown_field",
    "body_too_large",
    "invalid_query",
    "invalid_id",
    "not_found",
    "idempotency_not_supported",
];

/// Route, code, and the body (of a GET: the query) that causes it. `operator`: with the operator's key.
const BY_HAND: &[(&str, &str, &str)] = &[
    ("POST /v1/tenants", "invalid_name", r#"{"name":" "}"#),
    ("POST /v1/tenants", "invalid_field", r#"{"name":"a","limits":{"requestsPerMinute":0}}"#),
    ("PATCH /v1/tenants/{tenantId}", "invalid_name", r#"{"name":""}"#),
    ("PATCH /v1/tenants/{tenantId}", "invalid_field", r#"{"status":"deleting"}"#),
    ("PATCH /v1/tenants/{tenantId}", "tenant_deleting", r#"{"name":"Back"}"#),
    ("POST /v1/apps/register", "missing_field", r#"{"name":"a"}"#),
    ("POST /v1/apps/register", "invalid_name", r#"{"name":"","tenantId":"{tenantId}"}"#),
    ("POST /v1/apps/register", "invalid_id", r#"{"name":"a","tenantId":"x"}"#),
    ("POST /v1/apps/register", "invalid_field", r#"{"name":"a","tenantId":"{tenantId}","role":"{long}"}"#),
    (
        "POST /v1/apps/register",
        "invalid_webhook_url",
        r#"{"name":"a","tenantId":"{tenantId}","webhookUrl":"https://10.0.0.1/"}"#,
    ),
    ("POST /v1/apps/register", "tenant_unavailable", r#"{"name":"a","tenantId":"tenant_00000000000000aa"}"#),
    ("POST /v1/apps/register", "too_many_apps", r#"{"name":"a","tenantId":"{tenantId}"}"#),
    ("PUT /v1/apps/{appId}", "invalid_name", r#"{"name":""}"#),
    ("PUT /v1/apps/{appId}", "invalid_field", r#"{"role":"{long}"}"#),
    ("PUT /v1/apps/{appId}", "invalid_webhook_url", r#"{"webhookUrl":"https://u@a.example"}"#),
    ("POST /v1/apps/{appId}/rotate-key", "invalid_field", r#"{"overlapSeconds":-1}"#),
    ("POST /v1/apps/{appId}/rotate-key", "too_many_keys", r#"{"overlapSeconds":600}"#),
    ("POST /v1/apps/{appId}/test-webhook", "no_webhook_url", ""),
    ("POST /v1/apps/{appId}/replay", "missing_field", "{}"),
    ("POST /v1/apps/{appId}/replay", "invalid_field", r#"{"from":"yesterday"}"#),
    ("POST /v1/triggers/sms-received/subscribe", "missing_field", "{}"),
    ("POST /v1/triggers/sms-received/subscribe", "invalid_field", r#"{"callbackUrl":"https://10.0.0.1/"}"#),
    (
        "POST /v1/triggers/sms-received/subscribe",
        "too_many_apps",
        r#"{"callbackUrl":"https://app.example/flow"}"#,
    ),
    ("POST /v1/apps/{appId}/keys", "missing_field", "{}"),
    ("POST /v1/apps/{appId}/keys", "invalid_field", r#"{"scopes":[]}"#),
    ("POST /v1/apps/{appId}/keys", "too_many_keys", r#"{"scopes":["sms:read"]}"#),
    ("PUT /v1/consents", "missing_field", "{}"),
    ("PUT /v1/consents", "invalid_field", r#"{"consents":[]}"#),
    ("PATCH /v1/settings", "invalid_field", r#"{"quietHours":{"start":"9pm"}}"#),
    ("GET /v1/audit", "invalid_id", "tenantId=x"),
    ("POST /v1/rc/invite-token", "invalid_field", r#"{"expiresIn":1}"#),
    ("POST /v1/rc/numbers/refresh", "sender_not_connected", ""),
    ("POST /v1/sms/send", "missing_field", "{}"),
    ("POST /v1/sms/send", "invalid_phone_number", r#"{"to":"101","from":"+14155550100","body":"x"}"#),
    (
        "POST /v1/sms/send",
        "invalid_field",
        r#"{"to":"+16505550111","from":"+14155550100","body":"x","priority":"urgent"}"#,
    ),
    (
        "POST /v1/sms/send",
        "sender_not_connected",
        r#"{"to":"+16505550111","from":"+14155550100","body":"x"}"#,
    ),
    ("POST /v1/sms/{messageId}/resolve", "missing_field", "{}"),
    ("POST /v1/sms/{messageId}/resolve", "invalid_field", r#"{"action":"hope"}"#),
];

/// Pairs of route and code.
type Pairs = BTreeSet<(String, String)>;

fn pair(route: &str, code: &str) -> (String, String) {
    (route.to_owned(), code.to_owned())
}

/// All errors of the catalogue.
fn allowed() -> Pairs {
    let routes = routes::all().into_iter();
    let pairs = routes.flat_map(|route| route.codes().into_iter().map(move |code| pair(route.key, code)));
    pairs.collect()
}

/// The errors that the rule for all routes causes.
fn by_rule() -> Vec<(&'static str, &'static str, Access)> {
    let mut rows = Vec::new();
    for route in routes::all() {
        if routes::needs_key(&route) {
            let (access, codes) = (route.access, route.codes().into_iter());
            let route = route.key;
            let codes = codes.filter(|code| OF_KEYS.contains(code) || OF_ALL.contains(code));
            let by_hand = |code: &str| BY_HAND.iter().any(|row| (row.0, row.1) == (route, code));
            rows.extend(codes.filter(|code| !by_hand(code)).map(|code| (route, code, access)));
        }
    }
    rows
}

/// Pairs without a test, and tests of pairs that are not in the catalogue.
fn mismatches(allowed: &Pairs) -> Vec<String> {
    let mut seen: Pairs = by_rule().into_iter().map(|(route, code, _)| pair(route, code)).collect();
    seen.extend(BY_HAND.iter().map(|(route, code, _)| pair(route, code)));
    seen.extend(NEVER.iter().map(|(route, code, _)| pair(route, code)));
    seen.insert(pair("GET /health/ready", "unavailable"));
    for (route, codes) in ELSEWHERE
        .iter()
        .map(|(route, codes, _)| (route, codes))
        .chain(OF_BROWSERS.iter().map(|(r, c)| (r, c)))
    {
        seen.extend(codes.iter().map(|code| pair(route, code)));
    }
    let missing = allowed.difference(&seen).map(|(route, code)| format!("{route} has no journey to {code}"));
    let idle = seen.difference(allowed).map(|(route, code)| format!("{route} does not answer {code}"));
    missing.chain(idle).collect()
}

/// Fails with a pair of the catalogue that no test covers: add it to `BY_HAND` in `tests/it/errors.rs`.
#[test]
fn every_error_in_the_catalogue_is_tested() {
    let wrong = mismatches(&allowed());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_planted_untested_error_is_found() {
    let mut allowed = allowed();
    allowed.insert(pair("GET /health", "teapot"));
    allowed.remove(&pair("GET /v1/audit", "invalid_id"));
    assert_eq!(
        mismatches(&allowed),
        ["GET /health has no journey to teapot", "GET /v1/audit does not answer invalid_id"]
    );
}

#[test]
fn the_tests_in_other_files_exist() {
    for (route, codes, place) in ELSEWHERE {
        let (file, test) = place.split_once("::").unwrap();
        let text = read(&root().join("tests/it").join(file).with_extension("rs"));
        let from = text.find(&format!("async fn {test}()")).unwrap_or_else(|| panic!("there is no {place}"));
        let test = text[from..].split("\n}\n").next().unwrap();
        for code in *codes {
            assert!(test.contains(&format!("\"{code}\"")), "{place} does not see {code} of {route}");
        }
    }
}

/// The tenants and ids that the tests use.
struct Cast {
    tenant: TestTenant,
    app: String,
    full_app: String,
    deleted: String,
    suspended: TestTenant,
    elsewhere: String,
    narrow: Vec<String>,
    limited: TestTenant,
    damaged: TestTenant,
    full_tenant: TestTenant,
}

impl Cast {
    async fn of(world: &World) -> Self {
        let tenant = world.tenant();
        let operator = world.operator_key();
        let order = json!({ "limits": { "requestsPerMinute": 100_000, "tenantRequestsPerMinute": 100_000, "connectTokensPerHour": 1000 } });
        send(world, "PATCH", &format!("/v1/tenants/{}", tenant.id), &operator, order).await.expect(200);
        let app = app_of(world, &tenant.key).await;
        let elsewhere = json!({ "scopes": ["sms:send", "sms:read", "rc:manage", "apps:manage"], "allowedIps": ["192.0.2.0/24"] });
        let elsewhere = additional_key(world, &tenant, elsewhere).await;
        let mut narrow = Vec::new();
        for scope in ["sms:send", "sms:read", "rc:manage", "apps:manage"] {
            narrow.push(additional_key(world, &tenant, json!({ "scopes": [scope] })).await);
        }
        // The order of the list of apps is not defined; from here on there are two.
        let order = json!({ "name": "Full", "tenantId": tenant.id });
        let full = send(world, "POST", "/v1/apps/register", &tenant.key, order).await.expect(201).json();
        let full_app = full["appId"].as_str().unwrap().to_owned();
        for _ in 0..24 {
            let path = format!("/v1/apps/{full_app}/keys");
            send(world, "POST", &path, &tenant.key, json!({ "scopes": ["sms:read"] })).await.expect(201);
        }
        let deleted = world.new_tenant("Deleted").await;
        send(world, "DELETE", &format!("/v1/tenants/{}", deleted.id), &operator, Value::Null)
            .await
            .expect(202);
        let suspended = world.new_tenant("Suspended").await;
        world.set_status(&suspended, "suspended").await;
        let full_tenant = world.new_tenant("Full").await;
        fill_with_apps(world, &full_tenant, 0).await;
        let limited = world.new_tenant("Limited").await;
        let order = json!({ "limits": { "requestsPerMinute": 1 } });
        send(world, "PATCH", &format!("/v1/tenants/{}", limited.id), &operator, order).await.expect(200);
        world.get("/v1/rc/status", &limited.key).await.expect(200);
        let damaged = world.new_tenant("Damaged").await;
        empty(world, "TenantsTable", |item| {
            item["item"]["S"] == "tenant" && item["tenant"]["S"] == *damaged.id
        })
        .await;
        Self {
            tenant,
            app,
            full_app,
            deleted: deleted.id,
            suspended,
            elsewhere,
            narrow,
            limited,
            damaged,
            full_tenant,
        }
    }

    /// Fills the placeholders of a path or a body.
    fn fill(&self, text: &str, code: &str) -> String {
        let malformed = code == "invalid_id" && text.starts_with("/v1/");
        // Ids that must not be found or changed do not exist.
        let real = BODIES.contains(&code) || BY_HAND.iter().any(|row| row.1 == code);
        let choose = |real_one: &str, nobodys: &str| match (malformed, real) {
            (true, _) => "x".to_owned(),
            (false, true) => real_one.to_owned(),
            (false, false) => nobodys.to_owned(),
        };
        let tenant = match code {
            "tenant_deleting" => &self.deleted,
            "too_many_apps" => &self.full_tenant.id,
            _ => &self.tenant.id,
        };
        let app = if code == "too_many_keys" { &self.full_app } else { &self.app };
        let mut filled = text.replace("{long}", &"x".repeat(101));
        for (name, value) in [
            ("{tenantId}", choose(tenant, "tenant_00000000000000aa")),
            ("{appId}", choose(app, "app_00000000000000aa")),
            ("{id}", choose("app_00000000000000aa", "app_00000000000000aa")),
            ("{keyId}", choose("key_00000000000000aa", "key_00000000000000aa")),
            ("{recordId}", choose(NO_RECORD, NO_RECORD)),
            ("{extensionId}", choose("1234567890", "1234567890")),
            ("{deliveryId}", choose("dlv_00000000000000000000000000aa", "dlv_00000000000000000000000000aa")),
            ("{messageId}", choose(NOBODYS, NOBODYS)),
            (
                "{mediaId}",
                choose("media_00000000000000000000000000aa01", "media_00000000000000000000000000aa01"),
            ),
        ] {
            filled = filled.replace(name, &value);
        }
        assert!(!filled.contains("Id}"), "tell `Cast::fill` what to put into {filled}");
        filled
    }

    /// The keys to try: one of them causes the code.
    fn keys(&self, world: &World, route: &str, code: &str, access: Access) -> Vec<String> {
        let own = if access == Access::Operator
            || (route, code) == ("POST /v1/apps/register", "missing_field")
            || (route, code) == ("GET /v1/audit", "invalid_id")
        {
            world.operator_key()
        } else {
            self.tenant.key.clone()
        };
        match code {
            "unauthorized" => vec![String::new()],
            "tenant_suspended" => vec![self.suspended.key.clone()],
            "address_not_allowed" => vec![self.elsewhere.clone()],
            "insufficient_scope" if access == Access::Operator => vec![self.tenant.key.clone()],
            "insufficient_scope" => self.narrow.clone(),
            "rate_limited" if access == Access::Key => vec![self.limited.key.clone()],
            "too_many_apps" => vec![self.full_tenant.key.clone()],
            "internal" => vec![self.damaged.key.clone()],
            "unavailable" => vec![self.tenant.key.clone()],
            _ => vec![own],
        }
    }

    /// Sends a request that causes an error. Returns the response if it is another one.
    async fn ask(
        &self,
        world: &World,
        route: &str,
        code: &str,
        access: Access,
        body: &str,
    ) -> Option<String> {
        let (method, path) = route.split_once(' ').unwrap();
        let mut path = self.fill(path, code);
        let mut body = self.fill(body, code);
        if method == "GET" && !body.is_empty() {
            path = format!("{path}?{}", std::mem::take(&mut body));
        }
        let mut seen = Vec::new();
        for key in self.keys(world, route, code, access) {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let mut request = world.http.request(method, format!("{}{path}", world.gateway()));
            if !key.is_empty() {
                request = request.header("authorization", format!("Bearer {key}"));
            }
            if code == "idempotency_not_supported" {
                request = request.header("idempotency-key", "order-4711");
            }
            let request = request.header("content-type", "application/json").body(body.clone());
            let reply = Reply::of(request.send().await.unwrap()).await;
            if is_error(&reply, code) {
                return None;
            }
            seen.push(format!("{} {}", reply.status.as_u16(), reply.text));
        }
        Some(format!("{route} answers {code} with {}", seen.join(", ")))
    }
}

/// A quarantined record that does not exist.
const NO_RECORD: &str = "qr_00000000000000aa0123456789abcdef01234567";

/// A message that does not exist.
const NOBODYS: &str = "msg_00000000000000000000000000aa";

/// Codes of requests that are rejected before anything is read.
const BODIES: [&str; 4] = ["invalid_body", "unknown_field", "body_too_large", "idempotency_not_supported"];

/// Whether a response is the error of the catalogue.
fn is_error(reply: &Reply, code: &str) -> bool {
    let body: Value = serde_json::from_str(&reply.text).unwrap_or_default();
    let known = catalogue::statuses(code).contains(&reply.status.as_u16());
    let waits = ![429, 503].contains(&reply.status.as_u16())
        || reply.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0);
    body["code"] == code
        && known
        && waits
        && body["error"].as_str().is_some_and(|text| !text.is_empty())
        && body["requestId"] == reply.header("x-request-id")
}

/// The body that causes a code by the rule for all routes.
fn body_for(route: &str, code: &str) -> String {
    let good = match route {
        "POST /v1/apps/{appId}/keys" => r#"{"scopes":["sms:read"]}"#,
        "POST /v1/apps/{appId}/replay" => r#"{"from":"2026-01-01T00:00:00Z"}"#,
        "POST /v1/sms/{messageId}/resolve" => r#"{"action":"drop"}"#,
        "PUT /v1/apps/{appId}" | "PATCH /v1/tenants/{tenantId}" => r#"{"name":"x"}"#,
        _ => "",
    };
    match code {
        "invalid_body" => "[]".to_owned(),
        "unknown_field" => r#"{"nobodyKnows":1}"#.to_owned(),
        "body_too_large" => json!({ "name": "x".repeat(530_000) }).to_string(),
        "invalid_query" => "limit=0".to_owned(),
        _ => good.to_owned(),
    }
}

/// Removes all attributes of the items except their keys, to simulate damaged data.
async fn empty(world: &World, table: &str, which: impl Fn(&Value) -> bool) {
    for item in world.items(table).await.into_iter().filter(|item| which(item)) {
        let keys: BTreeMap<&String, &Value> = item
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| ["tenant", "item", "id"].contains(&name.as_str()))
            .collect();
        world.put_item(table, json!(keys)).await;
    }
}

#[tokio::test]
async fn every_route_with_a_key_returns_each_of_its_errors() {
    let world = World::start().await;
    let cast = Cast::of(&world).await;
    let mut wrong = Vec::new();
    let rows = by_rule();
    let (last, first): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, code, access)| {
        *code == "unavailable" || (*code == "rate_limited" && *access == Access::Operator)
    });
    let all = first
        .into_iter()
        .map(|(route, code, access)| (route, code, access, body_for(route, code)))
        .chain(BY_HAND.iter().map(|(route, code, body)| {
            let access = routes::all().into_iter().find(|known| known.key == *route).unwrap().access;
            (*route, *code, access, (*body).to_owned())
        }));
    // A few at a time, each of another function: this is not a load test.
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, code, ..)| *code);
    for some in all.chunks(8) {
        let asked =
            some.iter().map(|(route, code, access, body)| cast.ask(&world, route, code, *access, body));
        wrong.extend(join_all(asked).await.into_iter().flatten());
    }
    let fault = json!({ "error": "InternalServerError", "status": 500 });
    let (limits, stores): (Vec<_>, Vec<_>) =
        last.into_iter().partition(|(_, code, _)| *code == "rate_limited");
    let operator = world.operator_key();
    for (route, code, access) in limits {
        // The operator is over the limit too; again for each, because requests older than a minute do not count.
        while join_all((0..10).map(|_| world.get("/v1/tenants", &operator)))
            .await
            .iter()
            .any(|reply| reply.status == 200)
        {}
        wrong.extend(cast.ask(&world, route, code, access, &body_for(route, code)).await);
    }
    // Send requests may use a cached key for ten seconds.
    world.advance(11).await;
    world
        .aws_fault(json!({ "service": "dynamodb", "operation": "BatchGetItem" }), 0, None, fault.clone())
        .await;
    for some in stores.chunks(8) {
        let asked = some.iter().map(|(route, code, access)| cast.ask(&world, route, code, *access, ""));
        wrong.extend(join_all(asked).await.into_iter().flatten());
    }
    world.aws_fault(json!({ "service": "dynamodb", "operation": "GetItem" }), 0, None, fault).await;
    assert_eq!(world.get("/health/ready", "").await.error(), (503, "unavailable".to_owned()));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A page about an internal error shows the request id, which is in the log.
#[track_caller]
fn trouble(page: &Reply, status: u16) {
    assert_eq!(
        (page.status.as_u16(), page.reference()),
        (status, page.header("x-request-id")),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn every_page_before_ringcentral_returns_each_of_its_errors() {
    let world = World::start().await;
    let tenant = world.tenant();
    let head = async |link: &str| {
        let request = world.http.head(format!("{}{link}", world.gateway()));
        request.send().await.unwrap().status().as_u16()
    };
    // A browser presses the button twice and returns twice concurrently: the link is used by then.
    let link = world.mint(&tenant).await;
    let mut browser = world.browser();
    let first = browser.sign_in(&link, &world.user(0)).await;
    let second = browser.sign_in(&link, &world.user(0)).await;
    let cookies = browser.cookies.clone();
    browser.get(&first).await.expect(303);
    browser.cookies = cookies;
    assert_eq!(browser.get(&second).await.page_code(), "link_used");
    let unknown = format!("/v1/rc/connect?token={}", "a".repeat(43));
    for (link, status, code) in [
        ("/v1/rc/connect", 400, "missing_field"),
        (unknown.as_str(), 404, "link_unknown"),
        (link.as_str(), 410, "link_used"),
    ] {
        assert_eq!(world.get(link, "").await.expect(status).page_code(), code);
        assert_eq!(head(link).await, status, "{code}");
    }
    let old = world.mint(&tenant).await;
    world.advance(301).await;
    assert_eq!(world.get(&old, "").await.expect(410).page_code(), "link_expired");
    assert_eq!(head(&old).await, 410);

    // Damaged records of a link and a flow reveal nothing.
    let link = world.mint(&tenant).await;
    let mut browser = world.browser();
    let callback = browser.sign_in(&link, &world.user(0)).await;
    empty(&world, "ConnectTokensTable", |_| true).await;
    trouble(&world.get(&link, "").await, 500);
    assert_eq!(head(&link).await, 500);
    trouble(&browser.press(&link).await, 500);
    trouble(&browser.get(&callback).await, 500);

    let fault = json!({ "error": "InternalServerError", "status": 500 });
    world.aws_fault(json!({ "service": "dynamodb" }), 0, None, fault).await;
    trouble(&world.get(&link, "").await, 503);
    assert_eq!(head(&link).await, 503);
    trouble(&browser.press(&link).await, 503);
    trouble(&browser.get(&callback).await, 503);
}
