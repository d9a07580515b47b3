//! SQS: queues of the template and of CreateQueue, by the stack's clock, kept with the data folder.

pub mod feed;
pub mod queue;
mod wire;

use super::Refusal;
use crate::clock::Clock;
use crate::names;
use crate::state_file::StateFile;
use crate::template::Queue as TemplateQueue;
use anyhow::Result;
use queue::{Message, Queue, later};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Largest message, attributes included.
const LARGEST_MESSAGE: usize = 1024 * 1024;

#[derive(Debug, Default, Deserialize, Serialize)]
struct State {
    queues: BTreeMap<String, Queue>,
}

/// The queues.
pub struct Sqs {
    state: Mutex<State>,
    file: StateFile,
    clock: Clock,
    url: String,
    /// Something became visible, perhaps.
    changed: Notify,
}

impl Sqs {
    /// Loads the queues, and makes those that the template adds; attributes are the template's.
    pub fn open(file: StateFile, queues: &[TemplateQueue], clock: Clock, url: &str) -> Result<Self> {
        let mut state: State = file.load()?;
        for queue in queues {
            state.queues.entry(queue.name.clone()).or_default().attributes = queue.attributes.clone();
        }
        let sqs = Self { state: Mutex::new(state), file, clock, url: url.to_owned(), changed: Notify::new() };
        sqs.file.save(&*sqs.lock())?;
        Ok(sqs)
    }

    /// Answers an operation. A receive may wait, up to 20 s.
    pub async fn answer(&self, operation: &str, input: &Value) -> Result<Value, Refusal> {
        if operation != "ReceiveMessage" {
            let answer = self.act(operation, input)?;
            self.changed.notify_waiters();
            return Ok(answer);
        }
        let wait = input["WaitTimeSeconds"].as_u64().unwrap_or(0).min(20);
        let end = tokio::time::Instant::now() + Duration::from_secs(wait);
        loop {
            let changed = self.changed.notified();
            let answer = self.receive_messages(input)?;
            if answer.get("Messages").is_some() || tokio::time::Instant::now() >= end {
                return Ok(answer);
            }
            // A hidden message becomes visible without anybody's doing.
            let _ = tokio::time::timeout_at(
                end.min(tokio::time::Instant::now() + Duration::from_millis(250)),
                changed,
            )
            .await;
        }
    }

    /// The ARN of the queue that a request names.
    #[must_use]
    pub fn arn_of(&self, input: &Value) -> String {
        names::arn("sqs", queue_name(input))
    }

    /// Sends a message in the name of a service.
    pub fn send(&self, queue: &str, body: &str) -> Result<(), Refusal> {
        self.answer_now("SendMessage", &json!({ "QueueUrl": queue, "MessageBody": body })).map(|_| ())
    }

    fn answer_now(&self, operation: &str, input: &Value) -> Result<Value, Refusal> {
        let answer = self.act(operation, input);
        self.changed.notify_waiters();
        answer
    }

    /// What the control API shows.
    #[must_use]
    pub fn overview(&self) -> Value {
        let now = self.clock.now();
        let state = self.lock();
        let queues = state.queues.iter().map(|(name, queue)| {
            let (visible, flying, delayed) = queue.counts(now);
            let messages: Vec<Value> = queue
                .messages
                .iter()
                .map(|message| json!({ "messageId": message.id, "body": message.body, "receives": message.receives, "visibleAt": message.visible_at }))
                .collect();
            json!({ "name": name, "visible": visible, "inFlight": flying, "delayed": delayed, "messages": messages })
        });
        json!({ "queues": queues.collect::<Vec<_>>() })
    }

