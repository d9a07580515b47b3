//! SQS, and the functions that queues drive.

use crate::world::{World, options};
use local::{Data, Options};
use serde_json::{Value, json};

const JOBS: &str = "http://127.0.0.1/000000000000/ringbridge-local-jobs";
const DEAD: &str = "http://127.0.0.1/000000000000/ringbridge-local-dead-jobs";

async fn sqs(world: &World, operation: &str, input: &Value) -> Value {
    world.aws(&format!("AmazonSQS.{operation}"), input).await.json()
}

async fn send(world: &World, body: &str, delay: i64) {
    let input = json!({ "QueueUrl": JOBS, "MessageBody": body, "DelaySeconds": delay });
    assert!(sqs(world, "SendMessage", &input).await["MessageId"].is_string());
}

/// Text and receive count of every record that reached the worker.
fn records(world: &World) -> Vec<(String, String)> {
    let events = world.events();
    let records = events.iter().flat_map(|event| event["Records"].as_array().into_iter().flatten());
    records
        .map(|record| {
            let count = record["attributes"]["ApproximateReceiveCount"].as_str().unwrap().to_owned();
            (record["body"].as_str().unwrap().to_owned(), count)
        })
        .collect()
}

fn pair(body: &str, count: &str) -> (String, String) {
    (body.to_owned(), count.to_owned())
}

async fn advance(world: &World, seconds: i64) {
    assert_eq!(world.post("/_local/clock", &json!({ "advanceSeconds": seconds })).await.status, 200);
}

async fn waiting(world: &World, queue: &str) -> usize {
    let overview = world.aws_control("GET", "sqs", &Value::Null).await.json();
    let queues = overview["queues"].as_array().unwrap().clone();
    let name = queue.rsplit('/').next().unwrap();
    queues.iter().find(|queue| queue["name"] == name).unwrap()["messages"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_message_reaches_its_function_and_is_gone() {
    let world = World::start().await;
    send(&world, "one", 0).await;
    world.stack.settle().await;
    assert_eq!(records(&world), [pair("one", "1")]);
    assert_eq!(waiting(&world, JOBS).await, 0);
    let record = &world.events()[0]["Records"][0];
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:us-east-1:000000000000:ringbridge-local-jobs");
    assert_eq!(record["md5OfBody"], "f97c5d29941bfb1b2fdab0874906ab82");
}

#[tokio::test]
async fn only_what_failed_comes_back_and_ends_in_the_dead_letter_queue() {
    let world = World::start().await;
    let entries = json!([{ "Id": "a", "MessageBody": "good" }, { "Id": "b", "MessageBody": "fail" }]);
    sqs(&world, "SendMessageBatch", &json!({ "QueueUrl": JOBS, "Entries": entries })).await;
    world.stack.settle().await;
    assert_eq!(waiting(&world, JOBS).await, 1, "what failed is hidden, not gone");
    advance(&world, 61).await;
    advance(&world, 61).await;
    let mut seen = records(&world);
    seen.sort();
    assert_eq!(seen, [pair("fail", "1"), pair("fail", "2"), pair("good", "1")]);
    assert_eq!((waiting(&world, JOBS).await, waiting(&world, DEAD).await), (0, 1));

    let redrive = json!({ "SourceArn": "arn:aws:sqs:us-east-1:000000000000:ringbridge-local-dead-jobs" });
    sqs(&world, "StartMessageMoveTask", &redrive).await;
    world.stack.settle().await;
    assert_eq!(records(&world).len(), 4, "redriven, it is tried again");
}

#[tokio::test]
async fn a_failed_call_keeps_the_whole_batch() {
    let world = World::start().await;
    let entries = json!([{ "Id": "a", "MessageBody": "good" }, { "Id": "b", "MessageBody": "crash" }]);
    sqs(&world, "SendMessageBatch", &json!({ "QueueUrl": JOBS, "Entries": entries })).await;
    world.stack.settle().await;
    assert_eq!(waiting(&world, JOBS).await, 2);
}

#[tokio::test]
async fn a_delayed_message_arrives_when_the_clock_says_so() {
    let world = World::start().await;
    send(&world, "later", 300).await;
    advance(&world, 200).await;
    assert_eq!(records(&world), []);
    advance(&world, 200).await;
    assert_eq!(records(&world), [pair("later", "1")]);
}

#[tokio::test]
async fn a_batch_reports_each_entry() {
    let world = World::start().await;
    let entries = json!([{ "Id": "a", "MessageBody": "x" }, { "Id": "b", "MessageBody": "" }]);
    let answer = sqs(&world, "SendMessageBatch", &json!({ "QueueUrl": DEAD, "Entries": entries })).await;
    assert_eq!(answer["Successful"][0]["Id"], "a");
    assert_eq!(answer["Failed"][0]["Id"], "b");
    assert_eq!(answer["Failed"][0]["SenderFault"], true);
    let twice = json!([{ "Id": "a", "MessageBody": "x" }, { "Id": "a", "MessageBody": "y" }]);
    let answer = sqs(&world, "SendMessageBatch", &json!({ "QueueUrl": DEAD, "Entries": twice })).await;
    assert_eq!(answer["__type"], "BatchEntryIdsNotDistinct");
    let none =
        sqs(&world, "SendMessage", &json!({ "QueueUrl": "http://x/1/none", "MessageBody": "x" })).await;
    assert_eq!(none["__type"], "QueueDoesNotExist");
}

#[tokio::test]
async fn messages_are_received_hidden_given_back_and_deleted() {
    let world = World::start().await;
    let attributes = json!({ "kind": { "DataType": "String", "StringValue": "greeting" } });
    let input = json!({ "QueueUrl": DEAD, "MessageBody": "hello", "MessageAttributes": attributes });
    sqs(&world, "SendMessage", &input).await;
    let receive = json!({ "QueueUrl": DEAD, "MaxNumberOfMessages": 10 });
    let first = sqs(&world, "ReceiveMessage", &receive).await;
    let message = &first["Messages"][0];
    assert_eq!(message["Body"], "hello");
    assert_eq!(message["MessageAttributes"]["kind"]["StringValue"], "greeting");
    assert!(sqs(&world, "ReceiveMessage", &receive).await.get("Messages").is_none(), "hidden");
    let visible =
        json!({ "QueueUrl": DEAD, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0 });
    sqs(&world, "ChangeMessageVisibility", &visible).await;
    let again = sqs(&world, "ReceiveMessage", &receive).await;
    let delete = json!({ "QueueUrl": DEAD, "ReceiptHandle": again["Messages"][0]["ReceiptHandle"] });
    sqs(&world, "DeleteMessage", &delete).await;
    assert_eq!(waiting(&world, DEAD).await, 0);
}

#[tokio::test]
async fn messages_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let kept = || Options { data: Data::Folder(folder.path().to_owned()), ..options() };
    let world = World::with(kept()).await;
    send(&world, "kept", 600).await;
    world.stack.stop().await.unwrap();
    let world = World::with(kept()).await;
    advance(&world, 601).await;
    assert_eq!(records(&world), [pair("kept", "1")]);
}
