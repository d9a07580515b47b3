//! RingCentral's own record of consents: its events, which it may refuse, and the daily search.

use reqwest::Method;
use serde_json::{Value, json};
use shared::model::secret::Secret;

use crate::consents::{STRANGER, THEM, attempt, change, changes, events, rejected, write};
use crate::delivery::until as eventually;
use crate::renewal::own_session;
use crate::send::{connect, connected};
use crate::world::{World, extension, use_token};

/// The longest interval between two checks of a connection.
const A_DAY_AND_A_BIT: i64 = 30 * 3_600;
const CONSENTS: &str = "/restapi/v2/accounts/~/sms/consents";

/// Subscriptions to consent events that were created so far, by account.
async fn subscribed_accounts(world: &World) -> Vec<String> {
    let created = world.ledger("subscription_created").await;
    let of_consents = created.iter().filter(|one| one["eventFilters"].to_string().contains("/sms/consents"));
    of_consents.map(|one| one["accountId"].as_str().unwrap().to_owned()).collect()
}

/// Another program of the account sets consents of a recipient at RingCentral.
async fn set_at_ringcentral(world: &World, from: &str, to: &[&str], status: &str) {
    let records: Vec<Value> =
        to.iter().map(|to| json!({ "from": from, "to": to, "optStatus": status })).collect();
    let request = world
        .http
        .patch(format!("{}{CONSENTS}", world.stack.info().ringcentral()))
        .bearer_auth(own_session(world).await)
        .header("content-type", "application/json")
        .body(json!({ "records": records }).to_string());
    assert_eq!(request.send().await.unwrap().status(), 200);
    world.idle().await;
}

