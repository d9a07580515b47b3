//! The gateway's address: routes of the template to functions, and the control API under `/_local`.

use crate::clock::Clock;
use crate::event;
use crate::functions::{Failure, Functions};
use crate::logs::Logs;
use crate::routes::Routes;
use crate::server::{self, Answer, Call};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// API Gateway waits this long for a function.
const INTEGRATION_LIMIT: Duration = Duration::from_secs(29);
/// API Gateway takes payloads of up to 10 MB.
pub const LARGEST_REQUEST: usize = 10 * 1024 * 1024;

/// What moves the clock of the whole stack; it lives with the stack, which knows all parts.
pub type Advance = Arc<dyn Fn(i64) -> futures_util::future::BoxFuture<'static, Value> + Send + Sync>;

/// What waits until nothing happens by itself.
pub type Settle = Arc<dyn Fn() -> futures_util::future::BoxFuture<'static, ()> + Send + Sync>;

/// What the gateway needs to answer.
pub struct Gateway {
    /// Which function answers.
    pub routes: Routes,
    /// The functions.
    pub functions: Functions,
    /// The clock of the stack.
    pub clock: Clock,
    /// What the functions wrote.
    pub logs: Logs,
    /// Moves the clock.
    pub advance: Advance,
    /// Waits until all is quiet.
    pub settle: Settle,
}

impl Gateway {
    /// Answers a request.
    pub async fn answer(&self, call: Call) -> Answer {
        if let Some(path) = call.uri.path().strip_prefix("/_local/") {
            return self.control(path, &call).await;
        }
        let request_id = uuid::Uuid::new_v4().to_string();
        let mut answer = self.route(&call, &request_id).await;
        if let Ok(value) = request_id.parse() {
            answer.headers_mut().insert("apigw-requestid", value);
        }
        answer
    }

    async fn route(&self, call: &Call, request_id: &str) -> Answer {
        let Some(found) = self.routes.find(call.method.as_str(), call.uri.path()) else {
            return event::gateway_message(StatusCode::NOT_FOUND, "Not Found");
        };
        let event = event::request_event(call, &found, request_id, self.clock.now());
        let payload = Bytes::from(event.to_string());
        let invocation = self.functions.invoke(&found.function, payload, INTEGRATION_LIMIT);
        match timeout(INTEGRATION_LIMIT, invocation).await {
            Ok(Ok(answer)) => event::response(&answer).unwrap_or_else(|| {
                event::gateway_message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }),
            Ok(Err(Failure::Function(_) | Failure::Unknown)) => {
                event::gateway_message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
            Ok(Err(Failure::Busy)) | Err(_) => {
                event::gateway_message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
        }
    }

    async fn control(&self, path: &str, call: &Call) -> Answer {
        if !call.is_from_this_machine() {
            return server::json(
                StatusCode::FORBIDDEN,
                &json!({ "error": "the control API answers this machine only" }),
            );
        }
        match (&call.method, path) {
            (&Method::POST, "clock") => match simulator::parse_advance_seconds(&call.body) {
                Ok(seconds) => server::json(StatusCode::OK, &(self.advance)(seconds).await),
                Err(error) => server::json(StatusCode::BAD_REQUEST, &json!({ "error": error })),
            },
            (&Method::GET, "clock") => {
                let now = self.clock.now().to_string();
                server::json(
                    StatusCode::OK,
                    &json!({ "now": now, "offsetSeconds": self.clock.offset_seconds() }),
                )
            }
            (&Method::GET, "logs") => {
                let since = call.query("since").and_then(|since| since.parse().ok()).unwrap_or(0);
                server::json(StatusCode::OK, &self.logs.since(since))
            }
            (&Method::POST, "idle") => {
                (self.settle)().await;
                server::json(StatusCode::OK, &json!({ "idle": true }))
            }
            _ => server::json(StatusCode::NOT_FOUND, &json!({ "error": "there is no such control call" })),
        }
    }
}
