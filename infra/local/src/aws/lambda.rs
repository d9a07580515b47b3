//! Lambda `Invoke`, and the queue of asynchronous calls with its two repetitions.

use super::Refusal;
use super::request::Request;
use crate::functions::{Failure, Functions};
use crate::server::{self, Answer};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a call waits for a free instance.
const PATIENCE: Duration = Duration::from_secs(29);
/// Lambda repeats an asynchronous call that failed after one minute, then after two more.
const REPEAT_AFTER: [i64; 2] = [60, 120];

/// An asynchronous call.
#[derive(Clone, Debug)]
pub struct AsyncCall {
    /// Name or ARN of the function.
    pub function: String,
    /// The event.
    pub payload: Bytes,
    /// How often it has failed.
    pub failures: usize,
    /// Most repetitions.
    pub repetitions: usize,
    /// After this it is not repeated.
    pub expires: Option<Timestamp>,
    /// ARN of the queue that gets the event when it is given up.
    pub dead_letters: Option<String>,
}

/// What became of an asynchronous call.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The function answered.
    Done,
    /// It failed and will be repeated.
    Waits,
    /// It failed for the last time.
    GivenUp(AsyncCall),
}

/// Calls that wait for their repetition.
#[derive(Default)]
pub struct Lambda {
    waiting: Mutex<Vec<(Timestamp, AsyncCall)>>,
}

impl Lambda {
    /// Answers `Invoke`.
    pub async fn answer(
        &self,
        request: &Request,
        functions: &Functions,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        let name = request.input["FunctionName"].as_str().unwrap_or_default().to_owned();
        if functions.find(&name).is_none() {
            return Err(Refusal::with_status(
                404,
                "ResourceNotFoundException",
                format!("Function not found: {name}"),
            ));
        }
        let payload = if request.call.body.is_empty() {
            Bytes::from_static(b"null")
        } else {
            request.call.body.clone()
        };
        match request.call.header("x-amz-invocation-type").unwrap_or("RequestResponse") {
            "DryRun" => return Ok(server::status(StatusCode::NO_CONTENT)),
            "Event" => {
                // Lambda keeps the call and answers at once; the next tick of the clock runs it.
                let call = AsyncCall {
                    function: name,
                    payload,
                    failures: 0,
                    repetitions: REPEAT_AFTER.len(),
                    expires: None,
                    dead_letters: None,
                };
                self.lock().push((now, call));
                return Ok(server::status(StatusCode::ACCEPTED));
            }
            _ => {}
        }
        let (body, failed) = match functions.invoke(&name, payload, PATIENCE).await {
            Ok(body) => (body, false),
            Err(Failure::Function(document)) => (document, true),
            Err(Failure::Busy) => {
                return Err(Refusal::with_status(429, "TooManyRequestsException", "Rate Exceeded."));
            }
            Err(Failure::Unknown) => {
                return Err(Refusal::with_status(404, "ResourceNotFoundException", "Function not found"));
            }
        };
        let mut answer = server::body(StatusCode::OK, "application/json", body);
        answer.headers_mut().insert("x-amz-executed-version", HeaderValue::from_static("$LATEST"));
        if failed {
            answer.headers_mut().insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
        }
        Ok(answer)
    }

    /// Runs an asynchronous call; one that fails waits for its repetition.
    pub async fn run(&self, functions: &Functions, mut call: AsyncCall, now: Timestamp) -> Outcome {
        match functions.invoke(&call.function, call.payload.clone(), PATIENCE).await {
            Ok(_) => return Outcome::Done,
            Err(Failure::Unknown) => return Outcome::GivenUp(call),
            Err(Failure::Function(_) | Failure::Busy) => {}
        }
        let wait = REPEAT_AFTER[call.failures.min(REPEAT_AFTER.len() - 1)];
        let due = now.checked_add(SignedDuration::from_secs(wait)).unwrap_or(now);
        if call.failures >= call.repetitions || call.expires.is_some_and(|end| due > end) {
            return Outcome::GivenUp(call);
        }
        call.failures += 1;
        self.lock().push((due, call));
        Outcome::Waits
    }

    /// Takes the calls whose time has come, the earliest first.
    pub fn take_due(&self, now: Timestamp) -> Vec<AsyncCall> {
        let mut waiting = self.lock();
        let mut due: Vec<(Timestamp, AsyncCall)> = waiting.extract_if(.., |(at, _)| *at <= now).collect();
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, call)| call).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Timestamp, AsyncCall)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ids that a function reports as failed out of a batch. Nothing: its answer can't be understood, which means all.
#[must_use]
pub fn reported_failures(answer: &[u8]) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    match answer.get("batchItemFailures") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(list) => {
            list.as_array()?.iter().map(|item| item["itemIdentifier"].as_str().map(str::to_owned)).collect()
        }
    }
}
