//! Resources of other tenants are reported as not found: every id in the path of every route, and the cursor of every list, of
//! another tenant, deleted, nonexistent, and malformed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::http::route::Route;

use crate::delivery::until;
use crate::media::uploaded;
use crate::routes;
use crate::send::{TO, accept, without_limit};
use crate::tenancy::{app_of, comparable, send};
use crate::world::{TestTenant, World};

/// Ids of one kind.
#[derive(Debug)]
struct Ids {
    /// The caller's own.
    own: String,
    /// Ids that the caller must not find, each with a description.
    absent: Vec<(&'static str, String)>,
    malformed: &'static [&'static str],
}

#[tokio::test(flavor = "multi_thread")]
async fn every_id_of_another_tenant_is_not_found() {
    let world = World::start().await;
    let (tenant, other) = (world.tenant(), world.new_tenant("Other").await);
    without_limit(&world, &tenant).await;
    let ids = ids(&world, &tenant, &other).await;
    let before = seen_by(&world, &other).await;
    let mut asked = 0;
    for route in routes::all() {
        let name_of_route = route.key;
        let key = if route.operator { world.operator_key() } else { tenant.key.clone() };
        for name in route.path_parameters() {
            let kind = ids.get(name).unwrap_or_else(|| panic!("{name_of_route} has an id of a new kind"));
            let mut answers = Vec::new();
            let ask = async |id: &str| {
                let path = path(&route, &ids, name, id);
                send(&world, route.method(), &path, &key, routes::body(&route)).await
            };
            for (what, id) in &kind.absent {
                let reply = ask(id).await;
                let told = (reply.error(), reply.json()["error"].clone());
                let expected = ((404, "not_found".to_owned()), json!("Not found"));
                assert_eq!(told, expected, "{name_of_route}: {what} {name}");
                answers.push(comparable(&reply));
            }
            assert!(answers.iter().all(|one| *one == answers[0]), "{name_of_route}: {answers:?}");
            for id in kind.malformed {
                let reply = ask(id).await;
                let told = (reply.error(), reply.json()["error"].clone());
                let expected = ((400, "invalid_id".to_owned()), json!(format!("Invalid {name} format")));
                assert_eq!(told, expected, "{name_of_route}: {id}");
            }
            asked += answers.len();
        }
    }
    assert!(asked > 20, "the matrix has only {asked} cells");
    assert_eq!(seen_by(&world, &other).await, before, "nothing of the other tenant has changed");
}

/// A path with one id replaced and the caller's own ids otherwise.
fn path(route: &Route, ids: &BTreeMap<&str, Ids>, name: &str, id: &str) -> String {
    let mut path = route.path().replace(&format!("{{{name}}}"), id);
    for (other, kind) in ids {
        path = path.replace(&format!("{{{other}}}"), &kind.own);
    }
    path
}

