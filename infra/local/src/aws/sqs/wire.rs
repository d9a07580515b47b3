//! How queues and messages look on the wire, with the digests that SDKs compare.

use super::queue::{Message, Queue};
use crate::names;
use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Attributes of CreateQueue and SetQueueAttributes.
pub fn attributes(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries
        .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}

/// All attributes of a queue.
pub fn described(name: &str, queue: &Queue, now: Timestamp) -> Value {
    let (visible, flying, delayed) = queue.counts(now);
    let mut all = json!({
        "QueueArn": names::arn("sqs", name),
        "ApproximateNumberOfMessages": visible.to_string(),
        "ApproximateNumberOfMessagesNotVisible": flying.to_string(),
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

/// The attributes that SQS adds to a received message.
pub fn system_attributes(message: &Message) -> Map<String, Value> {
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
    add("MessageDeduplicationId", message.deduplication.clone());
    add("SequenceNumber", message.group.as_ref().map(|_| format!("{:020}", message.sequence)));
    add("DeadLetterQueueSourceArn", message.moved_from.clone());
    all
}

/// A message as ReceiveMessage answers it.
pub fn received(message: &Message) -> Value {
    let mut answer = json!({
        "MessageId": message.id,
        "ReceiptHandle": message.receipt,
        "Body": message.body,
        "MD5OfBody": md5(&message.body),
        "Attributes": system_attributes(message),
    });
    if let Some(digest) = md5_of_attributes(&message.attributes) {
        answer["MD5OfMessageAttributes"] = json!(digest);
        answer["MessageAttributes"] = json!(message.attributes);
    }
    answer
}

/// A message as Lambda's event holds it.
pub fn record(message: &Message, queue_arn: &str) -> Value {
    let attributes: BTreeMap<&String, Value> = message
        .attributes
        .iter()
        .map(|(name, value)| {
            let mut shown =
                json!({ "dataType": value["DataType"], "stringListValues": [], "binaryListValues": [] });
            for (from, to) in [("StringValue", "stringValue"), ("BinaryValue", "binaryValue")] {
                if let Some(text) = value.get(from) {
                    shown[to] = text.clone();
                }
            }
            (name, shown)
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

/// MD5 in hexadecimal: SQS has it as a check against mistakes of transport.
pub fn md5(text: &str) -> String {
    HEXLOWER.encode(&Md5::digest(text.as_bytes()))
}

/// SHA-256 in hexadecimal, for deduplication by content.
pub fn sha256(text: &str) -> String {
    HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref())
}

/// The digest of message attributes, by name, each part with its length in front.
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
