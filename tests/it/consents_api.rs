//! Consents by the API: recorded, written to RingCentral, read back, and listed as JSON and CSV.

use reqwest::Method;
use serde_json::{Value, json};

use crate::send::{TO, connect, connected};
use crate::tenancy::additional_key;
use crate::world::{Reply, TestTenant, World, now};

const CONSENTS: &str = "/sms/consents";

async fn put(world: &World, key: &str, rows: Value) -> Reply {
    world.call(Method::PUT, "/v1/consents", key, Some(json!({ "consents": rows }))).await
}

async fn results(world: &World, tenant: &TestTenant, rows: Value) -> Vec<Value> {
    put(world, &tenant.key, rows).await.expect(200).json()["results"].as_array().unwrap().clone()
}

fn row(from: &str, to: &str, status: &str) -> Value {
    json!({ "from": from, "to": to, "status": status })
}

fn number(last: usize) -> String {
    format!("+1650555{:04}", 100 + last)
}

async fn list(world: &World, tenant: &TestTenant, query: &str) -> Value {
    world.get(&format!("/v1/consents{query}"), &tenant.key).await.expect(200).json()
}

async fn csv(world: &World, tenant: &TestTenant, path: &str) -> Reply {
    let request = world
        .http
        .get(format!("{}{path}", world.gateway()))
        .header("authorization", format!("Bearer {}", tenant.key))
        .header("accept", "text/csv");
    Reply::of(request.send().await.unwrap()).await.expect(200)
}

#[tokio::test]
async fn consents_are_recorded_and_listed_with_their_history() {
    let (world, tenant, from) = connected().await;
    let other = world.new_tenant("Other").await;
    let mut noted = row(&from, &number(1), "opted_out");
    noted["note"] = json!("=HYPERLINK(\"by phone, yesterday\")");
    let rows =
        json!([noted, row(&from, &number(2), "opted_in"), row("+14155550199", &number(3), "opted_out")]);
    let told = results(&world, &tenant, rows).await;
    let shown: Vec<_> = told.iter().map(|one| (&one["to"], &one["status"], &one["outcome"])).collect();
    assert_eq!(shown[0], (&json!(number(1)), &json!("opted_out"), &json!("applied")), "{told:?}");
    assert_eq!(shown[1], (&json!(number(2)), &json!("opted_in"), &json!("applied")), "{told:?}");
    assert_eq!(shown[2], (&json!(number(3)), &json!("unknown"), &json!("refused")), "{told:?}");
    assert!(told[2]["reason"].as_str().unwrap().contains("not registered"));
    assert!(told[0].get("reason").is_none());

    let all = list(&world, &tenant, "").await;
    let pairs: Vec<_> = all["consents"].as_array().unwrap().iter().map(|one| one["to"].clone()).collect();
    assert_eq!(pairs, [json!(number(1)), json!(number(2))]);
    let first = &all["consents"][0];
    assert_eq!((&first["from"], &first["coverage"]), (&json!(from), &json!("PhoneNumber")));
    assert_eq!((&first["status"], &first["source"]), (&json!("opted_out"), &json!("api")));
    let plus = |number: &str| format!("%2B{}", &number[1..]);
    let count =
        async |query: String| list(&world, &tenant, &query).await["consents"].as_array().unwrap().len();
    assert_eq!(count("?status=opted_out".to_owned()).await, 1);
    assert_eq!(count("?status=unknown".to_owned()).await, 0);
    assert_eq!(count(format!("?to={}", plus(&number(2)))).await, 1);
    assert_eq!(count(format!("?from={}", plus(&from))).await, 2);
    assert_eq!(count("?from=%2B14155550101".to_owned()).await, 0);
    let page = list(&world, &tenant, "?limit=1").await;
    let next = page["nextCursor"].as_str().unwrap();
    let rest = list(&world, &tenant, &format!("?limit=1&cursor={next}")).await;
    assert_eq!(rest["consents"][0]["to"], number(2));
    assert_eq!(list(&world, &other, "").await["consents"], json!([]), "another tenant sees nothing");
    for invalid in
        ["?to=me", "?from=101", "?status=maybe", "?limit=0", "?sort=to", "/history", "/history?to=x"]
    {
        let reply = world.get(&format!("/v1/consents{invalid}"), &tenant.key).await;
        assert_eq!(reply.error(), (400, "invalid_query".into()), "{invalid}");
    }

    world.advance(60).await;
    results(&world, &tenant, json!([row(&from, &number(1), "opted_in")])).await;
    let path = format!("/v1/consents/history?to={}", plus(&number(1)));
    let history = world.get(&path, &tenant.key).await.expect(200).json();
    let entries: Vec<_> =
        history["entries"].as_array().unwrap().iter().map(|one| (&one["reported"], &one["status"])).collect();
    let (stopped, allowed) = (json!("opted_out"), json!("opted_in"));
    assert_eq!(entries, [(&stopped, &stopped), (&allowed, &allowed)], "oldest first");
    assert_eq!(history["entries"][0]["note"], "=HYPERLINK(\"by phone, yesterday\")");
    assert_eq!(world.get(&path, &other.key).await.expect(200).json()["entries"], json!([]));

    let table = csv(&world, &tenant, "/v1/consents?limit=1").await;
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8");
    assert!(!table.header("x-next-cursor").is_empty());
    let start =
        format!("from,to,status,source,coverage,updatedAt\r\n{from},{},opted_in,api,PhoneNumber,", number(1));
    assert!(table.text.starts_with(&start), "{}", table.text);
    let table = csv(&world, &tenant, &path).await;
    assert_eq!(table.header("x-next-cursor"), "");
    // A spreadsheet must not take the note for a formula.
    assert!(table.text.contains(",\"'=HYPERLINK(\"\"by phone, yesterday\"\")\","), "{}", table.text);

    let reader = additional_key(&world, &tenant, json!({ "scopes": ["consents:read"] })).await;
    assert_eq!(
        put(&world, &reader, json!([row(&from, TO, "opted_in")])).await.error(),
        (403, "insufficient_scope".into())
    );
}

