//! HTTP requests to functions and their responses.

use crate::test_stack::{TestStack, read};
use serde_json::json;

#[tokio::test]
async fn a_request_becomes_an_event_of_payload_format_2() {
    let test = TestStack::start().await;
    let url = format!("{}/probe/a%20b?x=1&x=2", test.stack.info().gateway());
    let response = read(
        test.client
            .post(url)
            .header("cookie", "a=1; b=2")
            .header("X-Mixed-Case", "Yes")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("token=t"),
    )
    .await;
    assert_eq!(response.status, 200, "{}", response.text);
    let event = response.json();
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
    assert!(response.headers.contains_key("apigw-requestid"));
}

#[tokio::test]
async fn unknown_routes_and_methods_are_not_found() {
    let test = TestStack::start().await;
    for path in ["/nowhere", "/probe/", "/probe/1"] {
        let response = test.get(path).await;
        assert_eq!((response.status, response.text.as_str()), (404, r#"{"message":"Not Found"}"#), "{path}");
    }
}

#[tokio::test]
async fn head_needs_a_route_in_the_template() {
    let test = TestStack::start().await;
    let head = |path: &str| test.client.head(format!("{}{path}", test.stack.info().gateway()));
    assert_eq!(read(head("/probe")).await.status, 200);
    assert_eq!(read(head("/quick")).await.status, 404);
}

#[tokio::test]
async fn cookies_redirects_and_base64_bodies_are_returned() {
    let test = TestStack::start().await;
    let response = test.get("/probe?do=cookies").await;
    assert_eq!((response.status, response.text.as_str()), (303, "hello"));
    assert_eq!(response.headers["location"], "/elsewhere");
    let cookies: Vec<_> = response.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; Secure", "b=2"]);
}

#[tokio::test]
async fn the_environment_contains_only_variables_of_the_template_and_lambda() {
    let test = TestStack::start().await;
    let environment = test.get("/probe?do=env").await.json();
    assert_eq!(environment["GREETING"], "hello, us-east-1");
    assert_eq!(environment["STAGE"], "local");
    assert_eq!(environment["PUBLIC_URL"], test.stack.info().gateway());
    assert_eq!(environment["THINGS_TABLE"], "ringbridge-local-things");
    assert_eq!(environment["ONLY_LOCAL"], "yes");
    assert_eq!(environment["AWS_ENDPOINT_URL"], test.stack.info().aws());
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], "ringbridge-local-probe");
    for absent in ["NEVER_LOCAL", "HOME", "CARGO_MANIFEST_DIR", "RINGBRIDGE_CLOCK_OFFSET_SECONDS"] {
        assert!(environment.get(absent).is_none(), "{absent} is set");
    }
}

#[tokio::test]
async fn the_deadline_is_the_timeout_of_the_function() {
    let test = TestStack::start().await;
    let left = test.get("/probe?do=deadline").await.json()["leftMs"].as_i64().unwrap();
    assert!((4_000..=5_000).contains(&left), "{left} ms left");
}

