//! EventBridge Scheduler: its API, and the functions that it calls.

use crate::test_stack::{TestStack, read};
use serde_json::{Value, json};

async fn scheduler(
    test: &TestStack,
    method: &str,
    path: &str,
    body: &Value,
) -> crate::test_stack::StackResponse {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = test
        .client
        .request(method, format!("{}{path}", test.stack.info().aws()))
        .header("authorization", "AWS4-HMAC-SHA256 Credential=me/20260101/us-east-1/scheduler/aws4_request")
        .body(body.to_string());
    read(request).await
}

fn schedule(expression: &str) -> Value {
    json!({
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": {
            "Arn": "arn:aws:lambda:us-east-1:000000000000:function:ringbridge-local-probe",
            "RoleArn": "arn:aws:iam::000000000000:role/x",
            "Input": "{\"made\":\"by hand\"}",
        },
    })
}

fn at(test: &TestStack, seconds: i64) -> String {
    let moment = test.stack.clock().now() + jiff::SignedDuration::from_secs(seconds);
    format!("at({})", moment.strftime("%Y-%m-%dT%H:%M:%S"))
}

#[tokio::test]
async fn schedules_are_created_read_updated_listed_and_deleted() {
    let test = TestStack::start().await;
    let created = scheduler(&test, "POST", "/schedules/one", &schedule("rate(5 minutes)")).await;
    assert_eq!(
        created.json()["ScheduleArn"],
        "arn:aws:scheduler:us-east-1:000000000000:schedule/default/one"
    );
    let again = scheduler(&test, "POST", "/schedules/one", &schedule("rate(5 minutes)")).await;
    assert_eq!(
        (again.status, again.headers["x-amzn-errortype"].to_str().unwrap()),
        (409, "ConflictException")
    );
    let read = scheduler(&test, "GET", "/schedules/one", &Value::Null).await.json();
    assert_eq!(read["ScheduleExpression"], "rate(5 minutes)");
    assert_eq!(read["State"], "ENABLED");
    scheduler(&test, "PUT", "/schedules/one", &schedule("rate(1 day)")).await;
    let read = scheduler(&test, "GET", "/schedules/one?groupName=default", &Value::Null).await.json();
    assert_eq!(read["ScheduleExpression"], "rate(1 day)");
    let list =
        scheduler(&test, "GET", "/schedules?ScheduleGroup=default&NamePrefix=o", &Value::Null).await.json();
    assert_eq!(list["Schedules"].as_array().unwrap().len(), 1);
    assert_eq!(scheduler(&test, "DELETE", "/schedules/one", &Value::Null).await.status, 200);
    let gone = scheduler(&test, "GET", "/schedules/one", &Value::Null).await;
    assert_eq!(
        (gone.status, gone.headers["x-amzn-errortype"].to_str().unwrap()),
        (404, "ResourceNotFoundException")
    );
}

#[tokio::test]
async fn invalid_expressions_and_unknown_groups_are_rejected() {
    let test = TestStack::start().await;
    for bad in ["at(nonsense)", "rate(0 minutes)", "cron(0 8 * * * *)", ""] {
        let response = scheduler(&test, "POST", "/schedules/bad", &schedule(bad)).await;
        assert_eq!(
            (response.status, response.headers["x-amzn-errortype"].to_str().unwrap()),
            (400, "ValidationException"),
            "{bad}"
        );
    }
    let mut elsewhere = schedule("rate(5 minutes)");
    elsewhere["GroupName"] = json!("nowhere");
    assert_eq!(scheduler(&test, "POST", "/schedules/x", &elsewhere).await.status, 404);
}

#[tokio::test]
async fn cron_expressions_are_rejected_as_unsupported() {
    let test = TestStack::start().await;
    let response = scheduler(&test, "POST", "/schedules/cron", &schedule("cron(0 8 * * ? *)")).await;
    assert_eq!(response.status, 400);
    let message = response.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("cron() is not supported by the local stack"), "{message}");
}

