//! Real responses of every route, with valid and with invalid keys.

use reqwest::Method;
use serde_json::{Value, json};

use crate::isolation::first_delivery;
use crate::media::uploaded;
use crate::send::{accept, until};
use crate::tenancy::{app_of, send};
use crate::world::{Reply, TestTenant, World};

/// Responses with their routes, by their names in the contract.
struct Answers<'a> {
    world: &'a World,
    key: String,
    operator: String,
    seen: Vec<(&'static str, Reply)>,
}

impl Answers<'_> {
    /// Sends a request with the tenant's key, or with the operator's.
    async fn ask(&mut self, route: &'static str, ids: &[&str], operator: bool, body: Value) -> Value {
        let (method, template) = route.split_once(' ').unwrap();
        let mut path = String::new();
        let mut ids = ids.iter();
        for (at, part) in template.split(['{', '}']).enumerate() {
            path.push_str(if at % 2 == 0 { part } else { ids.next().unwrap() });
        }
        // The remaining id is the query.
        path.extend(ids.copied());
        let key = if operator { &self.operator } else { &self.key };
        let reply = send(self.world, method, &path, key, body).await;
        let shown = serde_json::from_str(&reply.text).unwrap_or_default();
        self.seen.push((route, reply));
        shown
    }
}

/// At least each documented success of every route, and an error of most.
pub async fn of_every_route(world: &World) -> Vec<(&'static str, Reply)> {
    let (key, operator) = (world.tenant().key, world.operator_key());
    let mut answers = Answers { world, key, operator, seen: Vec::new() };
    service(&mut answers).await;
    tenants(&mut answers).await;
    apps(&mut answers).await;
    connecting(&mut answers).await;
    settings(&mut answers).await;
    messages(&mut answers).await;
    quarantine(&mut answers).await;
    connected(&mut answers).await;
    answers.seen
}

async fn service(answers: &mut Answers<'_>) {
    let world = answers.world;
    for route in ["GET /health", "GET /health/ready", "GET /openapi.json", "GET /docs"] {
        answers.ask(route, &[], false, Value::Null).await;
    }
    // The outcome of a check is kept for a few seconds.
    world.advance(10).await;
    world
        .aws_fault(
            json!({ "operation": "DescribeKey" }),
            0,
            None,
            json!({ "error": "InternalServerError", "status": 500 }),
        )
        .await;
    answers.ask("GET /health/ready", &[], false, Value::Null).await;
    world.no_faults().await;
    for token in [Some("a-handshake"), Some("not a handshake"), None] {
        let mut request = world.http.post(format!("{}/v1/webhooks/ringcentral", world.gateway()));
        if let Some(token) = token {
            request = request.header("validation-token", token);
        }
        let reply = Reply::of(request.send().await.unwrap()).await;
        answers.seen.push(("POST /v1/webhooks/ringcentral", reply));
    }
    let large = world.http.post(format!("{}/v1/webhooks/ringcentral", world.gateway()));
    let large = Reply::of(large.body("a".repeat(2_000_000)).send().await.unwrap()).await;
    answers.seen.push(("POST /v1/webhooks/ringcentral", large));
    let down = json!({ "error": "InternalServerError", "status": 500 });
    world.aws_fault(json!({ "function": "receive-event" }), 0, None, down).await;
    let whose = world.event_query(&world.tenant().id, "conn_00000000000000aa").await;
    let request = world.http.post(format!("{}/v1/webhooks/ringcentral{whose}", world.gateway()));
    let request = request.header("verification-token", "unknown").body(
        json!({ "uuid": "1", "event": "/restapi/v1.0/account/1/extension/2/message-store", "subscriptionId": "3",
            "ownerId": "2", "timestamp": "2026-02-03T10:05:09.034Z", "body": { "changes": [] } })
        .to_string(),
    );
    let reply = Reply::of(request.send().await.unwrap()).await;
    answers.seen.push(("POST /v1/webhooks/ringcentral", reply));
    world.no_faults().await;
}

