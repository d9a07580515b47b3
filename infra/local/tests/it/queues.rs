//! SQS, and functions called by queues.

use crate::test_stack::{TestStack, options};
use local::{DataLocation, StackOptions};
use serde_json::{Value, json};

const JOBS: &str = "http://127.0.0.1/000000000000/ringbridge-local-jobs";
const DEAD: &str = "http://127.0.0.1/000000000000/ringbridge-local-dead-jobs";

async fn sqs(test: &TestStack, operation: &str, input: &Value) -> Value {
    test.aws(&format!("AmazonSQS.{operation}"), input).await.json()
}

async fn send(test: &TestStack, body: &str, delay: i64) {
    let input = json!({ "QueueUrl": JOBS, "MessageBody": body, "DelaySeconds": delay });
    assert!(sqs(test, "SendMessage", &input).await["MessageId"].is_string());
}

/// Body and receive count of every record that the worker received.
fn records(test: &TestStack) -> Vec<(String, String)> {
    let events = test.events();
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

async fn advance(test: &TestStack, seconds: i64) {
    assert_eq!(test.post("/_local/clock", &json!({ "advanceSeconds": seconds })).await.status, 200);
}

async fn waiting(test: &TestStack, queue: &str) -> usize {
    let overview = test.aws_control("GET", "sqs", &Value::Null).await.json();
    let queues = overview["queues"].as_array().unwrap().clone();
    let name = queue.rsplit('/').next().unwrap();
    queues.iter().find(|queue| queue["name"] == name).unwrap()["messages"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_delivered_message_is_deleted() {
    let test = TestStack::start().await;
    send(&test, "one", 0).await;
    test.stack.wait_until_idle().await;
    assert_eq!(records(&test), [pair("one", "1")]);
    assert_eq!(waiting(&test, JOBS).await, 0);
    let record = &test.events()[0]["Records"][0];
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:us-east-1:000000000000:ringbridge-local-jobs");
    assert_eq!(record["md5OfBody"], "f97c5d29941bfb1b2fdab0874906ab82");
}

#[tokio::test]
async fn only_failed_messages_are_retried_and_end_in_the_dead_letter_queue() {
    let test = TestStack::start().await;
    let entries = json!([{ "Id": "a", "MessageBody": "good" }, { "Id": "b", "MessageBody": "fail" }]);
    sqs(&test, "SendMessageBatch", &json!({ "QueueUrl": JOBS, "Entries": entries })).await;
    test.stack.wait_until_idle().await;
    assert_eq!(waiting(&test, JOBS).await, 1, "the failed message is hidden, not deleted");
    advance(&test, 61).await;
    advance(&test, 61).await;
    let mut records_received = records(&test);
    records_received.sort();
    assert_eq!(records_received, [pair("fail", "1"), pair("fail", "2"), pair("good", "1")]);
    assert_eq!((waiting(&test, JOBS).await, waiting(&test, DEAD).await), (0, 1));

    let redrive = json!({ "SourceArn": "arn:aws:sqs:us-east-1:000000000000:ringbridge-local-dead-jobs" });
    sqs(&test, "StartMessageMoveTask", &redrive).await;
    test.stack.wait_until_idle().await;
    assert_eq!(records(&test).len(), 4, "the redriven message is delivered again");
}

#[tokio::test]
async fn a_failed_invocation_keeps_the_whole_batch() {
    let test = TestStack::start().await;
    let entries = json!([{ "Id": "a", "MessageBody": "good" }, { "Id": "b", "MessageBody": "crash" }]);
    sqs(&test, "SendMessageBatch", &json!({ "QueueUrl": JOBS, "Entries": entries })).await;
    test.stack.wait_until_idle().await;
    assert_eq!(waiting(&test, JOBS).await, 2);
}

#[tokio::test]
async fn a_delayed_message_is_delivered_by_the_clock_of_the_stack() {
    let test = TestStack::start().await;
    send(&test, "later", 300).await;
    advance(&test, 200).await;
    assert_eq!(records(&test), []);
    advance(&test, 200).await;
    assert_eq!(records(&test), [pair("later", "1")]);
}

#[tokio::test]
async fn a_batch_reports_the_result_of_each_entry() {
    let test = TestStack::start().await;
    let entries = json!([{ "Id": "a", "MessageBody": "x" }, { "Id": "b", "MessageBody": "" }]);
    let response = sqs(&test, "SendMessageBatch", &json!({ "QueueUrl": DEAD, "Entries": entries })).await;
    assert_eq!(response["Successful"][0]["Id"], "a");
    assert_eq!(response["Failed"][0]["Id"], "b");
    assert_eq!(response["Failed"][0]["SenderFault"], true);
    let twice = json!([{ "Id": "a", "MessageBody": "x" }, { "Id": "a", "MessageBody": "y" }]);
    let response = sqs(&test, "SendMessageBatch", &json!({ "QueueUrl": DEAD, "Entries": twice })).await;
    assert_eq!(response["__type"], "BatchEntryIdsNotDistinct");
    let none = sqs(&test, "SendMessage", &json!({ "QueueUrl": "http://x/1/none", "MessageBody": "x" })).await;
    assert_eq!(none["__type"], "QueueDoesNotExist");
}

#[tokio::test]
async fn messages_are_received_hidden_released_and_deleted() {
    let test = TestStack::start().await;
    let attributes = json!({ "kind": { "DataType": "String", "StringValue": "greeting" } });
    let input = json!({ "QueueUrl": DEAD, "MessageBody": "hello", "MessageAttributes": attributes });
    sqs(&test, "SendMessage", &input).await;
    let receive = json!({ "QueueUrl": DEAD, "MaxNumberOfMessages": 10 });
    let first = sqs(&test, "ReceiveMessage", &receive).await;
    let message = &first["Messages"][0];
    assert_eq!(message["Body"], "hello");
    assert_eq!(message["MessageAttributes"]["kind"]["StringValue"], "greeting");
    assert!(sqs(&test, "ReceiveMessage", &receive).await.get("Messages").is_none(), "hidden");
    let visible =
        json!({ "QueueUrl": DEAD, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0 });
    sqs(&test, "ChangeMessageVisibility", &visible).await;
    let again = sqs(&test, "ReceiveMessage", &receive).await;
    let delete = json!({ "QueueUrl": DEAD, "ReceiptHandle": again["Messages"][0]["ReceiptHandle"] });
    sqs(&test, "DeleteMessage", &delete).await;
    assert_eq!(waiting(&test, DEAD).await, 0);
}

#[tokio::test]
async fn messages_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let kept = || StackOptions { data: DataLocation::Folder(folder.path().to_owned()), ..options() };
    let test = TestStack::with(kept()).await;
    send(&test, "kept", 600).await;
    test.stack.stop().await.unwrap();
    let test = TestStack::with(kept()).await;
    advance(&test, 601).await;
    assert_eq!(records(&test), [pair("kept", "1")]);
}