/// Ids of every kind that occurs in a path.
async fn ids(world: &World, tenant: &TestTenant, other: &TestTenant) -> BTreeMap<&'static str, Ids> {
    let (own_app, foreign_app) = (app_of(world, &tenant.key).await, app_of(world, &other.key).await);
    let order = json!({ "name": "Gone", "tenantId": tenant.id });
    let gone = send(world, "POST", "/v1/apps/register", &tenant.key, order).await.expect(201).json();
    let gone_app = gone["appId"].as_str().unwrap().to_owned();
    send(world, "DELETE", &format!("/v1/apps/{gone_app}"), &tenant.key, Value::Null).await.expect(200);

    // A URL where nothing listens: the deliveries only have to exist.
    for (whose, app) in [(tenant, &own_app), (other, &foreign_app)] {
        let url = json!({ "webhookUrl": "http://127.0.0.1:9/" });
        send(world, "PUT", &format!("/v1/apps/{app}"), &whose.key, url).await.expect(200);
    }
    let keys = format!("/v1/apps/{own_app}/keys");
    let scopes = json!({ "scopes": ["sms:read"] });
    let own_key = send(world, "POST", &keys, &tenant.key, scopes.clone()).await.expect(201).json();
    let gone_key = send(world, "POST", &keys, &tenant.key, scopes).await.expect(201).json();
    let gone_key = gone_key["keyId"].as_str().unwrap().to_owned();
    send(world, "DELETE", &format!("{keys}/{gone_key}"), &tenant.key, Value::Null).await.expect(200);
    let foreign_keys =
        world.get(&format!("/v1/apps/{foreign_app}/keys"), &other.key).await.expect(200).json();

    for (at, whose) in [(0, tenant), (2, tenant), (1, other)] {
        world.connect(whose, &world.user(at)).await.expect(303);
    }
    let (own_delivery, foreign_delivery) =
        (first_delivery(world, tenant, &own_app).await, first_delivery(world, other, &foreign_app).await);
    let extension = |at: usize| world.user(at)["extensionId"].as_str().unwrap().to_owned();
    let disconnect = format!("/v1/rc/extensions/{}", extension(2));
    send(world, "DELETE", &disconnect, &tenant.key, Value::Null).await.expect(200);

    let gone_tenant = world.new_tenant("Gone").await.id;
    let gone_path = format!("/v1/tenants/{gone_tenant}");
    send(world, "DELETE", &gone_path, &world.operator_key(), Value::Null).await.expect(202);
    // The sweep erases the rest.
    world.advance(400).await;

    let (own_message, foreign_message) = (message_of(world, tenant).await, message_of(world, other).await);
    let (own_media, foreign_media) = (media_of(world, tenant).await, media_of(world, other).await);
    let (own_flow, foreign_flow) = (flow_of(world, tenant).await, flow_of(world, other).await);
    let gone_flow = flow_of(world, tenant).await;
    let end = format!("/v1/triggers/sms-received/subscribe/{gone_flow}");
    send(world, "DELETE", &end, &tenant.key, Value::Null).await.expect(200);

    BTreeMap::from([
        (
            "mediaId",
            Ids {
                absent: vec![
                    ("foreign", foreign_media),
                    ("file of a foreign message", foreign_message.replace("msg_", "media_") + "01"),
                    ("file that the message does not have", own_message.replace("msg_", "media_") + "01"),
                    ("random", "media_00000000000000000000000000aa01".into()),
                ],
                own: own_media,
                malformed: &["x", "media_", "media_01", "msg_00000000000000000000000000aa"],
            },
        ),
        (
            "messageId",
            Ids {
                own: own_message,
                absent: vec![
                    ("foreign", foreign_message),
                    ("random", "msg_00000000000000000000000000aa".into()),
                    ("of another gateway", "msg_0123456789ab".into()),
                ],
                malformed: &[
                    "x",
                    "msg_1",
                    "msg_0123456789a",
                    "app_00000000000000aa",
                    "MSG_00000000000000000000000000AA",
                ],
            },
        ),
        (
            "id",
            Ids {
                own: own_flow,
                absent: vec![
                    ("foreign", foreign_flow),
                    ("deleted", gone_flow),
                    ("of another kind", own_app.clone()),
                    ("random", "app_00000000000000aa".into()),
                ],
                malformed: &["x", "app_1", "tenant_00000000000000aa"],
            },
        ),
        (
            "appId",
            Ids {
                own: own_app,
                absent: vec![
                    ("foreign", foreign_app),
                    ("deleted", gone_app),
                    ("random", "app_00000000000000aa".into()),
                ],
                malformed: &[
                    "app_1",
                    "x",
                    "tenant_00000000000000aa",
                    "APP_00000000000000AA",
                    "app_00000000000000ag",
                ],
            },
        ),
        (
            "recordId",
            Ids {
                own: "qr_00000000000000aa0123456789abcdef01234567".into(),
                absent: vec![("random", "qr_00000000000000aa0123456789abcdef01234568".into())],
                malformed: &["x", "qr_1", "tenant_00000000000000aa"],
            },
        ),
        (
            "deliveryId",
            Ids {
                own: own_delivery,
                absent: vec![
                    ("foreign", foreign_delivery),
                    ("random", "dlv_00000000000000000000000000aa".into()),
                ],
                malformed: &["x", "dlv_1", "app_00000000000000aa"],
            },
        ),
        (
            "keyId",
            Ids {
                own: own_key["keyId"].as_str().unwrap().to_owned(),
                absent: vec![
                    ("foreign", foreign_keys["keys"][0]["keyId"].as_str().unwrap().to_owned()),
                    ("deleted", gone_key),
                    ("random", "key_00000000000000aa".into()),
                ],
                malformed: &["x", "key_1", "app_00000000000000aa"],
            },
        ),
        (
            "extensionId",
            Ids {
                own: extension(0),
                absent: vec![
                    ("foreign", extension(1)),
                    ("deleted", extension(2)),
                    ("random", "999999999".into()),
                ],
                malformed: &["x", "0", "-1", "12345678901234567890"],
            },
        ),
        (
            "tenantId",
            Ids {
                own: tenant.id.clone(),
                absent: vec![("deleted", gone_tenant), ("random", "tenant_00000000000000aa".into())],
                malformed: &["x", "tenant_1", "app_00000000000000aa"],
            },
        ),
    ])
}