async fn tenants(answers: &mut Answers<'_>) {
    let made = answers.ask("POST /v1/tenants", &[], true, json!({ "name": "Further" })).await;
    let id = made["tenantId"].as_str().unwrap();
    answers.ask("POST /v1/tenants", &[], true, json!({})).await;
    answers.ask("GET /v1/tenants", &["?limit=1"], true, Value::Null).await;
    answers.ask("GET /v1/tenants", &["?limit=0"], true, Value::Null).await;
    answers.ask("GET /v1/tenants", &[], false, Value::Null).await;
    let one = "GET /v1/tenants/{tenantId}";
    answers.ask(one, &[id], true, Value::Null).await;
    answers.ask(one, &["x"], true, Value::Null).await;
    let change = json!({ "name": "Renamed", "returnUrl": "https://example.com/done" });
    answers.ask("PATCH /v1/tenants/{tenantId}", &[id], true, change).await;
    answers.ask("DELETE /v1/tenants/{tenantId}", &[id], true, Value::Null).await;
    answers.ask(one, &[id], true, Value::Null).await;
    answers.ask("PATCH /v1/tenants/{tenantId}", &[id], true, json!({ "status": "active" })).await;
}

async fn quarantine(answers: &mut Answers<'_>) {
    let id = crate::quarantine::unreadable(answers.world).await;
    answers.ask("GET /v1/quarantine", &[], true, Value::Null).await;
    answers.ask("GET /v1/quarantine", &["?kind=x"], true, Value::Null).await;
    answers.ask("GET /v1/quarantine/{recordId}", &[&id], true, Value::Null).await;
    answers.ask("POST /v1/quarantine/{recordId}/retry", &[&id], true, Value::Null).await;
    answers.ask("DELETE /v1/quarantine/{recordId}", &[&id], true, Value::Null).await;
    answers.ask("GET /v1/quarantine/{recordId}", &[&id], true, Value::Null).await;
    let id = crate::quarantine::readable(answers.world).await;
    answers.ask("POST /v1/quarantine/{recordId}/retry", &[&id], true, Value::Null).await;
}

async fn apps(answers: &mut Answers<'_>) {
    let tenant = answers.world.tenant().id;
    let order = json!({ "name": "Further", "tenantId": tenant, "webhookUrl": "https://app.example/hooks" });
    let made = answers.ask("POST /v1/apps/register", &[], false, order).await;
    let id = made["appId"].as_str().unwrap();
    answers.ask("POST /v1/apps/register", &[], true, json!({ "name": "x" })).await;
    answers.ask("GET /v1/apps", &["?limit=1"], false, Value::Null).await;
    answers.ask("GET /v1/apps", &["?cursor=x"], false, Value::Null).await;
    answers.ask("GET /v1/apps/{appId}", &[id], false, Value::Null).await;
    let own = app_of(answers.world, &answers.key).await;
    answers.ask("GET /v1/apps/{appId}", &[&own], false, Value::Null).await;
    answers.ask("PUT /v1/apps/{appId}", &[id], false, json!({ "role": "bot" })).await;
    answers.ask("PUT /v1/apps/{appId}", &[id], false, json!({ "rule": "bot" })).await;
    answers.ask("POST /v1/apps/{appId}/rotate-key", &[id], false, json!({ "overlapSeconds": 60 })).await;
    answers.ask("POST /v1/apps/{appId}/rotate-webhook-secret", &[id], false, Value::Null).await;
    let scopes = json!({ "scopes": ["sms:read"], "allowedIps": ["192.0.2.0/24"] });
    let key = answers.ask("POST /v1/apps/{appId}/keys", &[id], false, scopes).await;
    answers.ask("POST /v1/apps/{appId}/keys", &[id], false, json!({ "scopes": [] })).await;
    answers.ask("GET /v1/apps/{appId}/keys", &[id], false, Value::Null).await;
    let key = key["keyId"].as_str().unwrap();
    for _ in 0..2 {
        answers.ask("DELETE /v1/apps/{appId}/keys/{keyId}", &[id, key], false, Value::Null).await;
        answers.ask("DELETE /v1/apps/{appId}", &[id], false, Value::Null).await;
    }
    for operator in [false, true] {
        answers.ask("GET /v1/audit", &["?limit=100"], operator, Value::Null).await;
    }
    answers.ask("GET /v1/audit", &["?tenantId=x"], true, Value::Null).await;
}

