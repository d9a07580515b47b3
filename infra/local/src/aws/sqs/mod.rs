//! SQS with standard queues: those of the template and of CreateQueue. Time is the stack's clock, and the data folder
//! keeps the messages.

pub mod mapping;
pub mod queue;
mod wire;

use super::error::AwsError;
use crate::clock::StackClock;
use crate::names;
use crate::state_file::StateFile;
use crate::template::QueueResource;
use anyhow::Result;
use queue::{NotInFlight, QueuedMessage, StoredQueue, add_seconds};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The limit for a message with its attributes.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

#[derive(Debug, Default, Deserialize, Serialize)]
struct State {
    queues: BTreeMap<String, StoredQueue>,
}

pub struct Sqs {
    state: Mutex<State>,
    file: StateFile,
    clock: StackClock,
    url: String,
    /// A message may have become visible.
    changed: Notify,
}

impl Sqs {
    /// Loads the queues, creates those that the template adds, and sets the attributes of the template.
    pub fn open(file: StateFile, queues: &[QueueResource], clock: StackClock, url: &str) -> Result<Self> {
        let mut state: State = file.load()?;
        for queue in queues {
            state.queues.entry(queue.name.clone()).or_default().attributes = queue.attributes.clone();
        }
        let sqs = Self { state: Mutex::new(state), file, clock, url: url.to_owned(), changed: Notify::new() };
        sqs.file.save(&*sqs.lock())?;
        Ok(sqs)
    }

    /// A ReceiveMessage waits up to 20 s.
    pub async fn handle(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        if operation != "ReceiveMessage" {
            return self.apply(operation, input);
        }
        let wait = input["WaitTimeSeconds"].as_u64().unwrap_or(0).min(20);
        let end = tokio::time::Instant::now() + Duration::from_secs(wait);
        loop {
            let changed = self.changed.notified();
            let response = self.receive_messages(input)?;
            if response.get("Messages").is_some() || tokio::time::Instant::now() >= end {
                return Ok(response);
            }
            // A hidden message becomes visible without a notification.
            let _ = tokio::time::timeout_at(
                end.min(tokio::time::Instant::now() + Duration::from_millis(250)),
                changed,
            )
            .await;
        }
    }

    /// The ARN of the queue that a request names.
    #[must_use]
    pub fn queue_arn(&self, input: &Value) -> String {
        names::arn("sqs", queue_name(input))
    }

    /// Sends a message on behalf of a service. `queue` is an ARN.
    pub fn send(&self, queue: &str, body: &str) -> Result<(), AwsError> {
        self.send_with_attributes(queue, body, &json!({}))
    }

    /// Sends a message with attributes on behalf of a service. `queue` is an ARN.
    pub fn send_with_attributes(&self, queue: &str, body: &str, attributes: &Value) -> Result<(), AwsError> {
        let input = json!({ "QueueUrl": queue, "MessageBody": body, "MessageAttributes": attributes });
        self.apply("SendMessage", &input).map(|_| ())
    }

    /// The name of each queue, how many of its messages are visible, and the age of its oldest message in seconds.
    #[must_use]
    pub fn measure(&self) -> Vec<(String, f64, f64)> {
        let now = self.clock.now();
        let mut state = self.lock();
        let queues = state.queues.iter_mut().map(|(name, queue)| {
            queue.remove_expired(now);
            let oldest = queue.messages.iter().map(|message| now.duration_since(message.sent).as_secs_f64());
            #[expect(clippy::cast_precision_loss, reason = "a queue has few messages")]
            let visible = queue.visible(now) as f64;
            (name.clone(), visible, oldest.fold(0.0, f64::max))
        });
        queues.collect()
    }

    /// The queues and their messages as the control API shows them.
    #[must_use]
    pub fn overview(&self) -> Value {
        let now = self.clock.now();
        let mut state = self.lock();
        state.queues.values_mut().for_each(|queue| queue.remove_expired(now));
        let queues = state.queues.iter().map(|(name, queue)| {
            let counts = queue.counts(now);
            let messages: Vec<Value> = queue
                .messages
                .iter()
                .map(|message| json!({ "messageId": message.id, "body": message.body, "attributes": message.attributes, "receives": message.receives, "visibleAt": message.visible_at }))
                .collect();
            json!({
                "name": name,
                "visible": counts.visible,
                "inFlight": counts.in_flight,
                "delayed": counts.delayed,
                "messages": messages,
            })
        });
        json!({ "queues": queues.collect::<Vec<_>>() })
    }

    fn apply(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let result = self.apply_to_state(operation, input);
        self.changed.notify_waiters();
        result
    }