#[tokio::test]
async fn a_schedule_fires_its_function_when_the_clock_reaches_it() {
    let test = TestStack::start().await;
    let mut once = schedule(&at(&test, 3000));
    once["ActionAfterCompletion"] = json!("DELETE");
    scheduler(&test, "POST", "/schedules/once", &once).await;
    let early = test.post("/_local/clock", &json!({ "advanceSeconds": 1800 })).await.json();
    assert_eq!(early["fired"], json!([]));
    let late = test.post("/_local/clock", &json!({ "advanceSeconds": 7200 })).await.json();
    assert_eq!(late["fired"], json!(["once", "probe-every-hour"]), "in the order in which they were due");
    let logged = test.stack.logs().since(0).to_string();
    assert!(logged.contains("by hand"), "{logged}");
    assert_eq!(
        scheduler(&test, "GET", "/schedules/once", &Value::Null).await.status,
        404,
        "it is deleted after it fired"
    );
}

#[tokio::test]
async fn a_schedule_is_fired_by_name() {
    let test = TestStack::start().await;
    let fired = test.aws_control("POST", "scheduler/fire", &json!({ "name": "probe-every-hour" })).await;
    assert_eq!(fired.json()["fired"], json!([{ "name": "probe-every-hour", "ok": true }]));
    let listed = test.aws_control("GET", "scheduler", &Value::Null).await.json();
    assert_eq!(listed["schedules"][0]["group"], "ringbridge-local");
    let unknown = test.aws_control("POST", "scheduler/fire", &json!({ "name": "none" })).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn a_failed_invocation_is_retried_as_often_as_the_retry_policy_allows() {
    let test = TestStack::start().await;
    let mut failing = schedule(&at(&test, 60));
    failing["Target"]["Input"] = json!("{\"do\":\"fail\"}");
    failing["Target"]["RetryPolicy"] = json!({ "MaximumRetryAttempts": 1 });
    scheduler(&test, "POST", "/schedules/failing", &failing).await;
    let attempts = || {
        let logged = test.stack.logs().since(0);
        let lines = logged["lines"].as_array().unwrap().clone();
        lines.iter().filter(|line| line["line"].as_str().unwrap().starts_with("event")).count()
    };
    for expected in [1, 2, 2] {
        test.post("/_local/clock", &json!({ "advanceSeconds": 120 })).await;
        assert_eq!(attempts(), expected);
    }
}

#[tokio::test]
async fn a_discarded_invocation_goes_to_the_dead_letter_queue_of_the_schedule() {
    let test = TestStack::start().await;
    let mut failing = schedule(&at(&test, 60));
    failing["Target"]["Input"] = json!("{\"do\":\"fail\"}");
    // The first retry, after a minute, would be too late.
    failing["Target"]["RetryPolicy"] = json!({ "MaximumRetryAttempts": 5, "MaximumEventAgeInSeconds": 60 });
    let queue = "arn:aws:sqs:us-east-1:000000000000:ringbridge-local-dead-jobs";
    failing["Target"]["DeadLetterConfig"] = json!({ "Arn": queue });
    scheduler(&test, "POST", "/schedules/failing", &failing).await;
    test.post("/_local/clock", &json!({ "advanceSeconds": 300 })).await;
    let queues = test.aws_control("GET", "sqs", &Value::Null).await.json()["queues"].clone();
    let dead = queues
        .as_array()
        .unwrap()
        .iter()
        .find(|queue| queue["name"] == "ringbridge-local-dead-jobs")
        .unwrap();
    assert_eq!(dead["messages"][0]["body"], "{\"do\":\"fail\"}");
}

#[tokio::test]
async fn a_schedule_sends_to_a_queue() {
    let test = TestStack::start().await;
    let mut sending = schedule(&at(&test, 60));
    sending["Target"]["Arn"] = json!("arn:aws:sqs:us-east-1:000000000000:ringbridge-local-jobs");
    scheduler(&test, "POST", "/schedules/sending", &sending).await;
    test.post("/_local/clock", &json!({ "advanceSeconds": 61 })).await;
    assert_eq!(test.events()[0]["Records"][0]["body"], "{\"made\":\"by hand\"}");
}
