//! EventBridge Scheduler, seen through its API and by what it fires.

use crate::world::{World, read};
use serde_json::{Value, json};

async fn scheduler(world: &World, method: &str, path: &str, body: &Value) -> crate::world::Seen {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = world
        .client
        .request(method, format!("{}{path}", world.stack.info().aws()))
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

fn at(world: &World, seconds: i64) -> String {
    let moment = world.stack.clock().now() + jiff::SignedDuration::from_secs(seconds);
    format!("at({})", moment.strftime("%Y-%m-%dT%H:%M:%S"))
}

#[tokio::test]
async fn schedules_are_made_read_changed_listed_and_deleted() {
    let world = World::start().await;
    let made = scheduler(&world, "POST", "/schedules/one", &schedule("rate(5 minutes)")).await;
    assert_eq!(made.json()["ScheduleArn"], "arn:aws:scheduler:us-east-1:000000000000:schedule/default/one");
    let again = scheduler(&world, "POST", "/schedules/one", &schedule("rate(5 minutes)")).await;
    assert_eq!(
        (again.status, again.headers["x-amzn-errortype"].to_str().unwrap()),
        (409, "ConflictException")
    );
    let read = scheduler(&world, "GET", "/schedules/one", &Value::Null).await.json();
    assert_eq!(read["ScheduleExpression"], "rate(5 minutes)");
    assert_eq!(read["State"], "ENABLED");
    scheduler(&world, "PUT", "/schedules/one", &schedule("cron(0 8 * * ? *)")).await;
    let read = scheduler(&world, "GET", "/schedules/one?groupName=default", &Value::Null).await.json();
    assert_eq!(read["ScheduleExpression"], "cron(0 8 * * ? *)");
    let list =
        scheduler(&world, "GET", "/schedules?ScheduleGroup=default&NamePrefix=o", &Value::Null).await.json();
    assert_eq!(list["Schedules"].as_array().unwrap().len(), 1);
    assert_eq!(scheduler(&world, "DELETE", "/schedules/one", &Value::Null).await.status, 200);
    let gone = scheduler(&world, "GET", "/schedules/one", &Value::Null).await;
    assert_eq!(
        (gone.status, gone.headers["x-amzn-errortype"].to_str().unwrap()),
        (404, "ResourceNotFoundException")
    );
}

#[tokio::test]
async fn bad_expressions_and_unknown_groups_are_refused() {
    let world = World::start().await;
    for bad in ["at(nonsense)", "rate(0 minutes)", "cron(0 8 * * * *)", ""] {
        let seen = scheduler(&world, "POST", "/schedules/bad", &schedule(bad)).await;
        assert_eq!(
            (seen.status, seen.headers["x-amzn-errortype"].to_str().unwrap()),
            (400, "ValidationException"),
            "{bad}"
        );
    }
    let mut elsewhere = schedule("rate(5 minutes)");
    elsewhere["GroupName"] = json!("nowhere");
    assert_eq!(scheduler(&world, "POST", "/schedules/x", &elsewhere).await.status, 404);
}

#[tokio::test]
async fn a_schedule_fires_its_function_when_the_clock_reaches_it() {
    let world = World::start().await;
    let mut once = schedule(&at(&world, 3000));
    once["ActionAfterCompletion"] = json!("DELETE");
    scheduler(&world, "POST", "/schedules/once", &once).await;
    let early = world.post("/_local/clock", &json!({ "advanceSeconds": 1800 })).await.json();
    assert_eq!(early["fired"], json!([]));
    let late = world.post("/_local/clock", &json!({ "advanceSeconds": 7200 })).await.json();
    assert_eq!(late["fired"], json!(["once", "probe-every-hour"]), "in the order in which they were due");
    let logged = world.stack.logs().since(0).to_string();
    assert!(logged.contains("by hand"), "{logged}");
    assert_eq!(scheduler(&world, "GET", "/schedules/once", &Value::Null).await.status, 404, "it is done");
}

#[tokio::test]
async fn a_schedule_can_be_fired_by_its_name() {
    let world = World::start().await;
    let fired = world.aws_control("POST", "scheduler/fire", &json!({ "name": "probe-every-hour" })).await;
    assert_eq!(fired.json()["fired"], json!([{ "name": "probe-every-hour", "ok": true }]));
    let listed = world.aws_control("GET", "scheduler", &Value::Null).await.json();
    assert_eq!(listed["schedules"][0]["group"], "ringbridge-local");
    let unknown = world.aws_control("POST", "scheduler/fire", &json!({ "name": "none" })).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn a_failed_call_is_repeated_as_often_as_the_policy_says() {
    let world = World::start().await;
    let mut failing = schedule(&at(&world, 60));
    failing["Target"]["Input"] = json!("{\"do\":\"fail\"}");
    failing["Target"]["RetryPolicy"] = json!({ "MaximumRetryAttempts": 1 });
    scheduler(&world, "POST", "/schedules/failing", &failing).await;
    let attempts = || {
        let logged = world.stack.logs().since(0);
        let lines = logged["lines"].as_array().unwrap().clone();
        lines.iter().filter(|line| line["line"].as_str().unwrap().starts_with("event")).count()
    };
    for expected in [1, 2, 2] {
        world.post("/_local/clock", &json!({ "advanceSeconds": 120 })).await;
        assert_eq!(attempts(), expected);
    }
}

#[tokio::test]
async fn what_is_given_up_goes_to_the_dead_letter_queue_of_the_schedule() {
    let world = World::start().await;
    let mut failing = schedule(&at(&world, 60));
    failing["Target"]["Input"] = json!("{\"do\":\"fail\"}");
    // The first repetition, after a minute, would come too late.
    failing["Target"]["RetryPolicy"] = json!({ "MaximumRetryAttempts": 5, "MaximumEventAgeInSeconds": 60 });
    let queue = "arn:aws:sqs:us-east-1:000000000000:ringbridge-local-dead-jobs";
    failing["Target"]["DeadLetterConfig"] = json!({ "Arn": queue });
    scheduler(&world, "POST", "/schedules/failing", &failing).await;
    world.post("/_local/clock", &json!({ "advanceSeconds": 300 })).await;
    let queues = world.aws_control("GET", "sqs", &Value::Null).await.json()["queues"].clone();
    let dead = queues
        .as_array()
        .unwrap()
        .iter()
        .find(|queue| queue["name"] == "ringbridge-local-dead-jobs")
        .unwrap();
    assert_eq!(dead["messages"][0]["body"], "{\"do\":\"fail\"}");
}

#[tokio::test]
async fn a_schedule_can_send_to_a_queue() {
    let world = World::start().await;
    let mut sending = schedule(&at(&world, 60));
    sending["Target"]["Arn"] = json!("arn:aws:sqs:us-east-1:000000000000:ringbridge-local-jobs");
    scheduler(&world, "POST", "/schedules/sending", &sending).await;
    world.post("/_local/clock", &json!({ "advanceSeconds": 61 })).await;
    assert_eq!(world.events()[0]["Records"][0]["body"], "{\"made\":\"by hand\"}");
}
