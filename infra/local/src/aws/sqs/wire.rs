//! Queues and messages as the SQS API and Lambda events represent them, with the digests that SDKs verify.

use super::queue::{MessageCounts, QueuedMessage, StoredQueue};
use crate::names;
use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Reads the attributes of CreateQueue and SetQueueAttributes.
pub fn attributes(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries
        .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}

/// The response of GetQueueAttributes, with defaults.
pub fn all_attributes(name: &str, queue: &StoredQueue, now: Timestamp) -> Value {
    let MessageCounts { visible, in_flight, delayed } = queue.counts(now);
    let mut all = json!({
        "QueueArn": names::arn("sqs", name),
        "ApproximateNumberOfMessages": visible.to_string(),
        "ApproximateNumberOfMessagesNotVisible": in_flight.to_string(),
        "ApproximateNumberOfMessagesDelayed": delayed.to_string(),
        "VisibilityTimeout": "30",
        "DelaySeconds": "0",
        "MessageRetentionPeriod": "345600",
        "MaximumMessageSize": "1048576",
        "ReceiveMessageWaitTimeSeconds": "0",
    });
    for (key, value) in &queue.attributes {
        all[key] = json!(value);
    }
    all
}

/// The attributes that SQS adds to received messages.
pub fn system_attributes(message: &QueuedMessage) -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            all.insert(key.to_owned(), Value::String(value));
        }
    };
    add("SenderId", Some("AROALOCAL".to_owned()));
    add("SentTimestamp", Some(message.sent.as_millisecond().to_string()));
    add("ApproximateReceiveCount", Some(message.receives.to_string()));
    add("ApproximateFirstReceiveTimestamp", message.first_received.map(|at| at.as_millisecond().to_string()));
    add("MessageGroupId", message.group.clone());
    add("DeadLetterQueueSourceArn", message.moved_from.clone());
    all
}

/// A message in the response of ReceiveMessage.
pub fn received(message: &QueuedMessage) -> Value {
    let mut response = json!({
        "MessageId": message.id,
        "ReceiptHandle": message.receipt,
        "Body": message.body,
        "MD5OfBody": md5(&message.body),
        "Attributes": system_attributes(message),
    });
    if let Some(digest) = md5_of_attributes(&message.attributes) {
        response["MD5OfMessageAttributes"] = json!(digest);
        response["MessageAttributes"] = json!(message.attributes);
    }
    response
}

/// A message in a Lambda event.
pub fn record(message: &QueuedMessage, queue_arn: &str) -> Value {
    let attributes: BTreeMap<&String, Value> = message
        .attributes
        .iter()
        .map(|(name, value)| {
            let mut attribute =
                json!({ "dataType": value["DataType"], "stringListValues": [], "binaryListValues": [] });
            for (from, to) in [("StringValue", "stringValue"), ("BinaryValue", "binaryValue")] {
                if let Some(text) = value.get(from) {
                    attribute[to] = text.clone();
                }
            }
            (name, attribute)
        })
        .collect();
    json!({
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": system_attributes(message),
        "messageAttributes": attributes,
        "md5OfBody": md5(&message.body),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": names::REGION,
    })
}

/// MD5 in hexadecimal, with which SQS detects transmission errors.
pub fn md5(text: &str) -> String {
    HEXLOWER.encode(&Md5::digest(text.as_bytes()))
}

/// The digest of message attributes, sorted by name, each part prefixed by its length.
pub fn md5_of_attributes(attributes: &BTreeMap<String, Value>) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    let part = |bytes: &mut Vec<u8>, text: &[u8]| {
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(text);
    };
    for (name, value) in attributes {
        part(&mut bytes, name.as_bytes());
        part(&mut bytes, value["DataType"].as_str().unwrap_or_default().as_bytes());
        if let Some(text) = value["StringValue"].as_str() {
            bytes.push(1);
            part(&mut bytes, text.as_bytes());
        } else if let Some(binary) = value["BinaryValue"].as_str() {
            bytes.push(2);
            part(&mut bytes, &BASE64.decode(binary.as_bytes()).unwrap_or_default());
        }
    }
    Some(HEXLOWER.encode(&Md5::digest(&bytes)))
}
