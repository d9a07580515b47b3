//! DynamoDB streams, and the functions that tables drive.

use crate::world::{World, options};
use local::{Data, Options};
use serde_json::{Value, json};

const TABLE: &str = "ringbridge-local-changes";
const DEAD: &str = "ringbridge-local-dead-changes";
const STREAM: &str =
    "arn:aws:dynamodb:us-east-1:000000000000:table/ringbridge-local-changes/stream/2026-01-01T00:00:00.000";

fn item(name: &str, text: &str) -> Value {
    json!({ "tenant": { "S": "acme" }, "item": { "S": name }, "text": { "S": text } })
}

async fn put(world: &World, name: &str, text: &str) {
    let input = json!({ "TableName": TABLE, "Item": item(name, text) });
    assert_eq!(world.aws("DynamoDB_20120810.PutItem", &input).await.status, 200);
}

/// Writes these items in one transaction, so that they reach a function together.
async fn put_together(world: &World, items: &[(&str, &str)]) {
    let puts: Vec<Value> = items
        .iter()
        .map(|(name, text)| json!({ "Put": { "TableName": TABLE, "Item": item(name, text) } }))
        .collect();
    let input = json!({ "TransactItems": puts });
    assert_eq!(world.aws("DynamoDB_20120810.TransactWriteItems", &input).await.status, 200);
}

/// The events of each call of a function, in order.
fn calls(world: &World, function: &str) -> Vec<Vec<Value>> {
    let logged = world.stack.logs().since(0);
    let lines = logged["lines"].as_array().unwrap();
    let events = lines.iter().filter(|line| line["function"] == function);
    let events = events.filter_map(|line| line["line"].as_str()?.strip_prefix("event "));
    events
        .map(|event| serde_json::from_str::<Value>(event).unwrap()["Records"].as_array().unwrap().clone())
        .collect()
}

/// The names of the items of each call of a function.
pub fn names(world: &World, function: &str) -> Vec<Vec<String>> {
    let name = |record: &Value| record["dynamodb"]["Keys"]["item"]["S"].as_str().unwrap().to_owned();
    calls(world, function).iter().map(|records| records.iter().map(name).collect()).collect()
}

async fn advance(world: &World, seconds: i64) {
    assert_eq!(world.post("/_local/clock", &json!({ "advanceSeconds": seconds })).await.status, 200);
}