#[tokio::test]
async fn an_instance_is_reused_and_a_crashed_one_is_replaced() {
    let test = TestStack::start().await;
    let first = test.get("/probe?do=count").await.json();
    let second = test.get("/probe?do=count").await.json();
    assert_eq!((first["count"].as_i64(), second["count"].as_i64()), (Some(1), Some(2)));
    assert_eq!(first["pid"], second["pid"]);
    for way in ["exit", "fail", "nonsense", "panic"] {
        let response = test.get(&format!("/probe?do={way}")).await;
        assert_eq!(
            (response.status, response.text.as_str()),
            (500, r#"{"message":"Internal Server Error"}"#),
            "{way}"
        );
    }
    let after = test.get("/probe?do=count").await.json();
    assert_ne!(after["pid"], first["pid"]);
}

#[tokio::test]
async fn a_function_that_exceeds_its_timeout_is_killed() {
    let test = TestStack::start().await;
    let response = test.get("/quick?do=hang").await;
    assert_eq!((response.status, response.text.as_str()), (500, r#"{"message":"Internal Server Error"}"#));
    let logged = test.stack.logs().since(0).to_string();
    assert!(logged.contains("Task timed out after 1.00 seconds"), "{logged}");
    assert_eq!(test.get("/quick?do=count").await.json()["count"], 1);
}

#[tokio::test]
async fn a_function_that_does_not_start_or_has_no_binary_does_not_stop_the_others() {
    let test = TestStack::start().await;
    assert_eq!(test.get("/broken").await.status, 500);
    assert_eq!(test.get("/absent").await.status, 500);
    assert_eq!(test.get("/probe").await.status, 200);
}

#[tokio::test]
async fn overlapping_requests_start_instances_and_successive_ones_reuse_them() {
    let test = TestStack::start().await;
    let first = test.get("/quick?do=count").await.json()["pid"].clone();
    for _ in 0..3 {
        assert_eq!(test.get("/quick?do=count").await.json()["pid"], first);
    }
    let calls = (0..4).map(|_| test.get("/probe?do=count"));
    let response = futures_util::future::join_all(calls).await;
    assert!(response.iter().all(|response| response.status == 200));
}

#[tokio::test]
async fn the_clock_of_functions_moves() {
    let test = TestStack::start().await;
    test.get("/probe").await;
    let moved = test.post("/_local/clock", &json!({ "advanceSeconds": 7200 })).await;
    assert_eq!(moved.status, 200, "{}", moved.text);
    assert_eq!(moved.json()["fired"], json!(["probe-every-hour"]));
    let environment = test.get("/probe?do=env").await.json();
    assert_eq!(environment["RINGBRIDGE_CLOCK_OFFSET_SECONDS"], "7200");
    let left = test.get("/probe?do=deadline").await.json()["leftMs"].as_i64().unwrap();
    assert!((7_203_000..=7_205_000).contains(&left), "{left} ms left");
    let logged = test.stack.logs().since(0).to_string();
    assert!(logged.contains("from"), "the schedule's input was delivered: {logged}");
}

#[tokio::test]
async fn throttles_of_the_template_are_enforced_on_request() {
    let test = TestStack::start().await;
    let statuses = async |path: &str, count: usize| {
        let mut statuses = Vec::new();
        for _ in 0..count {
            statuses.push(test.get(path).await.status);
        }
        statuses
    };
    assert_eq!(statuses("/quick", 5).await, [200; 5]);
    let url = format!("{}/_local/settings", test.stack.info().gateway());
    let set = async |body: &str| read(test.client.put(&url).body(body.to_owned())).await;
    for invalid in [r#"{"enforceThrottles":1}"#, r#"{"enforce":true}"#, "["] {
        assert_eq!(set(invalid).await.status, 400, "{invalid}");
    }
    assert_eq!(set("{}").await.json(), json!({ "enforceThrottles": false }));
    assert_eq!(set(r#"{"enforceThrottles":true}"#).await.json(), json!({ "enforceThrottles": true }));

    assert_eq!(statuses("/quick", 4).await, [200, 200, 200, 429]);
    let rejected = test.get("/quick").await;
    assert_eq!((rejected.status, rejected.text.as_str()), (429, r#"{"message":"Too Many Requests"}"#));
    assert!(rejected.headers.contains_key("apigw-requestid"));
    assert!(!rejected.headers.contains_key("retry-after"));
    assert_eq!(statuses("/probe", 10).await, [200; 10], "each route has its own bucket");
    assert_eq!(statuses("/nowhere", 1).await, [404]);
    test.post("/_local/clock", &json!({ "advanceSeconds": 200 })).await;
    assert_eq!(statuses("/quick", 3).await, [200, 200, 429], "the stack's clock refills it");
    assert_eq!(set(r#"{"enforceThrottles":false}"#).await.status, 200);
    assert_eq!(statuses("/quick", 5).await, [200; 5]);
}

#[tokio::test]
async fn the_control_api_accepts_requests_from_this_machine_only() {
    let test = TestStack::start().await;
    let url = format!("{}/_local/clock", test.stack.info().gateway());
    let rebound = read(test.client.post(&url).header("host", "evil.example").body("{}")).await;
    assert_eq!(rebound.status, 403);
    let other_site = read(test.client.post(&url).header("origin", "https://evil.example").body("{}")).await;
    assert_eq!(other_site.status, 403);
    let misspelled = test.post("/_local/clock", &json!({ "advanceSecond": 1 })).await;
    assert_eq!(misspelled.status, 400);
    assert!(misspelled.json()["error"].as_str().unwrap().starts_with("advanceSecond: unknown field"));
}

#[tokio::test]
async fn a_body_over_ten_megabytes_is_too_large() {
    let test = TestStack::start().await;
    let url = format!("{}/probe/1", test.stack.info().gateway());
    let response = test.client.post(url).body(vec![b'x'; 10 * 1024 * 1024 + 1]).send().await;
    // The response arrives before the body is sent completely, so the connection may close first.
    if let Ok(response) = response {
        assert_eq!(response.status(), 413);
        assert_eq!(response.text().await.unwrap(), r#"{"message":"Request Entity Too Large"}"#);
    }
}
