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

fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:ringbridge-local-{queue}")
}

async fn messages(test: &TestStack, queue: &str) -> Vec<Value> {
    let queues = test.aws_control("GET", "sqs", &Value::Null).await.json()["queues"].clone();
    let name = format!("ringbridge-local-{queue}");
    let queue = queues.as_array().unwrap().iter().find(|queue| queue["name"] == name.as_str()).unwrap();
    queue["messages"].as_array().unwrap().clone()
}

/// The records of discarded invocations in a queue.
async fn records(test: &TestStack, queue: &str) -> Vec<Value> {
    let bodies = messages(test, queue).await.into_iter();
    bodies.map(|message| serde_json::from_str(message["body"].as_str().unwrap()).unwrap()).collect()
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

/// The times at which the probe was invoked are one and two minutes apart, whatever the retry policy of the schedule says.
#[tokio::test]
async fn a_failed_invocation_is_retried_as_the_function_says() {
    let test = TestStack::start().await;
    let mut failing = schedule(&at(&test, 60));
    failing["Target"]["Input"] = json!("{\"do\":\"fail\"}");
    failing["Target"]["RetryPolicy"] = json!({ "MaximumRetryAttempts": 0 });
    failing["Target"]["DeadLetterConfig"] = json!({ "Arn": arn("dead-jobs") });
    scheduler(&test, "POST", "/schedules/failing", &failing).await;
    for (seconds, attempts) in [(61, 1), (40, 1), (30, 2), (100, 2), (30, 3), (1_000, 3)] {
        test.post("/_local/clock", &json!({ "advanceSeconds": seconds })).await;
        assert_eq!(test.events().len(), attempts);
    }
    let [record] = &records(&test, "dead-invocations").await[..] else { panic!("one record") };
    assert_eq!(record["version"], "1.0");
    assert!(record["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let context = &record["requestContext"];
    assert_eq!(
        (&context["condition"], &context["approximateInvokeCount"]),
        (&json!("RetriesExhausted"), &json!(3))
    );
    let function = "arn:aws:lambda:us-east-1:000000000000:function:ringbridge-local-probe:$LATEST";
    assert_eq!(context["functionArn"], function);
    assert!(context["requestId"].is_string());
    assert_eq!(record["requestPayload"], json!({ "do": "fail" }));
    let response = json!({ "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" });
    assert_eq!(record["responseContext"], response);
    assert_eq!(record["responsePayload"]["errorMessage"], "failure requested");
    assert!(records(&test, "dead-jobs").await.is_empty(), "the schedule was delivered");
}

/// The clock passes the schedule and both retries at once.
#[tokio::test]
async fn all_attempts_that_fall_due_are_made_when_the_clock_moves() {
    let test = TestStack::start().await;
    let mut failing = schedule(&at(&test, 60));
    failing["Target"]["Input"] = json!("{\"do\":\"fail\"}");
    scheduler(&test, "POST", "/schedules/failing", &failing).await;
    test.post("/_local/clock", &json!({ "advanceSeconds": 600 })).await;
    assert_eq!((test.events().len(), records(&test, "dead-invocations").await.len()), (3, 1));
}

#[tokio::test]
async fn an_invocation_that_is_too_old_is_discarded() {
    let test = TestStack::start().await;
    let mut failing = schedule(&at(&test, 60));
    failing["Target"]["Input"] = json!("{\"do\":\"fail\"}");
    // Its first retry, after a minute, would be too late.
    failing["Target"]["Arn"] = json!("arn:aws:lambda:us-east-1:000000000000:function:ringbridge-local-quick");
    scheduler(&test, "POST", "/schedules/failing", &failing).await;
    test.post("/_local/clock", &json!({ "advanceSeconds": 300 })).await;
    assert_eq!(test.events().len(), 1);
    let [record] = &records(&test, "dead-invocations").await[..] else { panic!("one record") };
    assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
}

#[tokio::test]
async fn an_asynchronous_invocation_has_the_settings_of_its_function() {
    let test = TestStack::start().await;
    let url = format!("{}/2015-03-31/functions/probe/invocations", test.stack.info().aws());
    let request = test.client.post(url).header("x-amz-invocation-type", "Event");
    let request = request
        .header("authorization", "AWS4-HMAC-SHA256 Credential=me/20260101/us-east-1/lambda/aws4_request")
        .body(json!({ "do": "fail" }).to_string());
    assert_eq!(read(request).await.status, 202);
    test.stack.wait_until_idle().await;
    assert_eq!((test.events().len(), records(&test, "dead-invocations").await.len()), (1, 0));
    test.post("/_local/clock", &json!({ "advanceSeconds": 300 })).await;
    assert_eq!((test.events().len(), records(&test, "dead-invocations").await.len()), (3, 1));
}

/// The retry policy and the dead-letter queue of a schedule are for calls that Lambda did not accept.
#[tokio::test]
async fn a_schedule_that_cannot_be_delivered_is_retried_by_its_retry_policy() {
    let test = TestStack::start().await;
    let matching = json!({ "service": "lambda", "operation": "Invoke", "function": "scheduler" });
    let error = json!({ "error": "TooManyRequestsException", "status": 429 });
    let fault = |times: u32| json!([{ "match": matching, "times": times, "do": error }]);
    for (name, times, delivered) in [("kept", 2, 1), ("lost", 3, 0)] {
        test.aws_control("PUT", "faults", &fault(times)).await;
        let before = test.events().len();
        let mut retried = schedule(&at(&test, 60));
        retried["Target"]["RetryPolicy"] =
            json!({ "MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 600 });
        retried["Target"]["DeadLetterConfig"] = json!({ "Arn": arn("dead-jobs") });
        scheduler(&test, "POST", &format!("/schedules/{name}"), &retried).await;
        test.post("/_local/clock", &json!({ "advanceSeconds": 100 })).await;
        assert_eq!(test.events().len() - before, delivered, "{name}");
    }
    let [message] = &messages(&test, "dead-jobs").await[..] else { panic!("one dead letter") };
    assert_eq!(message["body"], "{\"made\":\"by hand\"}");
    let attribute = |name: &str| message["attributes"][name]["StringValue"].as_str().unwrap().to_owned();
    assert_eq!(attribute("ERROR_CODE"), "TooManyRequestsException");
    assert_eq!(attribute("RETRY_ATTEMPTS"), "2");
    assert_eq!(attribute("EXHAUSTED_RETRY_CONDITION"), "MaximumRetryAttempts");
    assert!(attribute("SCHEDULE_ARN").ends_with("/lost"));
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