#[tokio::test]
async fn every_row_has_the_outcome_that_ringcentral_gave_it() {
    let (world, tenant, from) = connected().await;
    // The recipient opted out with a keyword, which RingCentral alone may have seen.
    let order = json!({ "from": number(5), "to": from, "text": "STOP", "deliver": false });
    world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    let rows = json!([row(&from, &number(5), "opted_in"), row(&from, &number(6), "opted_in")]);
    let told = results(&world, &tenant, rows.clone()).await;
    assert_eq!(
        (&told[0]["outcome"], &told[1]["outcome"]),
        (&json!("refused"), &json!("applied")),
        "{told:?}"
    );
    assert!(told[0]["reason"].as_str().unwrap().contains("MSG-243"), "{told:?}");

    // RingCentral refuses a row without saying which one.
    let body = json!({ "failedRecords": [{ "error": { "errorCode": "MSG-1", "message": "no" } }] });
    world.sim_fault(CONSENTS, Some(1), json!({ "status": 200, "body": body })).await;
    let told = results(&world, &tenant, rows.clone()).await;
    assert!(told.iter().all(|one| one["outcome"] == "failed"), "{told:?}");

    // While RingCentral does not respond, an opt-out blocks all the same, and an opt-in is not claimed.
    world
        .sim_fault(
            CONSENTS,
            None,
            json!({ "status": 503, "body": { "errorCode": "CMN-201", "message": "down" } }),
        )
        .await;
    let rows = json!([row(&from, &number(7), "opted_out"), row(&from, &number(8), "opted_in")]);
    let told = results(&world, &tenant, rows).await;
    assert_eq!(
        (&told[0]["outcome"], &told[0]["status"]),
        (&json!("failed"), &json!("opted_out")),
        "{told:?}"
    );
    assert_eq!((&told[1]["outcome"], &told[1]["status"]), (&json!("failed"), &json!("unknown")), "{told:?}");
    assert!(told[0]["reason"].as_str().unwrap().contains("CMN-201"));
    world.no_faults().await;

    // Without a connection.
    let second = connect(&world, &tenant, 1).await;
    let extension = world.user(1)["extensionId"].as_str().unwrap().to_owned();
    world
        .call(Method::DELETE, &format!("/v1/rc/extensions/{extension}"), &tenant.key, None)
        .await
        .expect(200);
    let told = results(&world, &tenant, json!([row(&second, &number(9), "opted_out")])).await;
    assert_ne!(told[0]["outcome"], "applied", "{told:?}");
}

