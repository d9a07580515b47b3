//! Lambda's `Invoke`. Asynchronous invocations are queued; failed ones are repeated up to twice, throttled ones until they
//! are too old.

use super::error::AwsError;
use super::request::AwsCall;
use crate::functions::FunctionPools;
use crate::instance::InvocationError;
use crate::server::{self, HttpResponse};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an invocation waits for a free instance, if its function has no reserved concurrency.
const CAPACITY_TIMEOUT: Duration = Duration::from_secs(29);
/// Lambda repeats a failed asynchronous invocation after one minute, then after two more.
const RETRY_DELAY_SECONDS: [i64; 2] = [60, 120];
/// Lambda repeats a throttled asynchronous invocation after pauses that double from one second to five minutes.
const MAX_THROTTLE_DELAY_SECONDS: i64 = 300;
/// Lambda discards an asynchronous invocation that has waited for longer, unless the function's settings say otherwise.
const MAX_EVENT_AGE: SignedDuration = SignedDuration::from_hours(6);

#[derive(Clone, Debug)]
pub struct AsyncInvocation {
    /// Name or ARN.
    pub function: String,
    pub payload: Bytes,
    pub failures: usize,
    /// Attempts for which the function had no free instance. They do not count as failures.
    pub throttles: u32,
    pub max_retries: usize,
    /// No retries after this time.
    pub expires: Option<Timestamp>,
    /// ARN of the queue that receives the payload if the invocation is discarded.
    pub dead_letter_queue: Option<String>,
}

#[derive(Clone, Debug)]
pub enum AsyncOutcome {
    Succeeded,
    RetryScheduled,
    /// It failed, and no retry is left.
    Discarded(AsyncInvocation),
}

#[derive(Default)]
pub struct Lambda {
    /// Asynchronous invocations with the time of their next attempt.
    queue: Mutex<Vec<(Timestamp, AsyncInvocation)>>,
}

impl Lambda {
    /// Handles `Invoke`.
    pub async fn handle(
        &self,
        request: &AwsCall,
        functions: &FunctionPools,
        now: Timestamp,
    ) -> Result<HttpResponse, AwsError> {
        let name = request.input["FunctionName"].as_str().unwrap_or_default().to_owned();
        let not_found =
            || AwsError::with_status(404, "ResourceNotFoundException", format!("Function not found: {name}"));
        if functions.find(&name).is_none() {
            return Err(not_found());
        }
        let payload = if request.http.body.is_empty() {
            Bytes::from_static(b"null")
        } else {
            request.http.body.clone()
        };
        match request.http.header("x-amz-invocation-type").unwrap_or("RequestResponse") {
            "DryRun" => return Ok(server::empty(StatusCode::NO_CONTENT)),
            "Event" => {
                // Lambda queues the invocation and responds at once.
                let invocation = AsyncInvocation {
                    function: name.clone(),
                    payload,
                    failures: 0,
                    throttles: 0,
                    max_retries: RETRY_DELAY_SECONDS.len(),
                    expires: now.checked_add(MAX_EVENT_AGE).ok(),
                    dead_letter_queue: None,
                };
                self.lock().push((now, invocation));
                return Ok(server::empty(StatusCode::ACCEPTED));
            }
            _ => {}
        }
        let (body, failed) = match functions.invoke(&name, payload, CAPACITY_TIMEOUT).await {
            Ok(body) => (body, false),
            Err(InvocationError::Function(document)) => (document, true),
            Err(InvocationError::NoCapacity) => {
                return Err(AwsError::with_status(429, "TooManyRequestsException", "Rate Exceeded."));
            }
            Err(InvocationError::UnknownFunction) => return Err(not_found()),
        };
        let mut response = server::with_body(StatusCode::OK, "application/json", body);
        response.headers_mut().insert("x-amz-executed-version", HeaderValue::from_static("$LATEST"));
        if failed {
            response.headers_mut().insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
        }
        Ok(response)
    }

    /// Runs an asynchronous invocation. If it fails, it is queued for its retry.
    pub async fn run(
        &self,
        functions: &FunctionPools,
        mut invocation: AsyncInvocation,
        now: Timestamp,
    ) -> AsyncOutcome {
        let payload = invocation.payload.clone();
        let delay = match functions.invoke(&invocation.function, payload, CAPACITY_TIMEOUT).await {
            Ok(_) => return AsyncOutcome::Succeeded,
            Err(InvocationError::UnknownFunction) => return AsyncOutcome::Discarded(invocation),
            Err(InvocationError::NoCapacity) => {
                let delay = 1_i64.checked_shl(invocation.throttles).unwrap_or(MAX_THROTTLE_DELAY_SECONDS);
                invocation.throttles += 1;
                delay.clamp(1, MAX_THROTTLE_DELAY_SECONDS)
            }
            Err(InvocationError::Function(_)) if invocation.failures >= invocation.max_retries => {
                return AsyncOutcome::Discarded(invocation);
            }
            Err(InvocationError::Function(_)) => {
                let delay = RETRY_DELAY_SECONDS[invocation.failures.min(RETRY_DELAY_SECONDS.len() - 1)];
                invocation.failures += 1;
                delay
            }
        };
        let due = now.checked_add(SignedDuration::from_secs(delay)).unwrap_or(now);
        if invocation.expires.is_some_and(|end| due > end) {
            return AsyncOutcome::Discarded(invocation);
        }
        self.lock().push((due, invocation));
        AsyncOutcome::RetryScheduled
    }

    /// Takes the invocations that are due, earliest first.
    pub fn take_due(&self, now: Timestamp) -> Vec<AsyncInvocation> {
        let mut queue = self.lock();
        let mut due: Vec<(Timestamp, AsyncInvocation)> = queue.extract_if(.., |(at, _)| *at <= now).collect();
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, invocation)| invocation).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Timestamp, AsyncInvocation)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