async fn connecting(answers: &mut Answers<'_>) {
    let world = answers.world;
    let (page, button) = ("GET /v1/rc/connect", "POST /v1/rc/connect");
    let (callback, done) = ("GET /v1/rc/callback", "GET /v1/rc/connected");
    // A URL where nothing listens: the deliveries only have to exist.
    let (app, url) = (app_of(world, &answers.key).await, json!({ "webhookUrl": "http://127.0.0.1:9/" }));
    answers.ask("PUT /v1/apps/{appId}", &[&app], false, url).await;
    answers.ask("GET /v1/rc/status", &[], false, Value::Null).await;
    answers.ask("POST /v1/rc/numbers/refresh", &[], false, Value::Null).await;
    let order = json!({ "expiresIn": 600, "label": "Front desk" });
    let invite = answers.ask("POST /v1/rc/invite-token", &[], false, order).await;
    answers.ask("POST /v1/rc/invite-token", &[], false, json!({ "expiresIn": 1 })).await;
    let link = answers.ask("POST /v1/rc/connect-token", &[], false, Value::Null).await;
    let links = [link, invite].map(|made| made["connectUrl"].as_str().unwrap().to_owned());
    for (at, link) in links.iter().enumerate() {
        let mut browser = world.browser();
        answers.seen.push((page, browser.get(link).await));
        answers.seen.push(("HEAD /v1/rc/connect", world.call(Method::HEAD, link, "", None).await));
        answers.seen.push((button, browser.press_with(link, &[]).await));
        let pressed = browser.press(link).await;
        let authorize = url::Url::parse(pressed.header("location")).unwrap();
        answers.seen.push((button, pressed));
        let format = if at == 0 { "" } else { "&format=json" };
        let path = world.consent(&authorize, &world.user(at)).await + format;
        for _ in 0..2 {
            answers.seen.push((callback, browser.get(&path).await));
        }
        answers.seen.push((done, browser.get("/v1/rc/connected").await));
        answers.seen.push((page, world.browser().get(link).await));
    }
    answers.seen.push((page, world.browser().get("/v1/rc/connect").await));
    answers.seen.push((callback, world.browser().get("/v1/rc/callback?format=json").await));
}

async fn settings(answers: &mut Answers<'_>) {
    let row =
        json!({ "from": "+14155550100", "to": "+16505550112", "status": "opted_out", "note": "By phone" });
    answers.ask("PUT /v1/consents", &[], false, json!({ "consents": [row] })).await;
    answers.ask("PUT /v1/consents", &[], false, json!({ "consents": [] })).await;
    answers.ask("GET /v1/consents", &["?limit=1"], false, Value::Null).await;
    answers.ask("GET /v1/consents", &["?status=maybe"], false, Value::Null).await;
    answers.ask("GET /v1/consents/history", &["?to=%2B16505550112"], false, Value::Null).await;
    answers.ask("GET /v1/consents/history", &[], false, Value::Null).await;
    answers.ask("GET /v1/key", &[], false, Value::Null).await;
    answers.ask("GET /v1/key", &[], true, Value::Null).await;
    answers.ask("POST /v1/checks/ringcentral", &[], true, Value::Null).await;
    answers.ask("POST /v1/checks/ringcentral", &[], false, Value::Null).await;
    answers.ask("GET /v1/settings", &[], false, Value::Null).await;
    let hours = json!({ "overrides": { "FL": { "start": "20:00", "end": "08:00" } } });
    answers.ask("PATCH /v1/settings", &[], false, json!({ "quietHours": hours })).await;
    answers.ask("PATCH /v1/settings", &[], false, json!({ "quietHours": { "start": "9pm" } })).await;
    answers.ask("PATCH /v1/settings", &[], false, json!({ "quietHours": null })).await;
}

