//! Rows that cannot be read: one of them hides and delays none of its neighbours.

use reqwest::Method;
use serde_json::{Value, json};
use shared::model::shard::Shard;

use crate::delivery::{TestApp, app, log, until as eventually};
use crate::receiver::WebhookEndpoint;
use crate::send::{self, SENT, TO, accept, accepted_texts, until, without_limit};
use crate::world::{HOUR, SHARDS, TestTenant, World, generation};

/// The items of a table whose sort key begins with `prefix`.
async fn rows(world: &World, table: &str, prefix: &str) -> Vec<Value> {
    let mut rows = world.items(table).await;
    let key = |row: &Value| {
        let parts = ["item", "position", "counter", "id", "extension"];
        parts.iter().find_map(|name| row[*name]["S"].as_str()).unwrap_or_default().to_owned()
    };
    rows.retain(|row| key(row).starts_with(prefix));
    rows
}

/// Replaces attributes of a row; `null` removes one.
async fn damage(world: &World, table: &str, mut row: Value, with: Value) {
    for (name, value) in with.as_object().unwrap() {
        row.as_object_mut().unwrap().remove(name);
        if !value.is_null() {
            row[name] = value.clone();
        }
    }
    world.put_item(table, row).await;
}

/// Nothing that a tenant may ask for fails because of a row that it did not ask for.
async fn lists_work(world: &World, tenant: &TestTenant) {
    for path in [
        "/v1/rc/status",
        "/v1/rc/extensions",
        "/v1/rc/numbers",
        "/v1/apps",
        "/v1/events",
        "/v1/sms/messages",
        "/v1/sms/messages?page=1",
        "/v1/audit",
    ] {
        let reply = world.get(path, &tenant.key).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_connection_leaves_the_other_extensions_of_its_tenant_working() {
    let (world, tenant, from) = send::connected().await;
    let other = world.user(1);
    let path = format!("/v1/rc/extensions/{}", other["extensionId"].as_str().unwrap());
    for (at, with) in [
        json!({ "access_expires_at": { "N": "253402207200999" } }),
        json!({ "refresh_expires_at": { "S": "soon" } }),
        json!({ "status": { "S": "?" } }),
        json!({ "generation": null }),
        json!({ "generation": { "S": "one" }, "refresh_token": null }),
        json!({ "issuer": { "N": "1" } }),
        json!({ "extension": null }),
        json!({ "rate_limited_until": { "S": "later" }, "connected_at": { "N": "0.5" } }),
    ]
    .into_iter()
    .enumerate()
    {
        // RingCentral limits the token calls of a user.
        world.advance(61).await;
        world.connect(&tenant, &other).await.expect(303);
        let found = rows(&world, "ConnectionsTable", "connection#").await;
        assert_eq!(found.len(), 2, "{with}");
        let row = found.into_iter().find(|row| row["extension"]["S"] == other["extensionId"]).unwrap();
        damage(&world, "ConnectionsTable", row, with.clone()).await;
        lists_work(&world, &tenant).await;
        let shown = world.get("/v1/rc/extensions", &tenant.key).await.json();
        assert_eq!(shown["extensions"].as_array().unwrap().len(), 1, "{with}: {shown}");
        world.post("/v1/rc/numbers/refresh", &tenant.key).await.expect(200);
        let id = accept(&world, &tenant, &from, &format!("{at}")).await;
        until(&world, &tenant, &id, &SENT).await;
        // The unreadable one can still be removed or replaced.
        if at % 2 == 0 {
            world.call(Method::DELETE, &path, &tenant.key, None).await.expect(200);
        } else {
            world.connect(&tenant, &other).await.expect(303);
            assert_eq!(rows(&world, "ConnectionsTable", "connection#").await.len(), 2, "{with}");
        }
    }
    // One that cannot be read does not keep the account from being disconnected.
    world.advance(61).await;
    world.connect(&tenant, &other).await.expect(303);
    let mut found = rows(&world, "ConnectionsTable", "connection#").await;
    damage(&world, "ConnectionsTable", found.remove(0), json!({ "scope": null })).await;
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    assert_eq!(rows(&world, "ConnectionsTable", "connection#").await, Vec::<Value>::new());
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.json(), json!({ "connected": false }));
    let unreadable = world.log().iter().filter(|line| line.contains("unreadable row passed")).count();
    assert!(unreadable >= 9, "each is reported");
    // The apps are notified in the same form as about one that can be read.
    world.advance(61).await;
    let events = world.get("/v1/events?limit=100", &tenant.key).await.expect(200).json();
    let events = events["events"].as_array().unwrap().iter();
    let ended: Vec<_> = events.filter(|event| event["type"] == "rc_disconnected").collect();
    assert!(ended.len() >= 2, "{ended:?}");
    assert!(ended.iter().all(|event| event["status"] == "disconnected" && event.get("cause").is_none()));
}

/// One row of each kind of item in a tenant's lists.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_row_of_any_kind_leaves_its_neighbours_in_every_list() {
    let (world, tenant, from) = send::connected().await;
    let receiver = WebhookEndpoint::start().await;
    let apps: Vec<TestApp> = vec![
        app(&world, &tenant, json!({ "webhookUrl": receiver.at("/one"), "eventTypes": ["sms_status"] }))
            .await,
        app(&world, &tenant, json!({ "webhookUrl": receiver.at("/two"), "eventTypes": ["sms_status"] }))
            .await,
    ];
    let mut messages = Vec::new();
    for text in ["one", "two", "three"] {
        let id = accept(&world, &tenant, &from, text).await;
        until(&world, &tenant, &id, &SENT).await;
        messages.push(id);
    }
    world.new_tenant("Neighbour").await;
    world.idle().await;
    world.advance(30).await;
    for (table, prefix, with) in [
        ("ConnectionsTable", "number#", json!({ "readiness": { "N": "1" } })),
        ("ConnectionsTable", "account-number#", json!({ "item": { "S": "account-number#1#none" } })),
        ("MessagesTable", "message#", json!({ "created_at": { "S": "today" } })),
        ("MessagesTable", "record#", json!({ "message": { "S": "?" } })),
        ("EventsTable", "evt_", json!({ "data": { "S": "{" } })),
        ("DeliveriesTable", "app_", json!({ "attempts": { "S": "many" } })),
        ("DeliveriesTable", "endpoint#", json!({ "failures": { "S": "many" } })),
        ("AuditTable", "", json!({ "actor": { "N": "1" } })),
    ] {
        let mut found = rows(&world, table, prefix).await;
        // The sender's number is used below.
        found.retain(|row| !row["item"]["S"].as_str().is_some_and(|item| item.contains(&from)));
        if prefix == "account-number#" && found.is_empty() {
            continue;
        }
        assert!(!found.is_empty(), "{table} {prefix}");
        damage(&world, table, found.remove(0), with).await;
    }
    let (bad, good) = (&apps[0], &apps[1]);
    let row = rows(&world, "TenantsTable", &format!("app#{}", bad.id)).await.remove(0);
    let key = row["main_key"]["S"].as_str().unwrap();
    damage(&world, "TenantsTable", row.clone(), json!({ "created_at": { "N": "99999999999999999" } })).await;
    let key = rows(&world, "TenantsTable", &format!("key#{key}")).await.remove(0);
    damage(&world, "TenantsTable", key, json!({ "digest": null })).await;
    lists_work(&world, &tenant).await;
    let listed = world.get("/v1/sms/messages?direction=outbound", &tenant.key).await.json();
    assert_eq!(listed["messages"].as_array().unwrap().len(), 2, "{listed}");
    let apps = world.get("/v1/apps", &tenant.key).await.json();
    assert!(apps.to_string().contains(&good.id) && !apps.to_string().contains(&bad.id), "{apps}");
    log(&world, &tenant, good, "").await;
    world.get(&format!("/v1/apps/{}/keys", good.id), &tenant.key).await.expect(200);
    // Who asks for the damaged one gets a clear error.
    let mut errors = 0;
    for id in &messages {
        let reply = world.get(&format!("/v1/sms/status/{id}"), &tenant.key).await;
        if reply.status == 500 {
            assert_eq!(reply.json()["error"], "The stored record cannot be read");
            errors += 1;
        }
    }
    assert_eq!(errors, 1);
    // Polling passes the damaged event, and later ones come.
    let events = world.get("/v1/events?limit=100", &tenant.key).await.expect(200).json();
    assert!(events["events"].as_array().unwrap().len() >= 3, "{events}");
    // Of the tenants, one is damaged too.
    let tenants = rows(&world, "TenantsTable", "tenant").await;
    let neighbour = tenants.into_iter().find(|row| row["name"]["S"] == "Neighbour").unwrap();
    damage(&world, "TenantsTable", neighbour, json!({ "name": null })).await;
    let tenants = world.get("/v1/tenants", &world.operator_key()).await.expect(200).json();
    assert_eq!(tenants["tenants"].as_array().unwrap().len(), 1, "{tenants}");
    // What only requests have met is in the quarantine, too, for the operator.
    world.idle().await;
    let found =
        world.get("/v1/quarantine?kind=table_row&limit=100", &world.operator_key()).await.expect(200).json();
    let of_tenant =
        found["records"].as_array().unwrap().iter().filter(|record| record["tenantId"] == tenant.id);
    let mut contents = String::new();
    for record in of_tenant {
        let path = format!("/v1/quarantine/{}", record["id"].as_str().unwrap());
        contents.push_str(&world.get(&path, &world.operator_key()).await.expect(200).json().to_string());
    }
    for item in ["app#", "evt_", "number#", "message#"] {
        assert!(contents.contains(item), "{item}: {contents}");
    }
    // Sending and delivering go on, past the damaged app and the damaged health of an endpoint.
    let before = receiver.arrivals("/two").len();
    let id = accept(&world, &tenant, &from, "four").await;
    until(&world, &tenant, &id, &SENT).await;
    eventually("the event is delivered", async || receiver.arrivals("/two").len() > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_event_does_not_stop_the_stream() {
    let (world, tenant, from) = send::connected().await;
    let receiver = WebhookEndpoint::start().await;
    app(&world, &tenant, json!({ "webhookUrl": receiver.at("/hook"), "eventTypes": ["sms_status"] })).await;
    let ids = ["evt_0000000000000000000000000000", "evt_?", "other"];
    for id in ids {
        let event = json!({ "tenant": { "S": tenant.id }, "item": { "S": id }, "kind": { "S": "sms_status" },
            "data": { "S": "[" }, "at": { "N": "1" } });
        world.put_item("EventsTable", event).await;
    }
    let id = accept(&world, &tenant, &from, "After the bad ones").await;
    until(&world, &tenant, &id, &SENT).await;
    eventually("the event is delivered", async || !receiver.arrivals("/hook").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_rows_of_a_sender_do_not_hold_up_its_messages() {
    let (world, tenant, from) = send::connected().await;
    let extension = world.user(0)["extensionId"].as_str().unwrap().to_owned();
    // While RingCentral is unreachable, three messages wait, one is scheduled, and the state of the sender is stored.
    world.sim_fault("/sms", None, json!({ "status": 503, "headers": { "Retry-After": "60" } })).await;
    let mut ids = Vec::new();
    for text in ["first", "second", "third"] {
        ids.push(accept(&world, &tenant, &from, text).await);
    }
    world.idle().await;
    let name = |id: &str| format!("message#{id}");
    let first = rows(&world, "MessagesTable", &name(&ids[0])).await.remove(0);
    let intact = first.clone();
    damage(&world, "MessagesTable", first, json!({ "parts": { "L": [{ "M": { "end": { "S": "?" } } }] } }))
        .await;
    for item in [
        "outbox#1#?",
        "scheduled#now#?",
        "reconciling#msg_0",
        "scheduled#0000000000001#msg_000000000000",
        "other#1",
    ] {
        let item = format!("pending#{extension}#{item}");
        let entry = json!({ "tenant": { "S": tenant.id }, "item": { "S": item } });
        world.put_item("MessagesTable", entry).await;
    }
    let marker = json!({ "tenant": { "S": tenant.id }, "item": { "S": format!("active#{extension}") },
        "work_kind": { "S": Shard::of(&extension).partition("send") }, "due_at": { "N": "1.5" } });
    world.put_item("MessagesTable", marker).await;
    let sender = rows(&world, "MessagesTable", "sender#").await.remove(0);
    damage(
        &world,
        "MessagesTable",
        sender,
        json!({ "limit": { "S": "many" }, "paused_until": { "S": "later" } }),
    )
    .await;
    world.no_faults().await;
    for _ in 0..4 {
        world.advance(400).await;
    }
    until(&world, &tenant, &ids[2], &SENT).await;
    assert_eq!(accepted_texts(&world).await, ["second", "third"]);
    let id = accept(&world, &tenant, &from, "fourth").await;
    until(&world, &tenant, &id, &SENT).await;
    // Once it is repaired, the first one is sent too.
    world.put_item("MessagesTable", intact).await;
    for _ in 0..2 {
        world.advance(HOUR).await;
    }
    until(&world, &tenant, &ids[0], &SENT).await;
    assert_eq!(accepted_texts(&world).await, ["second", "third", "fourth", "first"]);
}

/// A lease and a wake-up time that hold are kept; one that cannot be read, or is later than any, stops no sender.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_lease_stops_no_sender_and_no_delivery() {
    let (world, tenant, from) = send::connected().await;
    let receiver = WebhookEndpoint::start().await;
    app(&world, &tenant, json!({ "webhookUrl": receiver.at("/hook"), "eventTypes": ["sms_status"] })).await;
    let id = accept(&world, &tenant, &from, "0").await;
    until(&world, &tenant, &id, &SENT).await;
    world.idle().await;
    let far = "99999999999999999999";
    let damages = [
        json!({ "lease_until": { "S": "later" }, "lease_owner": { "N": "1" } }),
        json!({ "wake_at": { "S": "later" } }),
        json!({ "lease_until": { "NULL": true }, "wake_at": { "BOOL": false } }),
        json!({ "lease_until": { "N": far } }),
        json!({ "wake_at": { "N": far } }),
        json!({ "lease_until": { "N": "1.5" }, "wake_at": { "N": "-3" } }),
    ];
    for (at, attributes) in damages.into_iter().enumerate() {
        let sender = rows(&world, "MessagesTable", "sender#").await.remove(0);
        damage(&world, "MessagesTable", sender, attributes.clone()).await;
        let body = format!("{}", at + 1);
        let id = accept(&world, &tenant, &from, &body).await;
        // A worker that finds a lease that holds leaves the sender to the sweep.
        world.advance(61).await;
        let sent = until(&world, &tenant, &id, &SENT).await;
        assert_eq!(sent["body"], body, "{attributes}");
    }
    assert_eq!(accepted_texts(&world).await, ["0", "1", "2", "3", "4", "5", "6"]);
    // The same for the lease of a delivery.
    receiver.behave("/hook", crate::receiver::Behaviour::Later(503, 600));
    let id = accept(&world, &tenant, &from, "7").await;
    until(&world, &tenant, &id, &SENT).await;
    world.idle().await;
    let pending = async || {
        let mut all = rows(&world, "DeliveriesTable", "app_").await;
        all.retain(|row| row["status"]["S"] == "pending");
        all
    };
    let mut damages = [json!({ "S": "x" }), json!({ "N": far }), json!({ "BOOL": true })].into_iter().cycle();
    for row in pending().await {
        let lease = damages.next().unwrap();
        damage(&world, "DeliveriesTable", row, json!({ "leased_until": lease })).await;
    }
    receiver.behave("/hook", crate::receiver::Behaviour::Status(200));
    for _ in 0..4 {
        world.advance(1_000).await;
    }
    eventually("every delivery is made", async || pending().await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_owner_of_an_extension_blocks_neither_its_messages_nor_its_disconnect() {
    let (world, tenant, from) = send::connected().await;
    let intact = rows(&world, "ExtensionsTable", "").await.remove(0);
    let path = format!("/v1/rc/extensions/{}", world.user(0)["extensionId"].as_str().unwrap());
    for (at, attributes) in [
        json!({ "connected_at": { "S": "then" } }),
        json!({ "tenant": null }),
        json!({ "connection": { "N": "1" }, "connected_at": null }),
        json!({ "connection": { "S": "?" }, "tenant": { "S": "?" } }),
    ]
    .into_iter()
    .enumerate()
    {
        damage(&world, "ExtensionsTable", intact.clone(), attributes.clone()).await;
        let other = world.new_tenant("Other").await;
        let elsewhere = world.connect(&other, &world.user(0)).await;
        assert_ne!(elsewhere.status, 303, "{attributes}: another tenant does not get the extension");
        let id = accept(&world, &tenant, &from, &format!("message {at}")).await;
        world.advance(61).await;
        until(&world, &tenant, &id, &SENT).await;
    }
    damage(&world, "ExtensionsTable", intact, json!({ "connection": null })).await;
    world.call(Method::DELETE, &path, &tenant.key, None).await.expect(200);
    assert!(rows(&world, "ExtensionsTable", "").await.is_empty());
    world.connect(&tenant, &world.user(0)).await.expect(303);
}

/// Entries that nothing can be done about, before all others in the indexes of pending work.
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_entries_at_the_front_of_the_indexes_do_not_starve_a_sweep() {
    let (world, tenant, from) = send::connected().await;
    let tenants = [tenant.id.as_str(), "tenant_unknown"];
    for at in 0..120 {
        // Some have an unreadable key, some an unreadable due time, some nothing but their key.
        let (name, due) = match at % 3 {
            0 => (format!("connection#{at}"), "1".to_owned()),
            1 => (format!("connection#conn_{at:016x}"), "1.5".to_owned()),
            _ => (format!("connection#conn_{at:016x}"), "2".to_owned()),
        };
        let tenant = tenants[usize::from(at % 7 == 0)];
        let kinds = ["work", "sync", "renewal", "refresh"];
        let mut row = json!({ "tenant": { "S": tenant }, "item": { "S": name } });
        for (kind, text) in kinds.into_iter().zip(["setup", "sync", "renewal", "refresh"]) {
            row[format!("{kind}_kind")] = json!({ "S": format!("{text}#{}", at % i32::from(SHARDS)) });
            row[if kind == "work" { "due_at".to_owned() } else { format!("{kind}_due") }] =
                json!({ "N": due });
        }
        world.put_item("ConnectionsTable", row).await;
        let due = |work: &str| {
            json!({ "tenant": { "S": tenant }, "item": { "S": format!("{work}{at}") },
            "work_kind": { "S": format!("{work}#{}", at % i32::from(SHARDS)) }, "due_at": { "N": due } })
        };
        world.put_item("MessagesTable", due("send")).await;
        world.put_item("DeliveriesTable", due("delivery")).await;
    }
    // A message without an event is found by the sync.
    let order = json!({ "from": TO, "to": from, "text": "Without an event", "deliver": false });
    world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    // The token is refreshed by the sweep: its schedule is gone.
    let before = generation_of(&world, &tenant).await;
    world.without_schedules_of(&["refresh-tokens"]).await;
    // A delivery that waits for long is found by the sweep.
    let receiver = WebhookEndpoint::start().await;
    receiver.behave("/hook", crate::receiver::Behaviour::Later(503, 3_600));
    app(&world, &tenant, json!({ "webhookUrl": receiver.at("/hook"), "eventTypes": ["sms_status"] })).await;
    let id = accept(&world, &tenant, &from, "Sent").await;
    until(&world, &tenant, &id, &SENT).await;
    for _ in 0..20 {
        world.advance(300).await;
    }
    let listed = world.get("/v1/sms/messages?direction=inbound", &tenant.key).await.expect(200).json();
    assert_eq!(listed["messages"][0]["body"], "Without an event", "{listed}");
    assert!(receiver.arrivals("/hook").len() >= 2, "the delivery is retried");
    assert!(world.count("subscription_renewed").await + world.count("subscription_created").await >= 1);
    for _ in 0..4 {
        world.advance(30 * HOUR).await;
    }
    assert!(generation_of(&world, &tenant).await > before, "the token is refreshed");
    assert!(world.count("subscription_renewed").await >= 1, "the subscription is renewed");
    let front = world.items("ConnectionsTable").await.into_iter().filter(|row| {
        ["due_at", "sync_due", "renewal_due", "refresh_due"]
            .iter()
            .any(|due| row[*due]["N"].as_str().is_some_and(|due| due.len() < 4))
    });
    assert_eq!(front.count(), 0, "no entry is left at the front");
}

async fn generation_of(world: &World, tenant: &TestTenant) -> u64 {
    let rows = rows(world, "ConnectionsTable", "connection#").await;
    let row = rows.iter().find(|row| row["tenant"]["S"] == tenant.id && row["generation"]["N"].is_string());
    row.unwrap()["generation"]["N"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_counters_and_breakers_block_no_request() {
    let (world, tenant, from) = send::connected().await;
    for row in world.items("RateLimitsTable").await {
        let with = json!({ "times": { "S": "?" }, "counts": { "S": "?" }, "slot": { "S": "?" },
            "open_until": { "S": "?" }, "limited_at": { "N": "0.5" } });
        let mut with = with;
        let cells = row.as_object().unwrap().keys().filter(|name| name.contains('.'));
        for cell in cells.cloned().collect::<Vec<_>>() {
            with[cell] = json!({ "S": "?" });
        }
        damage(&world, "RateLimitsTable", row, with).await;
    }
    world.post("/v1/rc/connect-token", &tenant.key).await.expect(200);
    let before = generation(&world).await;
    world.advance(HOUR).await;
    world.post("/v1/rc/numbers/refresh", &tenant.key).await.expect(200);
    assert!(generation(&world).await > before);
    let id = accept(&world, &tenant, &from, "Sent").await;
    until(&world, &tenant, &id, &SENT).await;
}

/// H3: whatever the lifetimes in a token response are, the connection can be read, and the tenant's other calls work.
#[tokio::test(flavor = "multi_thread")]
async fn any_lifetime_in_a_token_response_is_stored_readably() {
    let world = World::start().await;
    let tenant = world.tenant();
    without_limit(&world, &tenant).await;
    for (access, refresh) in [
        (json!(1_764_414_000_000_i64), json!(604_799)),
        (json!("1764414000000"), json!("99999999999999")),
        (json!(-3_600), json!(-1)),
        (json!(0), json!(0)),
        (json!(i64::MAX), json!(i64::MIN)),
        (json!(3_599), json!(null)),
    ] {
        world.connect(&tenant, &world.user(0)).await.expect(303);
        let before = generation(&world).await;
        let body = json!({ "access_token": "SIMAT.x", "token_type": "bearer", "expires_in": access,
            "refresh_token": "SIMRT.x", "refresh_token_expires_in": refresh, "scope": "SMS ReadMessages",
            "owner_id": world.user(0)["extensionId"] });
        world.sim_fault("/oauth/token", Some(1), json!({ "status": 200, "body": body })).await;
        world.advance(HOUR).await;
        let _ = world.post("/v1/rc/numbers/refresh", &tenant.key).await;
        assert!(generation(&world).await > before, "{access} {refresh}: the pair is stored");
        world.no_faults().await;
        lists_work(&world, &tenant).await;
        let shown = world.get("/v1/rc/status", &tenant.key).await.json();
        if shown["connected"] == true {
            let ends: jiff::Timestamp = shown["expiresAt"].as_str().unwrap().parse().unwrap();
            let most = crate::world::now(&world).await + jiff::SignedDuration::from_hours(24);
            assert!(ends <= most, "{access}: {shown}");
        }
        world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    }
}

/// What a role that serves the internet, or only counts, may not do with the rows that it reaches.
#[tokio::test]
async fn receive_event_cannot_touch_tokens_and_get_tenant_cannot_read_messages() {
    let (world, tenant, from) = send::connected().await;
    accept(&world, &tenant, &from, "Private").await;
    let row = rows(&world, "ConnectionsTable", "connection#").await.remove(0);
    let key = json!({ "tenant": row["tenant"], "item": row["item"] });
    let connections = world.table("ConnectionsTable").await;
    let update = |expression: &str, returns: &str| {
        json!({ "TableName": connections, "Key": key, "UpdateExpression": expression,
            "ExpressionAttributeNames": { "#r": "refresh_token", "#d": "sync_due" },
            "ExpressionAttributeValues": { ":v": { "N": "1" } }, "ReturnValues": returns })
    };
    let is_denied = async |role: &str, operation: &str, body: &Value| {
        world.dynamodb_as(role, operation, body).await.text.contains("AccessDenied")
    };
    assert!(!is_denied("receive-event", "UpdateItem", &update("SET #d = :v", "NONE")).await);
    for (expression, returns) in [
        ("SET #r = :v", "NONE"),
        ("SET refresh_token = :v", "NONE"),
        ("REMOVE access_key", "NONE"),
        ("SET generation = :v", "NONE"),
        ("SET #d = :v", "ALL_NEW"),
        ("SET #d = :v", "ALL_OLD"),
    ] {
        let denied = is_denied("receive-event", "UpdateItem", &update(expression, returns)).await;
        assert!(denied, "{expression} {returns}");
    }
    for table in ["MessagesTable", "EventsTable", "ConnectionsTable"] {
        let query = |more: Value| {
            let mut query = json!({ "TableName": "", "KeyConditionExpression": "tenant = :t",
                "ExpressionAttributeValues": { ":t": { "S": tenant.id } } });
            query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            query
        };
        let name = world.table(table).await;
        let keys =
            query(json!({ "TableName": name, "Select": "SPECIFIC_ATTRIBUTES", "ProjectionExpression": "#i",
            "ExpressionAttributeNames": { "#i": "item" } }));
        assert!(!is_denied("get-tenant", "Query", &keys).await, "{table}");
        let all = query(json!({ "TableName": name }));
        assert!(is_denied("get-tenant", "Query", &all).await, "{table}");
        let text = query(
            json!({ "TableName": name, "Select": "SPECIFIC_ATTRIBUTES", "ProjectionExpression": "body" }),
        );
        assert!(is_denied("get-tenant", "Query", &text).await, "{table}");
    }
}
