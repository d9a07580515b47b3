//! Lambda's `Invoke`. Asynchronous invocations wait in Lambda's internal queue, and the function's `EventInvokeConfig` says how
//! often and for how long they are tried, and which queue gets a record of those that are discarded.

use super::error::AwsError;
use super::request::AwsCall;
use crate::functions::FunctionPools;
use crate::instance::InvocationError;
use crate::names;
use crate::server::{self, HttpResponse};
use crate::template::FunctionResource;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an invocation waits for a free instance, if its function has no reserved concurrency.
const CAPACITY_TIMEOUT: Duration = Duration::from_secs(29);
/// Lambda repeats a failed asynchronous invocation after one minute, then after two more.
const RETRY_DELAY_SECONDS: [i64; 2] = [60, 120];
/// Lambda repeats a throttled asynchronous invocation after pauses that double from one second to five minutes.
const MAX_THROTTLE_DELAY_SECONDS: i64 = 300;

/// An invocation in Lambda's internal queue.
#[derive(Clone, Debug)]
pub struct AsyncInvocation {
    request_id: String,
    /// The name of the function's folder.
    function: String,
    payload: Bytes,
    /// When Lambda accepted it. Its age begins here.
    accepted: Timestamp,
    /// Attempts in which the function failed.
    failures: usize,
    /// Attempts for which the function had no free instance. They do not count as failures.
    throttles: u32,
    /// The error document of the last failure.
    error: Option<Bytes>,
    /// When it is tried next, or discarded if it is too old by then.
    due: Timestamp,
}

#[derive(Clone, Debug)]
pub enum AsyncOutcome {
    Succeeded,
    RetryScheduled,
    /// No attempt is left, or it is too old.
    Discarded(DiscardedInvocation),
}

#[derive(Clone, Debug)]
pub struct DiscardedInvocation {
    /// The ARN of the function's destination on failure.
    pub destination: Option<String>,
    /// The message that Lambda sends to this destination.
    pub record: Value,
}

impl AsyncInvocation {
    /// Accepts an invocation, as `Invoke` with the type `Event` does.
    #[must_use]
    pub fn accept(function: &FunctionResource, payload: Bytes, now: Timestamp) -> Self {
        Self {
            request_id: uuid::Uuid::new_v4().to_string(),
            function: function.binary.clone(),
            payload,
            accepted: now,
            failures: 0,
            throttles: 0,
            error: None,
            due: now,
        }
    }

    fn discard(self, function: &FunctionResource, condition: &str, now: Timestamp) -> AsyncOutcome {
        let json_or_text = |bytes: &Bytes| {
            serde_json::from_slice(bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
        };
        let mut record = json!({
            "version": "1.0",
            "timestamp": now.to_string(),
            "requestContext": {
                "requestId": self.request_id,
                "functionArn": format!("{}:$LATEST", names::function_arn(&function.name)),
                "condition": condition,
                "approximateInvokeCount": self.failures,
            },
            "requestPayload": json_or_text(&self.payload),
        });
        if let Some(error) = &self.error {
            record["responseContext"] =
                json!({ "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" });
            record["responsePayload"] = json_or_text(error);
        }
        let destination = function.async_settings.on_failure.clone();
        AsyncOutcome::Discarded(DiscardedInvocation { destination, record })
    }
}

#[derive(Default)]
pub struct Lambda {
    queue: Mutex<Vec<AsyncInvocation>>,
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
        let function = functions.find(&name).ok_or_else(not_found)?;
        let payload = if request.http.body.is_empty() {
            Bytes::from_static(b"null")
        } else {
            request.http.body.clone()
        };
        match request.http.header("x-amz-invocation-type").unwrap_or("RequestResponse") {
            "DryRun" => return Ok(server::empty(StatusCode::NO_CONTENT)),
            "Event" => {
                // Lambda queues the invocation and responds at once.
                self.lock().push(AsyncInvocation::accept(function, payload, now));
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

    /// Tries an asynchronous invocation. If it fails, it is queued for its retry.
    pub async fn run(
        &self,
        functions: &FunctionPools,
        mut invocation: AsyncInvocation,
        now: Timestamp,
    ) -> AsyncOutcome {
        let Some(function) = functions.find(&invocation.function) else { return AsyncOutcome::Succeeded };
        let settings = &function.async_settings;
        if invocation.due.duration_since(invocation.accepted) > settings.max_age {
            return invocation.discard(function, "EventAgeExceeded", now);
        }
        let began = Instant::now();
        let payload = invocation.payload.clone();
        let delay = match functions.invoke(&invocation.function, payload, CAPACITY_TIMEOUT).await {
            Ok(_) => return AsyncOutcome::Succeeded,
            Err(InvocationError::NoCapacity | InvocationError::UnknownFunction) => {
                let delay = 1_i64.checked_shl(invocation.throttles).unwrap_or(MAX_THROTTLE_DELAY_SECONDS);
                invocation.throttles += 1;
                delay.clamp(1, MAX_THROTTLE_DELAY_SECONDS)
            }
            Err(InvocationError::Function(document)) => {
                let delay = RETRY_DELAY_SECONDS.get(invocation.failures).copied();
                invocation.failures += 1;
                invocation.error = Some(document);
                match delay.filter(|_| invocation.failures <= settings.max_retries) {
                    Some(delay) => delay,
                    None => return invocation.discard(function, "RetriesExhausted", now),
                }
            }
        };
        // The clock may have moved past several attempts. Each is as long after the one before it as on Lambda.
        let elapsed = SignedDuration::try_from(began.elapsed()).unwrap_or_default();
        let pause = elapsed.saturating_add(SignedDuration::from_secs(delay));
        invocation.due = invocation.due.checked_add(pause).unwrap_or(now);
        self.lock().push(invocation);
        AsyncOutcome::RetryScheduled
    }

    /// Takes the invocations that are due, earliest first.
    pub fn take_due(&self, now: Timestamp) -> Vec<AsyncInvocation> {
        let mut queue = self.lock();
        let mut due: Vec<AsyncInvocation> =
            queue.extract_if(.., |invocation| invocation.due <= now).collect();
        due.sort_by_key(|invocation| invocation.due);
        due
    }

    fn lock(&self) -> MutexGuard<'_, Vec<AsyncInvocation>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