/// A message that a tenant has sent.
async fn message_of(world: &World, tenant: &TestTenant) -> String {
    let numbers = world.get("/v1/rc/numbers", &tenant.key).await.expect(200).json();
    let mut numbers = numbers["numbers"].as_array().unwrap().iter();
    let from = &numbers.find(|number| number["features"]["sms"] == true).unwrap()["phoneNumber"];
    accept(world, tenant, from.as_str().unwrap(), "Whose?").await
}

/// A file that a tenant has uploaded.
async fn media_of(world: &World, tenant: &TestTenant) -> String {
    uploaded(world, tenant, b"\x89PNG\r\n\x1A\n").await
}

/// A flow that a tenant has subscribed.
async fn flow_of(world: &World, tenant: &TestTenant) -> String {
    let (path, order) =
        ("/v1/triggers/sms-received/subscribe", json!({ "callbackUrl": "http://127.0.0.1:9/" }));
    let made = send(world, "POST", path, &tenant.key, order).await.expect(201).json();
    made["id"].as_str().unwrap().to_owned()
}

/// The id of the first delivery of an app.
pub async fn first_delivery(world: &World, tenant: &TestTenant, app: &str) -> String {
    let path = format!("/v1/apps/{app}/deliveries");
    let first =
        async || world.get(&path, &tenant.key).await.expect(200).json()["deliveries"][0]["id"].clone();
    until("there is a delivery", async || first().await.is_string()).await;
    first().await.as_str().unwrap().to_owned()
}

/// A tenant's view of its data, without attributes that reading changes.
async fn seen_by(world: &World, tenant: &TestTenant) -> Vec<Value> {
    let app = app_of(world, &tenant.key).await;
    let mut seen = Vec::new();
    for path in
        [&format!("/v1/apps/{app}"), &format!("/v1/apps/{app}/keys"), "/v1/rc/extensions", "/v1/rc/numbers"]
    {
        let mut shown = world.get(path, &tenant.key).await.expect(200).json();
        forget(&mut shown, "lastUsedAt");
        seen.push(shown);
    }
    seen
}

fn forget(value: &mut Value, name: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(name);
            fields.values_mut().for_each(|value| forget(value, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| forget(value, name)),
        _ => {}
    }
}

