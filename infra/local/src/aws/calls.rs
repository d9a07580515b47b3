//! The call log: one line for each request to the AWS endpoints, in the order in which they ended.

use super::dynamodb::Units;
use super::request::Request;
use crate::server::{Answer, DropConnection};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The log. Copies share it.
#[derive(Clone)]
pub struct CallLog {
    log: Arc<Mutex<Log>>,
    started: Instant,
}

#[derive(Default)]
struct Log {
    calls: Vec<Value>,
    first: u64,
}

/// Calls kept.
const KEPT: usize = 100_000;

impl Default for CallLog {
    fn default() -> Self {
        Self { log: Arc::default(), started: Instant::now() }
    }
}

impl CallLog {
    /// Opens an entry; it is written when it is finished or dropped.
    #[must_use]
    pub fn begin(&self, request: &Request) -> Entry {
        Entry {
            log: self.clone(),
            began: Instant::now(),
            service: request.service.name(),
            operation: request.operation.clone(),
            tables: request.tables(),
            function: request.function.clone(),
            status: 0,
            error: None,
            units: 0.0,
        }
    }

    /// `{calls: [...], next}`: everything from number `since` on.
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

/// A call that is under way.
pub struct Entry {
    log: CallLog,
    began: Instant,
    service: &'static str,
    operation: String,
    tables: Vec<String>,
    function: Option<String>,
    status: u16,
    error: Option<String>,
    units: f64,
}

impl Entry {
    /// Notes the answer. Without one (the caller is gone, or the connection was dropped) the status is 0.
    pub fn finish(&mut self, answer: &Answer) {
        if answer.extensions().get::<DropConnection>().is_none() {
            self.status = answer.status().as_u16();
        }
        let header = answer.headers().get("x-amzn-errortype").and_then(|code| code.to_str().ok());
        self.error = header.map(str::to_owned);
        self.units = answer.extensions().get::<Units>().map_or(0.0, |units| units.0);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut log = self.log.lock();
        let seq = log.first + log.calls.len() as u64;
        let milliseconds = |duration: std::time::Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        log.calls.push(json!({
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
        }));
        if log.calls.len() > 2 * KEPT {
            log.calls.drain(..KEPT);
            log.first += KEPT as u64;
        }
    }
}