async fn messages(answers: &mut Answers<'_>) {
    let order = |more: Value| {
        let mut order = json!({ "from": "+14155550100", "to": "+16505550111", "body": "Hello" });
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        order
    };
    let (send_sms, one) = ("POST /v1/sms/send", "GET /v1/sms/status/{messageId}");
    let (cancel, resolve) = ("POST /v1/sms/{messageId}/cancel", "POST /v1/sms/{messageId}/resolve");
    let sent = answers.ask(send_sms, &[], false, order(json!({}))).await;
    let sent = sent["messageId"].as_str().unwrap().to_owned();
    let opted_out = json!({ "to": "+16505550112" });
    for wrong in [json!({ "to": "x" }), json!({ "body": "" }), json!({ "from": "+14155550199" }), opted_out] {
        answers.ask(send_sms, &[], false, order(wrong)).await;
    }
    let in_an_hour = answers.world.stack.clock().now() + jiff::SignedDuration::from_hours(1);
    let later = order(json!({ "sendAt": in_an_hour.to_string() }));
    let later = answers.ask(send_sms, &[], false, later).await;
    for _ in 0..2 {
        answers.ask(cancel, &[later["messageId"].as_str().unwrap()], false, Value::Null).await;
    }
    answers.ask(one, &[&sent], false, Value::Null).await;
    answers.ask(one, &["x"], false, Value::Null).await;
    answers.ask("POST /v1/sms/preview", &[], false, json!({ "body": "Hello \u{2019}" })).await;
    answers.ask("POST /v1/sms/preview", &[], false, json!({})).await;
    for query in ["?limit=1", "?page=2", "?status=lost", "?direction=outbound&from=%2B14155550100"] {
        answers.ask("GET /v1/sms/messages", &[query], false, Value::Null).await;
    }
    answers.ask(resolve, &[&sent], false, json!({ "action": "drop" })).await;
    answers.ask(resolve, &[&sent], false, json!({ "action": "forget" })).await;
    let lost = lost(answers.world, &answers.world.tenant()).await;
    answers.ask(resolve, &[&lost], false, json!({ "action": "drop" })).await;

    let upload = json!({ "contentType": "image/png", "size": 8 });
    let upload = answers.ask("POST /v1/media", &[], false, upload).await;
    answers.ask("POST /v1/media", &[], false, json!({ "contentType": "image/png", "size": 0 })).await;
    let file = "GET /v1/media/{mediaId}";
    answers.ask(file, &[upload["mediaId"].as_str().unwrap()], false, Value::Null).await;
    let uploaded = uploaded(answers.world, &answers.world.tenant(), b"\x89PNG\r\n\x1A\n").await;
    answers.ask(file, &[&uploaded], false, Value::Null).await;
    let media = order(json!({ "mediaIds": [uploaded] }));
    answers.ask(send_sms, &[], false, media).await;
    answers.ask("POST /v1/sms/preview", &[], false, json!({ "mediaIds": [uploaded] })).await;

    let (subscribe, end) =
        ("POST /v1/triggers/sms-received/subscribe", "DELETE /v1/triggers/sms-received/subscribe/{id}");
    let flow = json!({ "callbackUrl": "http://127.0.0.1:9/", "phoneNumber": "+14155550100" });
    let flow = answers.ask(subscribe, &[], false, flow).await;
    answers.ask(subscribe, &[], false, json!({ "callbackUrl": "x" })).await;
    for _ in 0..2 {
        answers.ask(end, &[flow["id"].as_str().unwrap()], false, Value::Null).await;
    }
}

/// A message with an unknown outcome.
async fn lost(world: &World, tenant: &TestTenant) -> String {
    world.stack.wait_until_idle().await;
    world.sim_fault("/sms", Some(1), json!({ "reset": "after_body" })).await;
    let id = accept(world, tenant, "+14155550100", "Lost").await;
    until(world, tenant, &id, &["sending"]).await;
    world.advance(130).await;
    until(world, tenant, &id, &["unknown"]).await;
    world.no_faults().await;
    id
}

async fn connected(answers: &mut Answers<'_>) {
    let extension = answers.world.user(0)["extensionId"].as_str().unwrap().to_owned();
    for route in
        ["GET /v1/rc/status", "GET /v1/rc/extensions", "GET /v1/rc/numbers", "POST /v1/rc/numbers/refresh"]
    {
        answers.ask(route, &[], false, Value::Null).await;
        answers.ask(route, &[], true, Value::Null).await;
    }
    for _ in 0..2 {
        let route = "DELETE /v1/rc/extensions/{extensionId}";
        answers.ask(route, &[&extension], false, Value::Null).await;
    }
    let app = app_of(answers.world, &answers.key).await;
    let delivery = first_delivery(answers.world, &answers.world.tenant(), &app).await;
    answers.ask("GET /v1/events", &["?limit=1"], false, Value::Null).await;
    answers.ask("GET /v1/apps/{appId}/deliveries", &[&app], false, Value::Null).await;
    answers.ask("GET /v1/apps/{appId}/deliveries", &[&app, "?status=x"], false, Value::Null).await;
    answers.ask("POST /v1/apps/{appId}/test-webhook", &[&app], false, Value::Null).await;
    for delivery in [delivery.as_str(), "x"] {
        let route = "POST /v1/apps/{appId}/deliveries/{deliveryId}/replay";
        answers.ask(route, &[&app, delivery], false, Value::Null).await;
    }
    for order in [json!({ "from": "2026-01-01T00:00:00Z" }), json!({})] {
        answers.ask("POST /v1/apps/{appId}/replay", &[&app], false, order).await;
    }
    answers.ask("POST /v1/rc/disconnect", &[], false, Value::Null).await;
}