/// The rows of the connections.
async fn connections(world: &World) -> Vec<Value> {
    let mut rows = world.items("ConnectionsTable").await;
    rows.retain(|row| row["item"]["S"].as_str().unwrap().starts_with("connection#"));
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_of_each_account_gets_ringcentrals_events() {
    let (world, tenant, from) = connected().await;
    connect(&world, &tenant, 1).await;
    connect(&world, &tenant, 3).await;
    world.advance(A_DAY_AND_A_BIT).await;
    let mut accounts = [0, 3].map(|user| world.user(user)["accountId"].as_str().unwrap().to_owned());
    accounts.sort();
    let mut subscribed = subscribed_accounts(&world).await;
    subscribed.sort();
    assert_eq!(subscribed, accounts);
    // The next check keeps them.
    world.advance(A_DAY_AND_A_BIT).await;
    assert_eq!(subscribed_accounts(&world).await.len(), 2);
    assert_eq!(world.count("subscription_deleted").await, 0);

    set_at_ringcentral(&world, &from, &[THEM], "OptOut").await;
    assert_eq!(changes(&world, &tenant).await, [change("ringcentral_event", "opted_out")]);
    assert_eq!(attempt(&world, &tenant, &from, THEM).await, rejected());
    set_at_ringcentral(&world, &from, &[THEM], "OptIn").await;
    assert_eq!(attempt(&world, &tenant, &from, THEM).await.0, 202);
    // Of all numbers of the account, and repeated.
    let hooks = json!({ "hooks": { "duplicate": 3 } });
    world.sim(Method::PUT, "/_sim/settings", Some(hooks)).await;
    set_at_ringcentral(&world, "*", &[STRANGER], "OptOut").await;
    assert_eq!(attempt(&world, &tenant, "+14155550101", STRANGER).await, rejected());
    let all = events(&world, &tenant, "consent_changed").await;
    let of_account =
        json!({ "from": null, "to": STRANGER, "status": "opted_out", "source": "ringcentral_event" });
    assert_eq!(all[2..], [of_account]);
    // A lost event is found by the next search.
    world.sim(Method::PUT, "/_sim/settings", Some(json!({ "hooks": { "drop": 1.0 } }))).await;
    let other = "+16505550179";
    set_at_ringcentral(&world, &from, &[other], "OptOut").await;
    assert_eq!(changes(&world, &tenant).await.len(), 3);
    world.advance(A_DAY_AND_A_BIT).await;
    let last = change("ringcentral_search", "opted_out");
    eventually("the search", async || changes(&world, &tenant).await.last() == Some(&last)).await;
    assert_eq!(attempt(&world, &tenant, &from, other).await, rejected());

    // The connection that had the subscription is removed, and another one of its account gets one.
    world.sim(Method::PUT, "/_sim/settings", Some(json!({ "hooks": {} }))).await;
    let holder = connections(&world).await.into_iter().find(|row| {
        row["consent_subscription"]["S"].is_string() && row["account"]["S"] == world.user(0)["accountId"]
    });
    // Its access token is valid, so the subscriptions can be deleted.
    use_token(&world, &tenant).await;
    let path = format!("/v1/rc/extensions/{}", holder.unwrap()["extension"]["S"].as_str().unwrap());
    world.call(Method::DELETE, &path, &tenant.key, None).await.expect(200);
    world.idle().await;
    assert_eq!(world.count("subscription_deleted").await, 2, "that of its messages and that of consents");
    world.advance(A_DAY_AND_A_BIT).await;
    assert_eq!(subscribed_accounts(&world).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_about_consents_is_authenticated_and_one_that_is_not_recorded_whole_causes_a_search() {
    let (world, tenant, from) = connected().await;
    // Message sync would find the messages.
    world.without_schedules_of(&["sync-messages"]).await;
    // RingCentral refuses the subscription, so that the test can choose its token.
    world.sim(Method::PUT, "/_sim/settings", Some(json!({ "consentEvents": false }))).await;
    world.advance(A_DAY_AND_A_BIT).await;
    assert!(subscribed_accounts(&world).await.is_empty());
    assert_eq!(extension(&world, &tenant).await["subscription"]["status"], "Active");
    let mut row = connections(&world).await.remove(0);
    row["consent_token_digest"] = json!({ "S": Secret::new("ours").digest() });
    world.put_item("ConnectionsTable", row.clone()).await;
    let query = world
        .event_query(row["tenant"]["S"].as_str().unwrap(), row["connection"]["S"].as_str().unwrap())
        .await;
    let post = async |token: &str, records: Value| {
        let event = json!({
            "uuid": "1", "event": "/restapi/v2/accounts/500100/sms/consents", "subscriptionId": "s",
            "timestamp": "2026-02-03T10:05:09.034Z", "ownerId": row["extension"]["S"], "body": { "records": records },
        });
        let url = format!("{}/v1/webhooks/ringcentral{query}", world.gateway());
        let request = world.http.post(url).header("verification-token", token).body(event.to_string());
        request.send().await.unwrap().status().as_u16()
    };
    let record = |to: &str| json!({ "from": from, "to": to, "optStatus": "OptOut", "source": "Recipient" });
    assert_eq!(post("a-guess", json!([record(THEM)])).await, 401);
    assert!(changes(&world, &tenant).await.is_empty());
    assert_eq!(post("ours", json!([record(THEM)])).await, 200);
    assert_eq!(changes(&world, &tenant).await, [change("ringcentral_event", "opted_out")]);

    // The event has a record that cannot be read, and one more than are recorded.
    write(&world, STRANGER, &from, "STOP", false).await;
    let mut records = vec![json!({ "from": from, "optStatus": "OptOut" })];
    records.extend((0..20).map(|at| record(&format!("+1212555{:04}", 100 + at))));
    records.push(record("+12135550100"));
    assert_eq!(post("ours", json!(records)).await, 200);
    assert_eq!(changes(&world, &tenant).await.len(), 21);
    world.advance(361).await;
    let found = change("ringcentral_search", "opted_out");
    eventually("the search", async || changes(&world, &tenant).await.contains(&found)).await;
    assert_eq!(attempt(&world, &tenant, &from, STRANGER).await, rejected());

    // An event whose consents cannot be stored causes a search too.
    let late = "+16505550178";
    write(&world, late, &from, "STOP", false).await;
    let failing = json!({ "function": "receive-event", "operation": "GetItem" });
    let throttled = json!({ "error": "ThrottlingException", "status": 400 });
    world.aws_fault(failing, 0, None, throttled).await;
    assert_eq!(post("ours", json!([record(late)])).await, 503);
    world.no_faults().await;
    world.advance(361).await;
    eventually("the search", async || changes(&world, &tenant).await.len() == 23).await;
    assert_eq!(attempt(&world, &tenant, &from, late).await, rejected());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_is_refused_or_limited_is_made_up_for_the_next_day() {
    let (world, tenant, from) = connected().await;
    world.sim(Method::PUT, "/_sim/settings", Some(json!({ "consentEvents": false }))).await;
    write(&world, THEM, &from, "STOP", false).await;
    // Message sync would find the message.
    world.without_schedules_of(&["sync-messages"]).await;
    for act in [
        json!({ "status": 403, "body": { "errorCode": "CMN-401", "message": "no permission" } }),
        json!({ "status": 429, "headers": { "retry-after": "60" }, "body": { "errorCode": "CMN-301" } }),
        json!({ "status": 503 }),
        json!({ "status": 200, "body": "<html>" }),
    ] {
        let before = world.count("subscription_renewed").await;
        world.sim_fault("/consents/search", None, act.clone()).await;
        world.advance(A_DAY_AND_A_BIT).await;
        assert!(world.count("subscription_renewed").await > before, "{act}: the check itself goes on");
        assert_eq!(extension(&world, &tenant).await["status"], "active", "{act}");
        assert!(changes(&world, &tenant).await.is_empty(), "{act}");
    }
    world.no_faults().await;
    world.advance(A_DAY_AND_A_BIT).await;
    let found = [change("ringcentral_search", "opted_out")];
    eventually("the search", async || changes(&world, &tenant).await == found).await;
    assert_eq!(attempt(&world, &tenant, &from, THEM).await, rejected());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_search_goes_on_the_next_day_where_it_stopped() {
    let (world, tenant, from) = connected().await;
    world.sim(Method::PUT, "/_sim/settings", Some(json!({ "consentEvents": false }))).await;
    let page = |at: usize, next: Option<usize>| {
        let record = json!({ "from": from, "to": format!("+1650555{:04}", 100 + at), "optStatus": "OptOut" });
        let token = next.map(|next| format!("page-{next}"));
        json!({
            "match": { "path": "/consents/search" }, "times": 1,
            "do": { "status": 200, "body": { "records": [record], "paging": { "nextPageToken": token } } },
        })
    };
    // More pages than a day's search reads; each is served once, in this order.
    let pages: Vec<Value> = (0..12).map(|at| page(at, (at < 11).then_some(at + 1))).collect();
    world.sim(Method::PUT, "/_sim/faults", Some(json!(pages))).await;
    let next_page = async || connections(&world).await[0]["consent_next_page"]["S"].clone();
    world.advance(A_DAY_AND_A_BIT).await;
    eventually("the search", async || changes(&world, &tenant).await.len() == 10).await;
    assert_eq!(next_page().await, "page-10");
    world.advance(A_DAY_AND_A_BIT).await;
    eventually("the rest", async || changes(&world, &tenant).await.len() == 12).await;
    assert_eq!(next_page().await, Value::Null, "the next one begins with the first page");

    // RingCentral has forgotten the page by then, so the search begins again.
    let refused = json!({
        "match": { "path": "/consents/search" }, "times": 1,
        "do": { "status": 400, "body": { "errorCode": "CMN-101", "parameterName": "pageToken" } },
    });
    let pages: Vec<Value> =
        (20..30).map(|at| page(at, Some(at + 1))).chain([refused, page(30, None)]).collect();
    world.sim(Method::PUT, "/_sim/faults", Some(json!(pages))).await;
    world.advance(A_DAY_AND_A_BIT).await;
    eventually("the search", async || changes(&world, &tenant).await.len() >= 22).await;
    world.advance(A_DAY_AND_A_BIT).await;
    eventually("the first page", async || changes(&world, &tenant).await.len() == 23).await;
    assert_eq!(next_page().await, Value::Null);
}
