//! The call log: one entry for each request to the AWS endpoints, in the order in which the requests ended.

use super::request::AwsCall;
use super::s3_wire::S3ErrorName;
use crate::server::{CloseConnection, HttpResponse};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

const MAX_CALLS: usize = 100_000;

/// A response extension: DynamoDB capacity units that the call consumed, read or write as its operation is.
#[derive(Clone, Copy, Debug)]
pub struct CapacityUnits(pub f64);

/// Clones share the log.
#[derive(Clone)]
pub struct CallLog {
    log: Arc<Mutex<Log>>,
    started: Instant,
}

#[derive(Default)]
struct Log {
    calls: Vec<Value>,
    /// The number of the oldest call that is kept.
    first: u64,
}

impl Default for CallLog {
    fn default() -> Self {
        Self { log: Arc::default(), started: Instant::now() }
    }
}

impl CallLog {
    /// Starts an entry. It is added to the log when it is dropped.
    #[must_use]
    pub fn begin(&self, request: &AwsCall) -> CallLogEntry {
        CallLogEntry {
            log: self.clone(),
            began: Instant::now(),
            service: request.service.name(),
            operation: request.operation.clone(),
            tables: request.tables(),
            function: request.function.clone(),
            object: request.object(),
            is_presigned: request.is_presigned,
            status: 0,
            error: None,
            units: 0.0,
        }
    }

    /// `{calls: [...], next}`: the calls with a number of at least `since`.
    #[must_use]
    pub fn since(&self, since: u64) -> Value {
        let log = self.lock();
        let next = log.first + log.calls.len() as u64;
        let skip = usize::try_from(since.saturating_sub(log.first)).unwrap_or(usize::MAX);
        let calls: Vec<&Value> = log.calls.iter().skip(skip).collect();
        json!({ "calls": calls, "next": next })
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct CallLogEntry {
    log: CallLog,
    began: Instant,
    service: &'static str,
    operation: String,
    tables: Vec<String>,
    function: Option<String>,
    /// Bucket and key, of a call to S3.
    object: Option<(String, String)>,
    is_presigned: bool,
    status: u16,
    error: Option<String>,
    units: f64,
}

impl CallLogEntry {
    /// Records the response. The status stays 0 if the caller is gone or the connection is closed without a response.
    pub fn finish(&mut self, response: &HttpResponse) {
        if response.extensions().get::<CloseConnection>().is_none() {
            self.status = response.status().as_u16();
        }
        let header = response.headers().get("x-amzn-errortype").and_then(|code| code.to_str().ok());
        let s3_error = response.extensions().get::<S3ErrorName>().map(|name| name.0.clone());
        self.error = header.map(str::to_owned).or(s3_error);
        self.units = response.extensions().get::<CapacityUnits>().map_or(0.0, |units| units.0);
    }
}

impl Drop for CallLogEntry {
    fn drop(&mut self) {
        let mut log = self.log.lock();
        let seq = log.first + log.calls.len() as u64;
        let milliseconds = |duration: std::time::Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        let mut entry = json!({
            "seq": seq,
            "service": self.service,
            "operation": self.operation,
            "table": self.tables.first(),
            "tables": self.tables,
            "function": self.function,
            "startedMs": milliseconds(self.began.duration_since(self.log.started)),
            "ms": milliseconds(self.began.elapsed()),
            "status": self.status,
            "error": self.error,
            "units": self.units,
        });
        if let Some((bucket, key)) = &self.object {
            entry["bucket"] = json!(bucket);
            entry["key"] = json!(key);
            entry["presigned"] = json!(self.is_presigned);
        }
        log.calls.push(entry);
        if log.calls.len() > 2 * MAX_CALLS {
            log.calls.drain(..MAX_CALLS);
            log.first += MAX_CALLS as u64;
        }
    }
}