    fn apply_to_state(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let now = self.clock.now();
        let mut state = self.lock();
        match operation {
            "ListQueues" => {
                let prefix = input["QueueNamePrefix"].as_str().unwrap_or_default();
                let urls: Vec<String> = state
                    .queues
                    .keys()
                    .filter(|name| name.starts_with(prefix))
                    .map(|name| self.queue_url(name))
                    .collect();
                return Ok(json!({ "QueueUrls": urls }));
            }
            "CreateQueue" => {
                let name = input["QueueName"].as_str().unwrap_or_default().to_owned();
                let attributes = wire::attributes(&input["Attributes"]);
                state
                    .queues
                    .entry(name.clone())
                    .or_insert_with(|| StoredQueue { attributes, ..StoredQueue::default() });
                self.save(&state)?;
                return Ok(json!({ "QueueUrl": self.queue_url(&name) }));
            }
            "GetQueueUrl" => {
                let name = input["QueueName"].as_str().unwrap_or_default();
                state.queues.get(name).ok_or_else(queue_does_not_exist)?;
                return Ok(json!({ "QueueUrl": self.queue_url(name) }));
            }
            "DeleteQueue" => {
                state.queues.remove(queue_name(input)).ok_or_else(queue_does_not_exist)?;
                self.save(&state)?;
                return Ok(json!({}));
            }
            "StartMessageMoveTask" => {
                redrive(&mut state, input, now)?;
                self.save(&state)?;
                return Ok(json!({ "TaskHandle": uuid::Uuid::new_v4().to_string() }));
            }
            _ => {}
        }
        let queue = state.queues.get_mut(queue_name(input)).ok_or_else(queue_does_not_exist)?;
        let response = match operation {
            "SendMessage" => send(queue, input, now)?,
            "SendMessageBatch" => batch(input, |entry| send(queue, entry, now))?,
            "DeleteMessage" => delete(queue, input)?,
            "DeleteMessageBatch" => batch(input, |entry| delete(queue, entry))?,
            "ChangeMessageVisibility" => change_visibility(queue, input, now)?,
            "ChangeMessageVisibilityBatch" => batch(input, |entry| change_visibility(queue, entry, now))?,
            "PurgeQueue" => {
                queue.messages.clear();
                json!({})
            }
            "SetQueueAttributes" => {
                queue.attributes.extend(wire::attributes(&input["Attributes"]));
                json!({})
            }
            "GetQueueAttributes" => {
                return Ok(json!({ "Attributes": wire::all_attributes(queue_name(input), queue, now) }));
            }
            other => {
                return Err(AwsError::new(
                    "UnsupportedOperation",
                    format!("{other} is not supported by the local stack"),
                ));
            }
        };
        self.save(&state)?;
        Ok(response)
    }

    fn receive_messages(&self, input: &Value) -> Result<Value, AwsError> {
        let limit = input["MaxNumberOfMessages"].as_u64().unwrap_or(1);
        if !(1..=10).contains(&limit) {
            return Err(AwsError::new(
                "InvalidParameterValue",
                "MaxNumberOfMessages must be between 1 and 10",
            ));
        }
        let messages = self.receive(
            queue_name(input),
            usize::try_from(limit).unwrap_or(1),
            input["VisibilityTimeout"].as_i64(),
        )?;
        let messages: Vec<Value> = messages.iter().map(wire::received).collect();
        Ok(if messages.is_empty() { json!({}) } else { json!({ "Messages": messages }) })
    }

    /// Receives messages, and moves those that were received too often to the dead-letter queue.
    fn receive(
        &self,
        queue_name: &str,
        limit: usize,
        visibility_seconds: Option<i64>,
    ) -> Result<Vec<QueuedMessage>, AwsError> {
        let now = self.clock.now();
        let mut state = self.lock();
        let queue = state.queues.get_mut(queue_name).ok_or_else(queue_does_not_exist)?;
        let visibility_seconds =
            visibility_seconds.unwrap_or_else(|| queue.numeric_attribute("VisibilityTimeout", 30));
        let received = queue.receive(now, limit, visibility_seconds);
        if received.messages.is_empty() && received.dead.is_empty() {
            return Ok(Vec::new());
        }
        let source = names::arn("sqs", queue_name);
        for (target, mut message) in received.dead {
            message.visible_at = now;
            message.receipt = None;
            message.moved_from = Some(source.clone());
            let name = target.rsplit(':').next().unwrap_or_default();
            if let Some(dead_letters) = state.queues.get_mut(name) {
                dead_letters.messages.push(message);
            }
        }
        self.save(&state)?;
        Ok(received.messages)
    }