#[tokio::test]
async fn a_stop_of_the_recipient_is_lifted_only_if_ringcentral_shows_it() {
    let (world, tenant, from) = connected().await;
    let stopped = async |to: &str| {
        let at = now(&world).await.as_millisecond();
        let text = |text: &str| json!({ "S": text });
        let item = json!({
            "tenant": text(&tenant.id), "item": text(&format!("consent#{to}#{from}")), "to": text(to), "from": text(&from),
            "status": text("opted_out"), "version": { "N": "1" }, "observed_status": text("opted_out"),
            "observed_source": text("keyword"), "observed_at": { "N": at.to_string() },
        });
        world.put_item("ConsentsTable", item).await;
        let opt_outs = json!({ "tenant": text(&tenant.id), "item": text(&format!("opt_outs#{to}")), "scopes": { "SS": [from] } });
        world.put_item("ConsentsTable", opt_outs).await;
    };
    for to in [number(1), number(2), number(3)] {
        stopped(&to).await;
    }
    world.advance(60).await;
    // RingCentral has no opt-out of the first recipient, so it takes the opt-in, and shows it.
    let told = results(&world, &tenant, json!([row(&from, &number(1), "opted_in")])).await;
    assert_eq!(
        (&told[0]["outcome"], &told[0]["status"]),
        (&json!("applied"), &json!("opted_in")),
        "{told:?}"
    );
    // It shows the opt-in of all numbers.
    stopped(&number(4)).await;
    world.advance(60).await;
    let at = now(&world).await.to_string();
    let record = json!({ "from": "*", "to": number(4), "optStatus": "OptIn", "source": "Api", "lastModifiedTime": at });
    let shown = json!({ "status": 200, "body": { "records": [record], "paging": {} } });
    world.sim_fault("/consents/search", Some(1), shown).await;
    let told = results(&world, &tenant, json!([row(&from, &number(4), "opted_in")])).await;
    assert_eq!(
        (&told[0]["outcome"], &told[0]["status"]),
        (&json!("applied"), &json!("opted_in")),
        "{told:?}"
    );
    // It takes the opt-in of the second one, but goes on showing the opt-out.
    let record = json!({ "from": from, "to": number(2), "optStatus": "OptOut", "source": "Recipient" });
    world
        .sim_fault(
            "/consents/search",
            Some(1),
            json!({ "status": 200, "body": { "records": [record], "paging": {} } }),
        )
        .await;
    let told = results(&world, &tenant, json!([row(&from, &number(2), "opted_in")])).await;
    assert_eq!(
        (&told[0]["outcome"], &told[0]["status"]),
        (&json!("refused"), &json!("opted_out")),
        "{told:?}"
    );
    // Its record of the third one cannot be read.
    world
        .sim_fault("/consents/search", Some(1), json!({ "status": 503, "body": { "errorCode": "CMN-201" } }))
        .await;
    let told = results(&world, &tenant, json!([row(&from, &number(3), "opted_in")])).await;
    assert_eq!(
        (&told[0]["outcome"], &told[0]["status"]),
        (&json!("failed"), &json!("opted_out")),
        "{told:?}"
    );
    let query = "?status=opted_out";
    assert_eq!(list(&world, &tenant, query).await["consents"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_thousand_rows_are_one_call_and_invalid_rows_are_rejected_with_their_position() {
    let (world, tenant, from) = connected().await;
    let rows: Vec<_> = (0..1_000)
        .map(|at| {
            // Only those of the tenant's number are written, which a busy machine does in time.
            let own = if at < 300 { from.as_str() } else { "+14155550199" };
            let mut row = row(own, &format!("+1{}5550{}", 201 + at / 100, 100 + at % 100), "opted_out");
            row["note"] = json!("n".repeat(200));
            row
        })
        .collect();
    let told = results(&world, &tenant, json!(rows)).await;
    assert_eq!(told.len(), 1_000);
    assert!(told[..300].iter().all(|one| one["outcome"] == "applied"), "{:?}", told.first());
    assert!(told[300..].iter().all(|one| one["outcome"] == "refused"), "{:?}", told.last());
    assert_eq!(world.count("consent_changed").await, 300);
    let first = row(&from, TO, "opted_out");
    let with = |name: &str, value: Value| {
        let mut row = first.clone();
        row[name] = value;
        json!([row])
    };
    let too_many = vec![first.clone(); 1_001];
    for (rows, code, field) in [
        (json!([]), "invalid_field", "consents"),
        (json!(too_many), "invalid_field", "consents"),
        (json!([first, first]), "invalid_field", "consents[1]"),
        (with("to", json!("101")), "invalid_field", "consents[0].to"),
        (with("from", Value::Null), "invalid_field", "consents[0].from"),
        (with("from", json!("*")), "invalid_field", "consents[0].from"),
        (with("status", json!("unknown")), "invalid_field", "consents[0].status"),
        (with("status", json!("OptOut")), "invalid_field", "consents[0].status"),
        (with("note", json!("n".repeat(201))), "invalid_field", "consents[0].note"),
        (with("note", json!("")), "invalid_field", "consents[0].note"),
        (with("note", json!("a\nb")), "invalid_field", "consents[0].note"),
        (with("note", json!(5)), "invalid_body", "consents[0].note"),
        (with("source", json!("api")), "unknown_field", "consents[0].source"),
        (json!([[from, TO]]), "invalid_body", "consents[0]"),
        (json!({}), "invalid_body", "consents"),
    ] {
        let reply = put(&world, &tenant.key, rows).await;
        assert_eq!(reply.error(), (400, code.to_owned()), "{}", reply.text);
        assert_eq!(reply.json()["field"], field, "{}", reply.text);
    }
    let large =
        world.call(Method::PUT, "/v1/consents", &tenant.key, Some(json!({ "x": "y".repeat(530_000) }))).await;
    assert_eq!(large.error(), (413, "body_too_large".into()));
}

#[tokio::test]
async fn a_page_of_very_many_consents_costs_a_bounded_number_of_reads() {
    let (world, tenant, from) = connected().await;
    // So large that a page of the table, which is 1 MB, has few of them.
    let padding = "x".repeat(350_000);
    let text = |text: &str| json!({ "S": text });
    let row = |at: usize, status: &str| {
        let to = number(at);
        json!({
            "tenant": text(&tenant.id), "item": text(&format!("consent#{to}#{from}")), "to": text(&to), "from": text(&from),
            "status": text(status), "version": { "N": "1" }, "observed_status": text(status),
            "observed_source": text("keyword"), "observed_at": { "N": "1800000000000" }, "padding": text(&padding),
        })
    };
    const PAIRS: usize = 60;
    let rows: Vec<Value> =
        (0..PAIRS).map(|at| row(at, if at + 1 == PAIRS { "opted_out" } else { "opted_in" })).collect();
    world.put_items("ConsentsTable", &rows).await;
    let (mut cursor, mut found, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let before = world.calls_so_far().await;
        let page = list(&world, &tenant, &format!("?status=opted_out&limit=100{cursor}")).await;
        let calls = world.calls_since(before).await;
        let queries = calls.iter().filter(|call| call["operation"] == "Query").count();
        assert!((1..=10).contains(&queries), "{queries} queries");
        pages += 1;
        found.extend(page["consents"].as_array().unwrap().iter().map(|one| one["to"].clone()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, [json!(number(PAIRS - 1))]);
    assert!(pages > 1, "the first page is empty, and says where the next one begins");
}
