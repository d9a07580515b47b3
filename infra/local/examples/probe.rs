//! A function for the tests of the local stack. Each request selects what it does.

#![expect(
    clippy::disallowed_methods,
    reason = "it returns its whole environment, and leaves work behind on purpose"
)]
#![expect(clippy::print_stdout, reason = "the output of a function is its log")]

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

static INVOCATIONS: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() -> Result<(), Error> {
    if std::env::var("PROBE_FAILS_TO_START").is_ok() {
        panic!("failure at the start requested");
    }
    if std::env::var("PROBE_LOOPS_AT_START").is_ok() {
        println!("looping {}", std::process::id());
        std::future::pending::<()>().await;
    }
    lambda_runtime::run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let count = INVOCATIONS.fetch_add(1, Ordering::SeqCst) + 1;
    let (event, context) = event.into_parts();
    let Some(query) = event.get("requestContext").map(|_| event["queryStringParameters"].clone()) else {
        // The event comes from a schedule, a queue, a stream or another function.
        println!("event {event}");
        if let Some(records) = event["Records"].as_array() {
            return match records.first() {
                Some(record) if record["eventSource"] == "aws:dynamodb" => handle_stream_records(records),
                _ => handle_queue_records(records),
            };
        }
        return match event["do"].as_str() {
            Some("fail") => Err("failure requested".into()),
            _ => Ok(json!({ "saw": event })),
        };
    };
    let text = |key: &str| query[key].as_str().unwrap_or_default().to_owned();
    Ok(match query["do"].as_str().unwrap_or("echo") {
        "env" => reply(&json!(std::env::vars().collect::<BTreeMap<_, _>>())),
        "log" => {
            println!(r#"{{"level":"INFO","message":"logged","status":200,"duration_ms":7}}"#);
            reply(&json!({}))
        }
        "count" => reply(&json!({ "count": count, "pid": std::process::id() })),
        "deadline" => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
            reply(&json!({ "leftMs": i128::from(context.deadline) - i128::try_from(now)? }))
        }
        "panic" => panic!("panic requested"),
        "fail" => return Err("failure requested".into()),
        "exit" => std::process::exit(3),
        "hang" => std::future::pending().await,
        "await" => {
            println!("waiting {}", std::process::id());
            while aws("DynamoDB_20120810.GetItem", &text("input")).await.1.get("Item").is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            reply(&json!({ "pid": std::process::id() }))
        }
        "cookies" => json!({
            "statusCode": 303,
            "headers": { "location": "/elsewhere", "content-type": "text/html" },
            "cookies": ["a=1; Secure", "b=2"],
            "body": "aGVsbG8=",
            "isBase64Encoded": true,
        }),
        "nonsense" => json!({ "statusCode": "soon" }),
        "aws" => {
            let (status, body) = aws(&text("target"), &text("input")).await;
            reply(&json!({ "status": status, "body": body }))
        }
        "leave" => {
            tokio::spawn(async {
                loop {
                    aws("TrentService.ListKeys", "{}").await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            reply(&json!({ "left": "work" }))
        }
        _ => reply(&event),
    })
}

/// Messages that contain "fail" fail; a message that contains "crash" fails the invocation.
fn handle_queue_records(records: &[Value]) -> Result<Value, Error> {
    let body = |record: &Value| record["body"].as_str().unwrap_or_default().to_owned();
    if records.iter().any(|record| body(record).contains("crash")) {
        return Err("crash requested".into());
    }
    let failed = records.iter().filter(|record| body(record).contains("fail"));
    let failed: Vec<Value> = failed.map(|record| json!({ "itemIdentifier": record["messageId"] })).collect();
    Ok(json!({ "batchItemFailures": failed }))
}

/// Records that contain "fail" fail, and so do those with "stumble" at their first delivery. A record that contains
/// "crash" fails the invocation.
fn handle_stream_records(records: &[Value]) -> Result<Value, Error> {
    static STUMBLED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let text =
        |record: &Value| record["dynamodb"]["NewImage"]["text"]["S"].as_str().unwrap_or_default().to_owned();
    if records.iter().any(|record| text(record).contains("crash")) {
        return Err("crash requested".into());
    }
    let mut failed = Vec::new();
    for record in records {
        let number = record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default();
        let stumbles = text(record).contains("stumble")
            && STUMBLED.lock().map_err(|error| error.to_string())?.insert(number.to_owned());
        if stumbles || text(record).contains("fail") {
            failed.push(json!({ "itemIdentifier": number }));
        }
    }
    Ok(json!({ "batchItemFailures": failed }))
}

fn reply(body: &Value) -> Value {
    json!({ "statusCode": 200, "headers": { "content-type": "application/json" }, "body": body.to_string() })
}

/// Calls the AWS endpoints with this function's credentials. The status is 0 if there is no response.
async fn aws(target: &str, input: &str) -> (u16, Value) {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let service = if target.starts_with("Trent") { "kms" } else { "dynamodb" };
    let credential = format!(
        "{}/20260101/{}/{service}/aws4_request",
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_REGION")
    );
    let request = reqwest::Client::new()
        .post(variable("AWS_ENDPOINT_URL"))
        .header("x-amz-target", target)
        .header("x-amz-date", "20260101T000000Z")
        .header("x-amz-security-token", variable("AWS_SESSION_TOKEN"))
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=x"),
        )
        .header("content-type", "application/x-amz-json-1.0")
        .body(input.to_owned());
    match request.send().await {
        Ok(response) => {
            let status = response.status().as_u16();
            let text = response.text().await.unwrap_or_default();
            (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
        }
        Err(_) => (0, Value::Null),
    }
}