    fn act(&self, operation: &str, input: &Value) -> Result<Value, Refusal> {
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
                state.queues.entry(name.clone()).or_insert_with(|| Queue { attributes, ..Queue::default() });
                self.save(&state)?;
                return Ok(json!({ "QueueUrl": self.queue_url(&name) }));
            }
            "GetQueueUrl" => {
                let name = input["QueueName"].as_str().unwrap_or_default();
                return if state.queues.contains_key(name) {
                    Ok(json!({ "QueueUrl": self.queue_url(name) }))
                } else {
                    Err(no_queue())
                };
            }
            "DeleteQueue" => {
                state.queues.remove(queue_name(input)).ok_or_else(no_queue)?;
                self.save(&state)?;
                return Ok(json!({}));
            }
            "StartMessageMoveTask" => {
                move_back(&mut state, input, now)?;
                self.save(&state)?;
                return Ok(json!({ "TaskHandle": uuid::Uuid::new_v4().to_string() }));
            }
            _ => {}
        }
        let queue = state.queues.get_mut(queue_name(input)).ok_or_else(no_queue)?;
        let answer = match operation {
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
                return Ok(json!({ "Attributes": wire::described(queue_name(input), queue, now) }));
            }
            other => {
                return Err(Refusal::new(
                    "UnsupportedOperation",
                    format!("{other} is not part of the local stack"),
                ));
            }
        };
        self.save(&state)?;
        Ok(answer)
    }

    fn receive_messages(&self, input: &Value) -> Result<Value, Refusal> {
        let most = input["MaxNumberOfMessages"].as_u64().unwrap_or(1);
        if !(1..=10).contains(&most) {
            return Err(Refusal::new(
                "InvalidParameterValue",
                "MaxNumberOfMessages must be between 1 and 10",
            ));
        }
        let messages = self.receive(
            queue_name(input),
            usize::try_from(most).unwrap_or(1),
            input["VisibilityTimeout"].as_i64(),
        )?;
        let messages: Vec<Value> = messages.iter().map(wire::received).collect();
        Ok(if messages.is_empty() { json!({}) } else { json!({ "Messages": messages }) })
    }

    /// Takes messages of a queue and hides them, moving those that went too far.
    fn receive(&self, queue_name: &str, most: usize, hidden: Option<i64>) -> Result<Vec<Message>, Refusal> {
        let now = self.clock.now();
        let mut state = self.lock();
        let queue = state.queues.get_mut(queue_name).ok_or_else(no_queue)?;
        let hidden = hidden.unwrap_or_else(|| queue.number("VisibilityTimeout", 30));
        let received = queue.receive(now, most, hidden);
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

    fn save(&self, state: &State) -> Result<(), Refusal> {
        self.file
            .save(state)
            .map_err(|error| Refusal::with_status(500, "InternalError", format!("{error:#}")))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue is named by its URL or its ARN; the name is the last part of both.
fn queue_name(input: &Value) -> &str {
    let whole = input["QueueUrl"].as_str().unwrap_or_default();
    whole.rsplit(['/', ':']).next().unwrap_or_default()
}

fn no_queue() -> Refusal {
    Refusal::new("QueueDoesNotExist", "The specified queue does not exist.")
}

fn send(queue: &mut Queue, input: &Value, now: jiff::Timestamp) -> Result<Value, Refusal> {
    let body = input["MessageBody"].as_str().unwrap_or_default();
    if body.is_empty() {
        return Err(Refusal::new(
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
    if size > LARGEST_MESSAGE {
        return Err(Refusal::new(
            "InvalidParameterValue",
            format!("Message must be shorter than {LARGEST_MESSAGE} bytes."),
        ));
    }
    let delay = input["DelaySeconds"].as_i64().unwrap_or_else(|| queue.number("DelaySeconds", 0));
    if !(0..=900).contains(&delay) {
        return Err(Refusal::new("InvalidParameterValue", "DelaySeconds must be between 0 and 900"));
    }
    let group = input["MessageGroupId"].as_str().map(str::to_owned);
    let mut deduplication = input["MessageDeduplicationId"].as_str().map(str::to_owned);
    if queue.is_fifo() {
        if group.is_none() {
            return Err(Refusal::new(
                "MissingParameter",
                "The request must contain the parameter MessageGroupId.",
            ));
        }
        let by_content =
            queue.attributes.get("ContentBasedDeduplication").is_some_and(|value| value == "true");
        if deduplication.is_none() && by_content {
            deduplication = Some(wire::sha256(body));
        }
        if deduplication.is_none() {
            return Err(Refusal::new(
                "InvalidParameterValue",
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
            ));
        }
    }
    let digests = (wire::md5(body), wire::md5_of_attributes(&attributes));
    let fifo = queue.is_fifo();
    let (id, sequence) = queue.add(Message {
        id: uuid::Uuid::new_v4().to_string(),
        body: body.to_owned(),
        attributes,
        sent: now,
        visible_at: later(now, delay),
        receives: 0,
        first_received: None,
        receipt: None,
        group,
        deduplication,
        sequence: 0,
        moved_from: None,
    });
    let mut answer = json!({ "MessageId": id, "MD5OfMessageBody": digests.0 });
    if let Some(digest) = digests.1 {
        answer["MD5OfMessageAttributes"] = json!(digest);
    }
    if fifo {
        answer["SequenceNumber"] = json!(format!("{sequence:020}"));
    }
    Ok(answer)
}

fn delete(queue: &mut Queue, input: &Value) -> Result<Value, Refusal> {
    let receipt = receipt(input)?;
    // A receipt that is no longer the latest deletes nothing, and that is no error.
    queue.delete(receipt);
    Ok(json!({}))
}

fn change_visibility(queue: &mut Queue, input: &Value, now: jiff::Timestamp) -> Result<Value, Refusal> {
    let seconds = input["VisibilityTimeout"].as_i64().filter(|seconds| (0..=43_200).contains(seconds));
    let seconds = seconds.ok_or_else(|| {
        Refusal::new("InvalidParameterValue", "VisibilityTimeout must be between 0 and 43200")
    })?;
    if queue.change_visibility(receipt(input)?, now, seconds) {
        Ok(json!({}))
    } else {
        Err(Refusal::new("MessageNotInflight", "The message is not available for visibility timeout change."))
    }
}

fn receipt(input: &Value) -> Result<&str, Refusal> {
    input["ReceiptHandle"]
        .as_str()
        .filter(|receipt| !receipt.is_empty())
        .ok_or_else(|| Refusal::new("ReceiptHandleIsInvalid", "The input receipt handle is invalid."))
}

/// A batch: each entry succeeds or fails by itself.
fn batch(input: &Value, mut act: impl FnMut(&Value) -> Result<Value, Refusal>) -> Result<Value, Refusal> {
    let entries = input["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        return Err(Refusal::new("EmptyBatchRequest", "There should be at least one entry in the request."));
    }
    if entries.len() > 10 {
        return Err(Refusal::new(
            "TooManyEntriesInBatchRequest",
            "Maximum number of entries per request are 10.",
        ));
    }
    let mut ids: Vec<&Value> = entries.iter().map(|entry| &entry["Id"]).collect();
    ids.sort_by_key(ToString::to_string);
    ids.dedup();
    if ids.len() < entries.len() {
        return Err(Refusal::new(
            "BatchEntryIdsNotDistinct",
            "Two or more batch entries in the request have the same Id.",
        ));
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        match act(entry) {
            Ok(mut done) => {
                done["Id"] = entry["Id"].clone();
                successful.push(done);
            }
            Err(refusal) => failed.push(json!({
                "Id": entry["Id"], "SenderFault": true, "Code": refusal.code, "Message": refusal.message,
            })),
        }
    }
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

/// Redrives a dead-letter queue: each message goes back to where it came from, or to the queue that is named.
fn move_back(state: &mut State, input: &Value, now: jiff::Timestamp) -> Result<(), Refusal> {
    let last = |arn: &str| arn.rsplit(':').next().unwrap_or_default().to_owned();
    let source = last(input["SourceArn"].as_str().unwrap_or_default());
    let named = input["DestinationArn"].as_str().map(last);
    let messages = std::mem::take(&mut state.queues.get_mut(&source).ok_or_else(no_queue)?.messages);
    for mut message in messages {
        let target = named.clone().or_else(|| message.moved_from.as_deref().map(last));
        let queue = target.filter(|name| state.queues.contains_key(name)).unwrap_or_else(|| source.clone());
        message.receives = 0;
        message.visible_at = now;
        message.receipt = None;
        message.moved_from = None;
        state.queues.entry(queue).or_default().messages.push(message);
    }
    Ok(())
}
