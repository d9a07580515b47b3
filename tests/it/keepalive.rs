//! Keepalive of unused connections: schedules, recovery of lost schedules, metrics, and the check after a restore.

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use shared::model::shard::Shard;

use crate::world::{HOUR, SHARDS, World, extension, generation, now, use_token};

const DAY: i64 = 24 * 3_600;

async fn schedules(world: &World) -> Vec<Value> {
    let all = world.aws(Method::GET, "/_aws/scheduler", None).await;
    let all = all["schedules"].as_array().unwrap().iter();
    all.filter(|schedule| schedule["name"].as_str().unwrap().starts_with("connection-")).cloned().collect()
}

fn next(schedule: &Value) -> Timestamp {
    schedule["next"].as_str().unwrap().parse().unwrap()
}

async fn rows(world: &World) -> Vec<Value> {
    let mut rows = world.items("ConnectionsTable").await;
    rows.retain(|row| row["item"]["S"].as_str().unwrap().starts_with("connection#"));
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_refreshes_an_idle_connection_moves_and_is_deleted_at_the_disconnect() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let [first] = &schedules(&world).await[..] else { panic!("one schedule for one connection") };
    let begins = now(&world).await;
    let days = next(first).duration_since(begins).as_secs_f64() / 86_400.0;
    assert!((2.7..4.3).contains(&days), "half of seven days, plus or minus a fifth: {days}");
    // The window ends before the refresh is overdue, so the schedule refreshes the connection, not the sweep.
    let due: i64 = rows(&world).await[0]["refresh_due"]["N"].as_str().unwrap().parse().unwrap();
    assert!(next(first).as_millisecond() < due);
    // The daily check of the subscription uses tokens, too. It fails here, so that only the schedule refreshes.
    let before = generation(&world).await;
    world
        .aws_fault(
            json!({"function": "renew-subscriptions"}),
            0,
            None,
            json!({"error": "AccessDeniedException", "status": 400}),
        )
        .await;
    world.advance(next(first).duration_since(begins).as_secs() + 2).await;
    assert_eq!(generation(&world).await, before + 1);
    assert_eq!(world.count("token_refreshed").await, 1);
    let [second] = &schedules(&world).await[..] else { panic!("one schedule for one connection") };
    assert_eq!(second["name"], first["name"]);
    assert!(next(second) > next(first), "the schedule was moved");
    world.no_faults().await;
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    assert!(schedules(&world).await.is_empty());
    assert_eq!(world.count("token_refreshed").await, 1, "refreshed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_refreshes_a_connection_without_a_schedule() {
    let world = World::start().await;
    let tenant = world.tenant();
    let down = json!({"error": "InternalServerException", "status": 500});
    world.aws_fault(json!({"service": "scheduler"}), 0, None, down).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    assert!(schedules(&world).await.is_empty(), "connecting succeeds without a schedule");
    world.no_faults().await;
    let seen = world.count("token_refreshed").await;
    world.advance(5 * DAY).await;
    assert!(world.count("token_refreshed").await > seen);
    assert_eq!(schedules(&world).await.len(), 1, "the schedule exists again");
    assert_eq!(extension(&world, &tenant).await["status"], "active");
}

/// Rows that can't be refreshed come first, since they expire first. They do not delay the others.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_rows_do_not_delay_the_refresh_of_other_connections() {
    let world = World::start().await;
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    let account = json!({"users": [{}, {}, {}, {}, {}]});
    let made = world.sim(Method::POST, "/_sim/accounts", Some(account)).await;
    let tenant = world.tenant();
    for user in made["users"].as_array().unwrap() {
        world.connect(&tenant, user).await.expect(303);
    }
    let began = now(&world).await.as_millisecond();
    for (at, mut row) in rows(&world).await.into_iter().enumerate() {
        row["refresh_due"] = json!({"N": (began - 1_000).to_string()});
        match at {
            0 => row["refresh_expires_at"] = json!({"S": "tomorrow"}),
            1..4 => {
                let expires: i64 = row["refresh_expires_at"]["N"].as_str().unwrap().parse().unwrap();
                row["refresh_expires_at"] = json!({"N": (expires - 3_600_000).to_string()});
                row["refresh_token"] = json!({"B": "AAAA"});
            }
            _ => {}
        }
        world.put_item("ConnectionsTable", row).await;
    }
    world.advance(61).await;
    assert_eq!(world.count("token_refreshed").await, 1, "the undamaged one");
    let damaged: Vec<_> =
        rows(&world).await.into_iter().filter(|row| row["refresh_token"]["B"] == "AAAA").collect();
    assert_eq!(damaged.len(), 3);
    for row in damaged {
        let due: i64 = row["refresh_due"]["N"].as_str().unwrap().parse().unwrap();
        assert!(due > began + 300_000, "it is skipped for a while: {row}");
    }
    let errors: Vec<String> =
        world.log().into_iter().filter(|line| line.contains(r#""level":"ERROR""#)).collect();
    for message in ["token refresh failed in the gateway", "unreadable row passed"] {
        assert!(errors.iter().any(|line| line.contains(message)), "{message}: {errors:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnect_during_a_refresh_leaves_no_session() {
    for mode in ["grace", "strict"] {
        let world = World::start().await;
        world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
        let tenant = world.tenant();
        world.connect(&tenant, &world.user(0)).await.expect(303);
        world.sim(Method::PUT, "/_sim/settings", Some(json!({"refreshTokens": mode}))).await;
        world.advance(HOUR).await;
        let before = world.count("token_refreshed").await;
        // The tokens rotate at once; the response is delayed.
        world.sim_fault("/restapi/oauth/token", Some(1), json!({"delayMs": 3_000})).await;
        let disconnect = async {
            while world.count("token_refreshed").await == before {
                tokio::task::yield_now().await;
            }
            world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
        };
        let (used, ()) = tokio::join!(use_token(&world, &tenant), disconnect);
        assert!(used.status.as_u16() >= 400, "{mode}: it was disconnected: {}", used.status);
        world.no_faults().await;
        world.advance(400).await;
        assert!(world.items("ConnectionsTable").await.is_empty(), "{mode}");
        assert!(world.count("session_revoked").await >= 1, "{mode}");
        assert!(schedules(&world).await.is_empty(), "{mode}");
        assert_eq!(world.get("/v1/rc/status", &tenant.key).await.json(), json!({"connected": false}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authorizing_again_keeps_the_connection_and_clears_its_status() {
    let world = World::start().await;
    let tenant = world.tenant();
    let user = world.user(0);
    world.connect(&tenant, &user).await.expect(303);
    let first = extension(&world, &tenant).await;
    let revoke = format!("/_sim/users/{}/revoke", user["extensionId"].as_str().unwrap());
    world.sim(Method::POST, &revoke, None).await;
    world.advance(HOUR).await;
    use_token(&world, &tenant).await;
    world.advance(65).await;
    use_token(&world, &tenant).await;
    let flagged = extension(&world, &tenant).await;
    assert_eq!((&flagged["status"], &flagged["cause"]), (&json!("revoked"), &json!("revoked_by_user")));
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.json(), json!({"connected": false}));
    world.connect(&tenant, &user).await.expect(303);
    let again = extension(&world, &tenant).await;
    assert_eq!((&again["status"], &again["cause"]), (&json!("active"), &json!(null)));
    assert_eq!(again["connectedAt"], first["connectedAt"], "the record is the same");
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.json()["connected"], true);
    world.advance(400).await;
    assert_eq!(rows(&world).await.len(), 1, "the replaced session is removed");
    assert_eq!(schedules(&world).await.len(), 1);
}

/// The last value of each metric in the functions' logs, by name.
fn metrics(world: &World) -> Value {
    let mut last = json!({});
    for line in world.log() {
        let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
        let Some(directives) = line["_aws"]["CloudWatchMetrics"].as_array() else { continue };
        assert!(line["_aws"]["Timestamp"].is_i64());
        for directive in directives {
            assert!(directive["Namespace"].is_string() && directive["Dimensions"][0].is_array());
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                assert!(line[name].is_number(), "{name} has a value: {line}");
                last[name] = line[name].clone();
            }
        }
    }
    last
}

/// The fields of the last line about the state of all connections.
fn measured_connections(world: &World) -> Value {
    let lines = world.log().into_iter().rev();
    let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    lines.find(|line| line["message"] == "connections measured").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_writes_metrics_about_all_connections() {
    let world = World::start().await;
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.advance(400).await;
    let measured = metrics(&world);
    for name in ["Connections", "ConnectionsFailing", "SubscriptionsNotActive", "RefreshesOverdue"] {
        assert!(measured[name].is_null(), "{name} is zero, so it costs nothing");
    }
    let state = measured_connections(&world);
    assert_eq!((&state["connections"], &state["failing"]), (&json!(1), &json!(0)));
    assert_eq!(state["intent.oldest_seconds"], 0);
    let life = state["refresh_token.shortest_seconds"].as_f64().unwrap() / 86_400.0;
    assert!((6.9..7.0).contains(&life), "{life} days");
    assert!(measured["Refreshes"].is_null());
    world.advance(HOUR).await;
    use_token(&world, &tenant).await.expect(200);
    assert_eq!(metrics(&world)["Refreshes"], 1.0);
    // A refresh without a response leaves an unresolved intent.
    world.advance(HOUR).await;
    world.sim_fault("/restapi/oauth/token", None, json!({"applyThenDrop": true})).await;
    use_token(&world, &tenant).await;
    world.advance(600).await;
    let measured = metrics(&world);
    assert_eq!(measured["ConnectionsFailing"], 1.0);
    let state = measured_connections(&world);
    assert!(state["intent.oldest_seconds"].as_u64().unwrap() > 500, "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_the_check_lists_the_connections_that_were_refreshed_since_the_backup() {
    let world = World::start().await;
    world.without_schedules_of(&["sync-messages", "renew-subscriptions"]).await;
    let (tenant, other) = (world.tenant(), world.new_tenant("Untouched").await);
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.connect(&other, &world.user(1)).await.expect(303);
    world.advance(HOUR).await;
    let backup = rows(&world).await;
    // After the backup one connection is refreshed, and its new token is used.
    use_token(&world, &tenant).await.expect(200);
    world.advance(300).await;
    let table = world.table("ConnectionsTable").await;
    for row in backup {
        world.dynamodb("PutItem", &json!({"TableName": table, "Item": row})).await;
    }
    let begun = world.invoke("sweep", &json!({"restored": "begin"})).await;
    assert_eq!(begun, json!({"due": 2, "complete": true}));
    let mut report = Value::Null;
    for _ in 0..20 {
        world.advance(61).await;
        report = world.invoke("sweep", &json!({"restored": "report"})).await;
        if report["waiting"] == 0 {
            break;
        }
    }
    assert_eq!((&report["waiting"], &report["healthy"]), (&json!(0), &json!(1)), "{report}");
    let listed = report["mustReconnect"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "{report}");
    assert_eq!(listed[0]["tenantId"], tenant.id.as_str());
    assert_eq!(listed[0]["extensionId"], world.user(0)["extensionId"]);
    assert!(listed[0]["since"].is_string());
    assert_eq!(extension(&world, &tenant).await["status"], "revoked");
    assert_eq!(extension(&world, &other).await["status"], "active");
    world.connect(&tenant, &world.user(0)).await.expect(303);
    assert_eq!(extension(&world, &tenant).await["status"], "active");
    let report = world.invoke("sweep", &json!({"restored": "report"})).await;
    assert_eq!(report["mustReconnect"], json!([]));
}

/// However many connections there are: they are read in pages, and only the counts are kept.
#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_and_the_check_after_a_restore_read_the_connections_page_by_page() {
    const CONNECTIONS: usize = 1_100;
    let world = World::start().await;
    world.without_schedules_of(&["sweep", "sync-messages", "renew-subscriptions"]).await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let connection = rows(&world).await.remove(0);
    // Copies in one shard, which are more than a page.
    let full = Shard::of("");
    let ids = (0..).map(|at| format!("conn_{at:016x}")).filter(|id| Shard::of(id) == full);
    let copies = ids.take(CONNECTIONS - 1).map(|id| {
        let mut copy = connection.clone();
        copy["item"]["S"] = json!(format!("connection#{id}"));
        copy["refresh_kind"]["S"] = json!(full.partition("refresh"));
        copy
    });
    let mut connections: Vec<Value> = copies.collect();
    world.put_items("ConnectionsTable", &connections).await;
    connections.push(connection);
    let queries = async |payload: Value| {
        let since = world.calls_so_far().await;
        let response = world.invoke("sweep", &payload).await;
        let calls = world.calls_since(since).await;
        (response, calls.iter().filter(|call| call["operation"] == "Query").count())
    };
    let shards = usize::from(SHARDS);
    assert_eq!(queries(json!({"measure": true})).await, (json!({}), shards + 1));
    assert_eq!(measured_connections(&world)["connections"], 1_100);
    let begun = json!({"due": CONNECTIONS, "complete": true});
    assert_eq!(queries(json!({"restored": "begin"})).await, (begun, shards + 1));
    // What is due already stays due.
    assert_eq!(queries(json!({"restored": "begin"})).await.0, json!({"due": 0, "complete": true}));
    let report = json!({"waiting": CONNECTIONS, "healthy": 0, "mustReconnect": []});
    assert_eq!(queries(json!({"restored": "report"})).await, (report, 2 * shards + 1));

    // Revoked connections are listed in parts.
    for row in &mut connections {
        row["status"]["S"] = json!("revoked");
        let partition = row["refresh_kind"]["S"].as_str().unwrap().replace("refresh#", "erasure#");
        row["refresh_kind"]["S"] = json!(partition);
    }
    world.put_items("ConnectionsTable", &connections).await;
    let mut request = json!({"restored": "report"});
    let mut listed = Vec::new();
    loop {
        let report = world.invoke("sweep", &request).await;
        assert_eq!((&report["waiting"], &report["healthy"]), (&json!(0), &json!(0)));
        listed.push(report["mustReconnect"].as_array().unwrap().len());
        let Some(next) = report["next"].as_str() else { break };
        request["after"] = json!(next);
    }
    assert!(listed.len() >= 2 && listed.iter().sum::<usize>() == CONNECTIONS, "{listed:?}");
}