/// Tenant ids outside of the path.
#[tokio::test]
async fn another_tenant_in_a_body_or_query_looks_like_one_that_does_not_exist() {
    let world = World::start().await;
    let (tenant, other) = (world.tenant(), world.new_tenant("Other").await);
    let (mut bodies, mut queries) = (Vec::new(), Vec::new());
    for id in [other.id.as_str(), "tenant_00000000000000aa"] {
        let order = json!({ "name": "x", "tenantId": id });
        let reply = send(&world, "POST", "/v1/apps/register", &tenant.key, order).await;
        assert_eq!(reply.error(), (400, "tenant_unavailable".to_owned()));
        bodies.push(comparable(&reply));
        let reply = world.get(&format!("/v1/audit?tenantId={id}"), &tenant.key).await;
        assert_eq!(reply.error(), (400, "invalid_query".to_owned()));
        queries.push(comparable(&reply));
    }
    assert!(bodies[0] == bodies[1] && queries[0] == queries[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_valid_only_for_its_own_list_and_reader() {
    let world = World::start().await;
    let (tenant, other) = (world.tenant(), world.new_tenant("Other").await);
    let operator = world.operator_key();
    // Two of everything, so that every list has a second page.
    let mut keys = BTreeMap::from([(app_of(&world, &tenant.key).await, tenant.key.clone())]);
    for whose in [&tenant, &other] {
        without_limit(&world, whose).await;
        for name in ["Second", "Third"] {
            let order = json!({ "name": name, "tenantId": whose.id });
            let made = send(&world, "POST", "/v1/apps/register", &whose.key, order).await.expect(201).json();
            if whose.id == tenant.id {
                let text = |name: &str| made[name].as_str().unwrap().to_owned();
                keys.insert(text("appId"), text("apiKey"));
            }
        }
    }
    // A URL where nothing listens: the deliveries only have to exist.
    let apps = [app_of(&world, &tenant.key).await, app_of(&world, &other.key).await];
    for (app, whose) in apps.iter().zip([&tenant, &other]) {
        let url = json!({ "webhookUrl": "http://127.0.0.1:9/" });
        send(&world, "PUT", &format!("/v1/apps/{app}"), &whose.key, url).await.expect(200);
    }
    for (at, whose) in [(0, &tenant), (2, &tenant), (1, &other)] {
        world.connect(whose, &world.user(at)).await.expect(303);
    }
    for whose in [&tenant, &tenant, &other, &other] {
        message_of(&world, whose).await;
    }
    for _ in 0..2 {
        crate::quarantine::unreadable(&world).await;
    }
    for (from, whose) in [(0, &tenant), (1, &other)] {
        let from = world.user(from)["numbers"][0].as_str().unwrap().to_owned();
        let row = |to: &str| json!({ "from": from, "to": to, "status": "opted_out" });
        let all = [TO, "+16505550112"].map(row);
        for rows in [json!(all), json!([row(TO)])] {
            send(&world, "PUT", "/v1/consents", &whose.key, json!({ "consents": rows })).await.expect(200);
            world.advance(1).await;
        }
    }
    // Events are listed some seconds after they occurred.
    world.stack.wait_until_idle().await;
    world.advance(20).await;
    let [own, foreign] = &apps;
    let mut cursors = Vec::new();
    for route in routes::all().into_iter().filter(|route| route.is_list) {
        let before = cursors.len();
        for (reader, key, app) in [
            ("the tenant", &tenant.key, own),
            ("another", &other.key, foreign),
            ("the operator", &operator, own),
        ] {
            let mut list = route.path().replace("{appId}", app) + "?";
            if route.path() == "/v1/consents/history" {
                list.push_str(&format!("to=%2B{}&", &TO[1..]));
            }
            let first = world.get(&format!("{list}limit=1"), key).await;
            if first.status == 200 {
                let cursor = first.json()["nextCursor"].as_str().map(str::to_owned);
                let cursor = cursor.unwrap_or_else(|| panic!("{list} has one part for {reader}"));
                cursors.push((list, reader, key, cursor));
            }
        }
        assert!(cursors.len() > before, "{} is read by no test", route.path());
    }
    for (list, reader, key, cursor) in &cursors {
        world.get(&format!("{list}cursor={cursor}"), key).await.expect(200);
        let flipped = if cursor.starts_with('A') { "B" } else { "A" };
        let tampered = [
            format!("{flipped}{}", &cursor[1..]),
            cursor[..cursor.len() - 4].to_owned(),
            format!("{cursor}AAAA"),
            "nonsense".to_owned(),
            "A".repeat(600),
        ];
        let others = cursors.iter().filter(|(of, whose, ..)| (of, whose) != (list, reader));
        for wrong in tampered.iter().chain(others.map(|(.., cursor)| cursor)) {
            let reply = world.get(&format!("{list}cursor={wrong}"), key).await;
            assert_eq!(reply.error(), (400, "invalid_query".to_owned()), "{list} for {reader}: {wrong}");
            assert_eq!(reply.json()["field"], "cursor");
        }
    }
    // A cursor does not expire, even if the entry at its position is deleted.
    let first = world.get("/v1/apps?limit=1", &tenant.key).await.expect(200).json();
    let (gone, cursor) = (first["apps"][0]["appId"].as_str().unwrap(), first["nextCursor"].as_str().unwrap());
    let (_, key) = keys.iter().find(|(app, _)| *app != gone).unwrap();
    send(&world, "DELETE", &format!("/v1/apps/{gone}"), key, Value::Null).await.expect(200);
    world.advance(86_400).await;
    let rest = world.get(&format!("/v1/apps?cursor={cursor}"), key).await.expect(200).json();
    let rest: Vec<_> =
        rest["apps"].as_array().unwrap().iter().map(|app| app["appId"].as_str().unwrap()).collect();
    assert!(rest.iter().copied().eq(keys.keys().filter(|app| *app != gone)), "{rest:?}");
}