    fn queue_url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.url, names::ACCOUNT)
    }

    fn save(&self, state: &State) -> Result<(), AwsError> {
        self.file
            .save(state)
            .map_err(|error| AwsError::with_status(500, "InternalError", format!("{error:#}")))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests name a queue by its URL or ARN. Both end with the queue's name.
fn queue_name(input: &Value) -> &str {
    let url = input["QueueUrl"].as_str().unwrap_or_default();
    url.rsplit(['/', ':']).next().unwrap_or_default()
}

fn queue_does_not_exist() -> AwsError {
    AwsError::new("QueueDoesNotExist", "The specified queue does not exist.")
}

fn send(queue: &mut StoredQueue, input: &Value, now: jiff::Timestamp) -> Result<Value, AwsError> {
    let body = input["MessageBody"].as_str().unwrap_or_default();
    if body.is_empty() {
        return Err(AwsError::new(
            "InvalidParameterValue",
            "The request must contain the parameter MessageBody.",
        ));
    }
    let attributes: BTreeMap<String, Value> = input["MessageAttributes"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let size = body.len()
        + attributes.iter().map(|(name, value)| name.len() + value.to_string().len()).sum::<usize>();
    if size > MAX_MESSAGE_BYTES {
        return Err(AwsError::new(
            "InvalidParameterValue",
            format!("Message must be shorter than {MAX_MESSAGE_BYTES} bytes."),
        ));
    }
    let delay = input["DelaySeconds"].as_i64().unwrap_or_else(|| queue.numeric_attribute("DelaySeconds", 0));
    if !(0..=900).contains(&delay) {
        return Err(AwsError::new("InvalidParameterValue", "DelaySeconds must be between 0 and 900"));
    }
    let id = uuid::Uuid::new_v4().to_string();
    let mut response = json!({ "MessageId": id, "MD5OfMessageBody": wire::md5(body) });
    if let Some(digest) = wire::md5_of_attributes(&attributes) {
        response["MD5OfMessageAttributes"] = json!(digest);
    }
    queue.messages.push(QueuedMessage {
        id,
        body: body.to_owned(),
        attributes,
        sent: now,
        visible_at: add_seconds(now, delay),
        receives: 0,
        first_received: None,
        receipt: None,
        group: input["MessageGroupId"].as_str().map(str::to_owned),
        moved_from: None,
    });
    Ok(response)
}

fn delete(queue: &mut StoredQueue, input: &Value) -> Result<Value, AwsError> {
    queue.delete(receipt(input)?);
    Ok(json!({}))
}

fn change_visibility(
    queue: &mut StoredQueue,
    input: &Value,
    now: jiff::Timestamp,
) -> Result<Value, AwsError> {
    let seconds = input["VisibilityTimeout"].as_i64().filter(|seconds| (0..=43_200).contains(seconds));
    let seconds = seconds.ok_or_else(|| {
        AwsError::new("InvalidParameterValue", "VisibilityTimeout must be between 0 and 43200")
    })?;
    match queue.change_visibility(receipt(input)?, now, seconds) {
        Ok(()) => Ok(json!({})),
        Err(NotInFlight) => Err(AwsError::new(
            "MessageNotInflight",
            "The message is not available for visibility timeout change.",
        )),
    }
}

fn receipt(input: &Value) -> Result<&str, AwsError> {
    input["ReceiptHandle"]
        .as_str()
        .filter(|receipt| !receipt.is_empty())
        .ok_or_else(|| AwsError::new("ReceiptHandleIsInvalid", "The input receipt handle is invalid."))
}

/// Applies an operation to each entry of a batch. Entries succeed and fail independently.
fn batch(input: &Value, mut apply: impl FnMut(&Value) -> Result<Value, AwsError>) -> Result<Value, AwsError> {
    let entries = input["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        return Err(AwsError::new("EmptyBatchRequest", "There should be at least one entry in the request."));
    }
    if entries.len() > 10 {
        return Err(AwsError::new(
            "TooManyEntriesInBatchRequest",
            "Maximum number of entries per request are 10.",
        ));
    }
    let mut ids: Vec<&Value> = entries.iter().map(|entry| &entry["Id"]).collect();
    ids.sort_by_key(ToString::to_string);
    ids.dedup();
    if ids.len() < entries.len() {
        return Err(AwsError::new(
            "BatchEntryIdsNotDistinct",
            "Two or more batch entries in the request have the same Id.",
        ));
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        match apply(entry) {
            Ok(mut done) => {
                done["Id"] = entry["Id"].clone();
                successful.push(done);
            }
            Err(error) => failed.push(json!({
                "Id": entry["Id"], "SenderFault": true, "Code": error.code, "Message": error.message,
            })),
        }
    }
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

/// StartMessageMoveTask: moves each message to the named queue, or back to the queue from which it came.
fn redrive(state: &mut State, input: &Value, now: jiff::Timestamp) -> Result<(), AwsError> {
    let name_of = |arn: &str| arn.rsplit(':').next().unwrap_or_default().to_owned();
    let source = name_of(input["SourceArn"].as_str().unwrap_or_default());
    let named = input["DestinationArn"].as_str().map(name_of);
    let messages =
        std::mem::take(&mut state.queues.get_mut(&source).ok_or_else(queue_does_not_exist)?.messages);
    for mut message in messages {
        let target = named.clone().or_else(|| message.moved_from.as_deref().map(name_of));
        let queue = target.filter(|name| state.queues.contains_key(name)).unwrap_or_else(|| source.clone());
        message.receives = 0;
        message.visible_at = now;
        message.receipt = None;
        message.moved_from = None;
        state.queues.entry(queue).or_default().messages.push(message);
    }
    Ok(())
}
