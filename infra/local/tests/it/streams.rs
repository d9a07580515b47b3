//! DynamoDB streams, and functions called by them.

use crate::test_stack::{TestStack, options};
use local::{DataLocation, StackOptions, StackParts};
use serde_json::{Value, json};

const TABLE: &str = "ringbridge-local-changes";
const DEAD: &str = "ringbridge-local-dead-changes";
const STREAM: &str =
    "arn:aws:dynamodb:us-east-1:000000000000:table/ringbridge-local-changes/stream/2026-01-01T00:00:00.000";

fn item(name: &str, text: &str) -> Value {
    json!({ "tenant": { "S": "acme" }, "item": { "S": name }, "text": { "S": text } })
}

async fn put(test: &TestStack, name: &str, text: &str) {
    let input = json!({ "TableName": TABLE, "Item": item(name, text) });
    assert_eq!(test.aws("DynamoDB_20120810.PutItem", &input).await.status, 200);
}

/// Writes items in one transaction, so that they are delivered together.
async fn put_together(test: &TestStack, items: &[(&str, &str)]) {
    let puts: Vec<Value> = items
        .iter()
        .map(|(name, text)| json!({ "Put": { "TableName": TABLE, "Item": item(name, text) } }))
        .collect();
    let input = json!({ "TransactItems": puts });
    assert_eq!(test.aws("DynamoDB_20120810.TransactWriteItems", &input).await.status, 200);
}

/// The records of each invocation of a function, in order.
fn invocations(test: &TestStack, function: &str) -> Vec<Vec<Value>> {
    let logged = test.stack.logs().since(0);
    let lines = logged["lines"].as_array().unwrap();
    let events = lines.iter().filter(|line| line["function"] == function);
    let events = events.filter_map(|line| line["line"].as_str()?.strip_prefix("event "));
    events
        .map(|event| serde_json::from_str::<Value>(event).unwrap()["Records"].as_array().unwrap().clone())
        .collect()
}

/// The names of the items in each invocation of a function.
pub fn names(test: &TestStack, function: &str) -> Vec<Vec<String>> {
    let name = |record: &Value| record["dynamodb"]["Keys"]["item"]["S"].as_str().unwrap().to_owned();
    invocations(test, function).iter().map(|records| records.iter().map(name).collect()).collect()
}

async fn advance(test: &TestStack, seconds: i64) {
    assert_eq!(test.post("/_local/clock", &json!({ "advanceSeconds": seconds })).await.status, 200);
}