/// What the queue for given up records was told.
async fn told(world: &World) -> Vec<Value> {
    let overview = world.aws_control("GET", "sqs", &Value::Null).await.json();
    let queues = overview["queues"].as_array().unwrap().clone();
    let queue = queues.iter().find(|queue| queue["name"] == DEAD).unwrap();
    let messages = queue["messages"].as_array().unwrap().iter();
    messages.map(|message| serde_json::from_str(message["body"].as_str().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn a_written_item_reaches_its_function_as_lambda_tells_it() {
    let world = World::start().await;
    put(&world, "one", "hello").await;
    world.stack.settle().await;
    let calls = calls(&world, "follower");
    assert_eq!((calls.len(), calls[0].len()), (1, 1));
    let record = &calls[0][0];
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
    let now = world.stack.clock().now().as_second();
    let written = change["ApproximateCreationDateTime"].as_f64().unwrap();
    assert!((now as f64 - written).abs() < 60.0, "{written} at {now}");
}

#[tokio::test]
async fn records_come_once_and_in_the_order_of_their_writes() {
    let world = World::start().await;
    let mut expected = Vec::new();
    for number in 0..30 {
        let name = format!("item-{number}");
        put(&world, &name, "x").await;
        expected.push(name);
    }
    world.stack.settle().await;
    assert_eq!(names(&world, "follower").concat(), expected);
    assert_eq!(names(&world, "watcher").concat(), expected);
    assert!(names(&world, "watcher").iter().all(|call| call.len() <= 2), "no call has more than a batch");
}

#[tokio::test]
async fn what_failed_comes_again_and_what_was_before_it_does_not() {
    let world = World::start().await;
    put_together(&world, &[("a", "good"), ("b", "stumble"), ("c", "good")]).await;
    world.stack.settle().await;
    assert_eq!(names(&world, "follower"), [vec!["a", "b", "c"], vec!["b", "c"]]);
    assert_eq!(told(&world).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_poison_record_is_halved_out_and_told_to_the_queue() {
    let world = World::start().await;
    put_together(&world, &[("a", "good"), ("b", "fail"), ("c", "good"), ("d", "good")]).await;
    world.stack.settle().await;
    let seen = names(&world, "follower");
    assert_eq!(seen[0], ["a", "b", "c", "d"]);
    assert_eq!(seen[1], ["b", "c", "d"], "up to the failure all is done");
    assert_eq!(seen[2], ["b", "c"]);
    assert_eq!(seen[3..], [vec!["b"], vec!["b"], vec!["c"], vec!["d"]], "one repetition, then it goes on");
    let told = told(&world).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let poison = &calls(&world, "follower")[3][0]["dynamodb"]["SequenceNumber"];
    let batch = &told[0]["DDBStreamBatchInfo"];
    assert_eq!((&batch["startSequenceNumber"], &batch["endSequenceNumber"]), (poison, poison));
    assert_eq!((&batch["batchSize"], &batch["streamArn"]), (&json!(1), &json!(STREAM)));
    let context = &told[0]["requestContext"];
    assert_eq!(context["condition"], "RetryAttemptsExhausted");
    assert_eq!(
        context["functionArn"],
        "arn:aws:lambda:us-east-1:000000000000:function:ringbridge-local-follower"
    );
}

#[tokio::test]
async fn a_call_that_fails_as_a_whole_is_halved_too() {
    let world = World::start().await;
    put_together(&world, &[("a", "good"), ("b", "good"), ("c", "crash"), ("d", "good")]).await;
    world.stack.settle().await;
    let seen = names(&world, "follower");
    assert_eq!(seen[..3], [vec!["a", "b", "c", "d"], vec!["a", "b"], vec!["c", "d"]]);
    assert_eq!(seen[3..], [vec!["c"], vec!["c"], vec!["d"]]);
}

#[tokio::test]
async fn a_batch_that_fails_holds_up_what_comes_after_it_until_it_is_too_old() {
    let world = World::start().await;
    put(&world, "poison", "crash").await;
    world.stack.settle().await;
    put(&world, "behind", "good").await;
    world.stack.settle().await;
    assert!(names(&world, "watcher").iter().all(|call| *call == ["poison"]), "the order is kept");
    advance(&world, 3590).await;
    assert!(names(&world, "watcher").iter().all(|call| *call == ["poison"]), "it is tried for an hour");
    advance(&world, 60).await;
    put(&world, "later", "good").await;
    world.stack.settle().await;
    assert_eq!(names(&world, "watcher").last().unwrap(), &["later"]);
    let too_old: Vec<Value> = told(&world).await;
    let too_old = too_old.iter().filter(|told| told["requestContext"]["condition"] == "RecordAgeExceeded");
    let sizes: u64 = too_old.map(|told| told["DDBStreamBatchInfo"]["batchSize"].as_u64().unwrap()).sum();
    assert_eq!(sizes, 2, "the poison and what became too old behind it");
}

#[tokio::test]
async fn a_deletion_by_ttl_is_a_change_that_a_filter_keeps_away() {
    let world = World::start().await;
    let mut whole = item("old", "x");
    whole["ttl"] = json!({ "N": (world.stack.clock().now().as_second() + 60).to_string() });
    world.aws("DynamoDB_20120810.PutItem", &json!({ "TableName": TABLE, "Item": whole })).await;
    advance(&world, 3600).await;
    // The clock has waited for the functions, so they have seen it.
    let kinds = |function: &str| -> Vec<String> {
        let records = calls(&world, function).concat();
        records.iter().map(|record| record["eventName"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds("watcher"), ["INSERT", "REMOVE"]);
    assert_eq!(kinds("follower"), ["INSERT"]);
}

#[tokio::test]
async fn functions_go_on_where_they_were_when_the_stack_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let kept = || Options { data: Data::Folder(folder.path().to_owned()), ..options() };
    let world = World::with(kept()).await;
    put(&world, "first", "x").await;
    world.stack.settle().await;
    world.stack.stop().await.unwrap();
    // Without functions, the stream fills.
    let world = World::with(Options { aws_only: true, ..kept() }).await;
    put(&world, "second", "x").await;
    world.stack.stop().await.unwrap();
    let world = World::with(kept()).await;
    put(&world, "third", "x").await;
    world.stack.settle().await;
    for function in ["follower", "watcher"] {
        assert_eq!(names(&world, function).concat(), ["second", "third"], "{function}");
    }
}

#[tokio::test]
async fn streams_are_read_through_their_api_and_shown() {
    let world = World::start().await;
    put(&world, "one", "x").await;
    world.stack.settle().await;
    let described =
        world.aws("DynamoDBStreams_20120810.DescribeStream", &json!({ "StreamArn": STREAM })).await;
    let shard = described.json()["StreamDescription"]["Shards"][0]["ShardId"].clone();
    let input = json!({ "StreamArn": STREAM, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
    let iterator = world.aws("DynamoDBStreams_20120810.GetShardIterator", &input).await.json();
    let input = json!({ "ShardIterator": iterator["ShardIterator"] });
    let records = world.aws("DynamoDBStreams_20120810.GetRecords", &input).await.json();
    assert_eq!(records["Records"][0]["dynamodb"]["NewImage"]["item"]["S"], "one");
    let shown = world.aws_control("GET", "streams", &Value::Null).await.json();
    let functions: Vec<&str> =
        shown["streams"].as_array().unwrap().iter().map(|s| s["function"].as_str().unwrap()).collect();
    assert_eq!(functions, ["follower", "watcher"]);
    // The poller reads the stream, not the function: its role need not allow it.
    let refused =
        world.aws_through("DynamoDBStreams_20120810.DescribeStream", &json!({ "StreamArn": STREAM })).await;
    assert_eq!(refused.json()["status"], 400);
}
