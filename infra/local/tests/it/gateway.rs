//! HTTP requests to the function binaries and back.

use crate::world::{World, read};
use serde_json::json;

#[tokio::test]
async fn a_request_reaches_the_function_as_an_event_of_payload_2() {
    let world = World::start().await;
    let url = format!("{}/probe/a%20b?x=1&x=2", world.stack.info().gateway());
    let seen = read(
        world
            .client
            .post(url)
            .header("cookie", "a=1; b=2")
            .header("X-Mixed-Case", "Yes")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("token=t"),
    )
    .await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    let event = seen.json();
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "POST /probe/{id}");
    assert_eq!(event["pathParameters"]["id"], "a b");
    assert_eq!(event["queryStringParameters"]["x"], "1,2");
    assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
    assert_eq!(event["headers"]["x-mixed-case"], "Yes");
    assert_eq!(event["body"], "dG9rZW49dA==");
    assert_eq!(event["isBase64Encoded"], true);
    assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
    assert_eq!(event["requestContext"]["stage"], "$default");
    assert!(seen.headers.contains_key("apigw-requestid"));
}

#[tokio::test]
async fn an_unknown_route_and_a_wrong_method_are_not_found() {
    let world = World::start().await;
    for path in ["/nowhere", "/probe/", "/probe/1"] {
        let seen = world.get(path).await;
        assert_eq!((seen.status, seen.text.as_str()), (404, r#"{"message":"Not Found"}"#), "{path}");
    }
}

#[tokio::test]
async fn head_answers_where_the_template_has_the_route() {
    let world = World::start().await;
    let head = |path: &str| world.client.head(format!("{}{path}", world.stack.info().gateway()));
    assert_eq!(read(head("/probe")).await.status, 200);
    assert_eq!(read(head("/quick")).await.status, 404);
}

#[tokio::test]
async fn cookies_redirects_and_base64_bodies_come_back() {
    let world = World::start().await;
    let seen = world.get("/probe?do=cookies").await;
    assert_eq!((seen.status, seen.text.as_str()), (303, "hello"));
    assert_eq!(seen.headers["location"], "/elsewhere");
    let cookies: Vec<_> = seen.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; Secure", "b=2"]);
}

#[tokio::test]
async fn the_environment_is_the_templates_and_lambdas_and_nothing_else() {
    let world = World::start().await;
    let environment = world.get("/probe?do=env").await.json();
    assert_eq!(environment["GREETING"], "hello, us-east-1");
    assert_eq!(environment["STAGE"], "local");
    assert_eq!(environment["PUBLIC_URL"], world.stack.info().gateway());
    assert_eq!(environment["THINGS_TABLE"], "ringbridge-local-things");
    assert_eq!(environment["ONLY_LOCAL"], "yes");
    assert_eq!(environment["AWS_ENDPOINT_URL"], world.stack.info().aws());
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], "ringbridge-local-probe");
    for absent in ["NEVER_LOCAL", "HOME", "CARGO_MANIFEST_DIR", "RINGBRIDGE_CLOCK_OFFSET_SECONDS"] {
        assert!(environment.get(absent).is_none(), "{absent} is there");
    }
}

#[tokio::test]
async fn the_deadline_is_real() {
    let world = World::start().await;
    let left = world.get("/probe?do=deadline").await.json()["leftMs"].as_i64().unwrap();
    assert!((4_000..=5_000).contains(&left), "{left} ms left");
}