/// The reports about discarded records in the dead-letter queue.
async fn reports(test: &TestStack) -> Vec<Value> {
    let overview = test.aws_control("GET", "sqs", &Value::Null).await.json();
    let queues = overview["queues"].as_array().unwrap().clone();
    let queue = queues.iter().find(|queue| queue["name"] == DEAD).unwrap();
    let messages = queue["messages"].as_array().unwrap().iter();
    messages.map(|message| serde_json::from_str(message["body"].as_str().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn a_written_item_becomes_a_lambda_event() {
    let test = TestStack::start().await;
    put(&test, "one", "hello").await;
    test.stack.wait_until_idle().await;
    let invocations = invocations(&test, "follower");
    assert_eq!((invocations.len(), invocations[0].len()), (1, 1));
    let record = &invocations[0][0];
    assert_eq!(record["eventName"], "INSERT");
    assert_eq!(record["eventSource"], "aws:dynamodb");
    assert_eq!(record["eventVersion"], "1.1");
    assert_eq!(record["eventSourceARN"], STREAM);
    assert_eq!(record["awsRegion"], "us-east-1");
    assert!(record["eventID"].is_string());
    let change = &record["dynamodb"];
    assert_eq!(change["Keys"], json!({ "tenant": { "S": "acme" }, "item": { "S": "one" } }));
    assert_eq!(change["NewImage"], item("one", "hello"));
    assert_eq!(change["StreamViewType"], "NEW_IMAGE");
    assert!(change.get("OldImage").is_none());
    assert!(change["SequenceNumber"].as_str().unwrap().len() >= 21);
    let now = test.stack.clock().now().as_second();
    let written = change["ApproximateCreationDateTime"].as_f64().unwrap();
    assert!((now as f64 - written).abs() < 60.0, "{written} at {now}");
}

#[tokio::test]
async fn records_are_delivered_once_and_in_order() {
    let test = TestStack::start().await;
    let mut expected = Vec::new();
    for number in 0..30 {
        let name = format!("item-{number}");
        put(&test, &name, "x").await;
        expected.push(name);
    }
    test.stack.wait_until_idle().await;
    assert_eq!(names(&test, "follower").concat(), expected);
    assert_eq!(names(&test, "watcher").concat(), expected);
    assert!(
        names(&test, "watcher").iter().all(|call| call.len() <= 2),
        "no invocation has more than a batch"
    );
}

#[tokio::test]
async fn records_are_retried_from_the_first_failure() {
    let test = TestStack::start().await;
    put_together(&test, &[("a", "good"), ("b", "stumble"), ("c", "good")]).await;
    test.stack.wait_until_idle().await;
    assert_eq!(names(&test, "follower"), [vec!["a", "b", "c"], vec!["b", "c"]]);
    assert_eq!(reports(&test).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_record_that_always_fails_is_isolated_and_reported_to_the_queue() {
    let test = TestStack::start().await;
    put_together(&test, &[("a", "good"), ("b", "fail"), ("c", "good"), ("d", "good")]).await;
    test.stack.wait_until_idle().await;
    let delivered = names(&test, "follower");
    assert_eq!(delivered[0], ["a", "b", "c", "d"]);
    assert_eq!(delivered[1], ["b", "c", "d"], "everything before the failure is done");
    assert_eq!(delivered[2], ["b", "c"]);
    assert_eq!(
        delivered[3..],
        [vec!["b"], vec!["b"], vec!["c"], vec!["d"]],
        "one retry, then it is discarded"
    );
    let reports = reports(&test).await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    let poison = &invocations(&test, "follower")[3][0]["dynamodb"]["SequenceNumber"];
    let batch = &reports[0]["DDBStreamBatchInfo"];
    assert_eq!((&batch["startSequenceNumber"], &batch["endSequenceNumber"]), (poison, poison));
    assert_eq!((&batch["batchSize"], &batch["streamArn"]), (&json!(1), &json!(STREAM)));
    let context = &reports[0]["requestContext"];
    assert_eq!(context["condition"], "RetryAttemptsExhausted");
    assert_eq!(
        context["functionArn"],
        "arn:aws:lambda:us-east-1:000000000000:function:ringbridge-local-follower"
    );
}

#[tokio::test]
async fn a_batch_whose_invocation_fails_is_bisected() {
    let test = TestStack::start().await;
    put_together(&test, &[("a", "good"), ("b", "good"), ("c", "crash"), ("d", "good")]).await;
    test.stack.wait_until_idle().await;
    let delivered = names(&test, "follower");
    assert_eq!(delivered[..3], [vec!["a", "b", "c", "d"], vec!["a", "b"], vec!["c", "d"]]);
    assert_eq!(delivered[3..], [vec!["c"], vec!["c"], vec!["d"]]);
}

#[tokio::test]
async fn a_failing_batch_blocks_later_records_until_it_is_too_old() {
    let test = TestStack::start().await;
    put(&test, "poison", "crash").await;
    test.stack.wait_until_idle().await;
    put(&test, "behind", "good").await;
    test.stack.wait_until_idle().await;
    assert!(names(&test, "watcher").iter().all(|call| *call == ["poison"]), "the order is kept");
    advance(&test, 3590).await;
    assert!(names(&test, "watcher").iter().all(|call| *call == ["poison"]), "it is retried for an hour");
    advance(&test, 60).await;
    put(&test, "later", "good").await;
    test.stack.wait_until_idle().await;
    assert_eq!(names(&test, "watcher").last().unwrap(), &["later"]);
    let reports: Vec<Value> = reports(&test).await;
    let too_old =
        reports.iter().filter(|report| report["requestContext"]["condition"] == "RecordAgeExceeded");
    let sizes: u64 = too_old.map(|report| report["DDBStreamBatchInfo"]["batchSize"].as_u64().unwrap()).sum();
    assert_eq!(sizes, 2, "the failing record and the one that it blocked");
}

#[tokio::test]
async fn a_deletion_by_ttl_is_a_record_that_a_filter_can_exclude() {
    let test = TestStack::start().await;
    let mut whole = item("old", "x");
    whole["ttl"] = json!({ "N": (test.stack.clock().now().as_second() + 60).to_string() });
    test.aws("DynamoDB_20120810.PutItem", &json!({ "TableName": TABLE, "Item": whole })).await;
    advance(&test, 3600).await;
    // Moving the clock waits for the functions.
    let kinds = |function: &str| -> Vec<String> {
        let records = invocations(&test, function).concat();
        records.iter().map(|record| record["eventName"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds("watcher"), ["INSERT", "REMOVE"]);
    assert_eq!(kinds("follower"), ["INSERT"]);
}

#[tokio::test]
async fn functions_continue_at_their_position_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let kept = || StackOptions { data: DataLocation::Folder(folder.path().to_owned()), ..options() };
    let test = TestStack::with(kept()).await;
    put(&test, "first", "x").await;
    test.stack.wait_until_idle().await;
    test.stack.stop().await.unwrap();
    // Without functions, records accumulate in the stream.
    let test = TestStack::with(StackOptions { parts: StackParts::AwsOnly, ..kept() }).await;
    put(&test, "second", "x").await;
    test.stack.stop().await.unwrap();
    let test = TestStack::with(kept()).await;
    put(&test, "third", "x").await;
    test.stack.wait_until_idle().await;
    for function in ["follower", "watcher"] {
        assert_eq!(names(&test, function).concat(), ["second", "third"], "{function}");
    }
}

#[tokio::test]
async fn streams_are_readable_through_their_api_and_the_control_api() {
    let test = TestStack::start().await;
    put(&test, "one", "x").await;
    test.stack.wait_until_idle().await;
    let described =
        test.aws("DynamoDBStreams_20120810.DescribeStream", &json!({ "StreamArn": STREAM })).await;
    let shard = described.json()["StreamDescription"]["Shards"][0]["ShardId"].clone();
    let input = json!({ "StreamArn": STREAM, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
    let iterator = test.aws("DynamoDBStreams_20120810.GetShardIterator", &input).await.json();
    let input = json!({ "ShardIterator": iterator["ShardIterator"] });
    let records = test.aws("DynamoDBStreams_20120810.GetRecords", &input).await.json();
    assert_eq!(records["Records"][0]["dynamodb"]["NewImage"]["item"]["S"], "one");
    let overview = test.aws_control("GET", "streams", &Value::Null).await.json();
    let functions: Vec<&str> =
        overview["streams"].as_array().unwrap().iter().map(|s| s["function"].as_str().unwrap()).collect();
    assert_eq!(functions, ["follower", "watcher"]);
    // Lambda reads the stream, not the function, so the function's role does not allow it.
    let rejected =
        test.aws_through("DynamoDBStreams_20120810.DescribeStream", &json!({ "StreamArn": STREAM })).await;
    assert_eq!(rejected.json()["status"], 400);
}