#[tokio::test]
async fn a_function_stays_warm_and_a_crashed_one_is_replaced() {
    let world = World::start().await;
    let first = world.get("/probe?do=count").await.json();
    let second = world.get("/probe?do=count").await.json();
    assert_eq!((first["count"].as_i64(), second["count"].as_i64()), (Some(1), Some(2)));
    assert_eq!(first["pid"], second["pid"]);
    for way in ["exit", "fail", "nonsense", "panic"] {
        let seen = world.get(&format!("/probe?do={way}")).await;
        assert_eq!(
            (seen.status, seen.text.as_str()),
            (500, r#"{"message":"Internal Server Error"}"#),
            "{way}"
        );
    }
    let after = world.get("/probe?do=count").await.json();
    assert_ne!(after["pid"], first["pid"]);
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_killed() {
    let world = World::start().await;
    let seen = world.get("/quick?do=hang").await;
    assert_eq!((seen.status, seen.text.as_str()), (500, r#"{"message":"Internal Server Error"}"#));
    let logged = world.stack.logs().since(0).to_string();
    assert!(logged.contains("Task timed out after 1.00 seconds"), "{logged}");
    assert_eq!(world.get("/quick?do=count").await.json()["count"], 1);
}

#[tokio::test]
async fn a_function_that_does_not_start_or_was_not_built_leaves_the_others_alone() {
    let world = World::start().await;
    assert_eq!(world.get("/broken").await.status, 500);
    assert_eq!(world.get("/absent").await.status, 500);
    assert_eq!(world.get("/probe").await.status, 200);
}

#[tokio::test]
async fn overlapping_requests_get_instances_up_to_the_cap() {
    let world = World::start().await;
    let calls = (0..4).map(|_| world.get("/quick?do=count"));
    let seen = futures_util::future::join_all(calls).await;
    let pids: std::collections::BTreeSet<i64> =
        seen.iter().map(|seen| seen.json()["pid"].as_i64().unwrap()).collect();
    assert_eq!(pids.len(), 1, "one instance serves them one after the other");
    let calls = (0..4).map(|_| world.get("/probe?do=count"));
    let seen = futures_util::future::join_all(calls).await;
    assert!(seen.iter().all(|seen| seen.status == 200));
}

#[tokio::test]
async fn moving_the_clock_moves_what_functions_see() {
    let world = World::start().await;
    world.get("/probe").await;
    let moved = world.post("/_local/clock", &json!({ "advanceSeconds": 7200 })).await;
    assert_eq!(moved.status, 200, "{}", moved.text);
    assert_eq!(moved.json()["fired"], json!(["probe-every-hour"]));
    let environment = world.get("/probe?do=env").await.json();
    assert_eq!(environment["RINGBRIDGE_CLOCK_OFFSET_SECONDS"], "7200");
    let left = world.get("/probe?do=deadline").await.json()["leftMs"].as_i64().unwrap();
    assert!((7_203_000..=7_205_000).contains(&left), "{left} ms left");
    let logged = world.stack.logs().since(0).to_string();
    assert!(logged.contains("from"), "the schedule's input arrived: {logged}");
}

#[tokio::test]
async fn the_control_api_answers_this_machine_only() {
    let world = World::start().await;
    let url = format!("{}/_local/clock", world.stack.info().gateway());
    let rebound = read(world.client.post(&url).header("host", "evil.example").body("{}")).await;
    assert_eq!(rebound.status, 403);
    let other_site = read(world.client.post(&url).header("origin", "https://evil.example").body("{}")).await;
    assert_eq!(other_site.status, 403);
    let typo = world.post("/_local/clock", &json!({ "advanceSecond": 1 })).await;
    assert_eq!(typo.status, 400);
    assert!(typo.json()["error"].as_str().unwrap().starts_with("advanceSecond: unknown field"));
}

#[tokio::test]
async fn a_body_over_ten_megabytes_is_too_large() {
    let world = World::start().await;
    let url = format!("{}/probe/1", world.stack.info().gateway());
    let answer = world.client.post(url).body(vec![b'x'; 10 * 1024 * 1024 + 1]).send().await;
    // The answer comes before the whole body went out, so the connection may break first.
    if let Ok(answer) = answer {
        assert_eq!(answer.status(), 413);
        assert_eq!(answer.text().await.unwrap(), r#"{"message":"Request Entity Too Large"}"#);
    }
}
